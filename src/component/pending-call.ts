import type { CallEvents, CallHandle, ComponentCall } from './component.ts';
import type { CallFailure } from './runner/frames.ts';

/** Parameters that came while a call was waiting. */
export interface LaterParams {
  readonly path: string;
  readonly bytes: Uint8Array;
  readonly eof: boolean;
}

/** What a {@link PendingCall} asks of its owner. */
export interface CallOwner {
  laterParams(call: PendingCall, path: string, bytes: Uint8Array, eof: boolean): void;
  cancelled(call: PendingCall): void;
}

/** An import that a call waits for. */
export interface OpenImport {
  cancel(): void;
}

/** A call from its admission to its end: its events are delivered through here, so that the end comes once. */
export class PendingCall implements CallHandle {
  readonly exportIndex: number;
  readonly complete: boolean;
  /** No root parameters will follow those that have come. */
  rootEnded: boolean;
  readonly deadlineMs: number;
  readonly depth: number;
  readonly inline: boolean;
  readonly trace: string | undefined;
  /** A copy of the root parameters, while the call could still be given to another runner. */
  root: Uint8Array | undefined;
  later: LaterParams[] | undefined;
  /** Bytes that it holds while it waits in the queue. */
  queuedBytes = 0;
  /** Number in the frames; 0 while it waits in the queue. */
  id = 0;
  /** The root result has come. */
  answered = false;
  resultBytes = 0;
  importsMade = 0;
  openImports: Set<OpenImport> | undefined;
  /** When the caller was given its end before the runner had let go; 0 if that has not happened. */
  abandonedMs = 0;
  readonly #owner: CallOwner;
  readonly #events: CallEvents;
  #over = false;

  constructor(owner: CallOwner, call: ComponentCall, deadlineMs: number, events: CallEvents) {
    this.#owner = owner;
    this.#events = events;
    this.exportIndex = call.exportIndex;
    this.complete = call.complete;
    this.rootEnded = call.complete;
    this.deadlineMs = deadlineMs;
    this.depth = call.depth;
    this.inline = call.pending === 'refuse';
    this.trace = call.trace;
  }

  /** True once the caller has its end. */
  get over(): boolean {
    return this.#over;
  }

  // --- the caller's side

  params(path: string, bytes: Uint8Array, eof: boolean): void {
    if (!this.#over) this.#owner.laterParams(this, path, bytes, eof);
  }

  cancel(): void {
    if (this.#over) return;
    this.#end();
    this.#owner.cancelled(this);
  }

  // --- the component's side

  result(root: Uint8Array, hasPending: boolean): void {
    this.answered = true;
    if (!this.#over) this.#events.result(root, hasPending);
  }

  path(path: string, bytes: Uint8Array, eof: boolean): void {
    if (!this.#over) this.#events.path(path, bytes, eof);
  }

  done(): void {
    if (this.#over) return;
    this.#end();
    this.#events.done();
  }

  fail(status: CallFailure, detail: string): void {
    if (this.#over) return;
    this.#end();
    this.#events.fail(status, detail);
  }

  #end(): void {
    this.#over = true;
    this.root = undefined;
    this.later = undefined;
    if (this.openImports === undefined) return;
    for (const open of this.openImports) open.cancel();
    this.openImports = undefined;
  }
}
