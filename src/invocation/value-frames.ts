import type { PathFrame } from '../wrpc/chunks.ts';
import type { LateAcceptance, OutgoingCall } from '../wrpc/client.ts';
import type { IncomingInvocation } from '../wrpc/server.ts';

/** Most frames of streams and futures kept for a root that has not come: small ones cost more than their bytes. */
export const MAX_EARLY_FRAMES = 4096;

/**
 * Ends a stream so that no reader takes it for whole: 1.x has no other word for it. A chunk of 127 elements of which none
 * comes, because the end alone, after whole chunks, is a good end (wRPC over NATS, end markers).
 */
const CUT: Uint8Array = Uint8Array.of(127);

/** A frame that outlives the turn. */
export function keptFrame(path: string, bytes: Uint8Array, eof: boolean): PathFrame {
  return { path, bytes: new Uint8Array(bytes), eof };
}

/** The streams and futures of a result on their way to the caller: after their root, and never short without saying so. */
export class ResultFrames {
  readonly #message: IncomingInvocation;
  /** Paths that have begun and not ended. */
  readonly #open = new Set<string>();
  #held: PathFrame[] | undefined = [];

  /** Frames wait until {@link release}: the root is still to be signed. */
  constructor(message: IncomingInvocation) {
    this.#message = message;
  }

  /** True while frames wait for the root. */
  get holding(): boolean {
    return this.#held !== undefined;
  }

  push(path: string, bytes: Uint8Array, eof: boolean): void {
    if (this.#held !== undefined) {
      this.#held.push(keptFrame(path, bytes, eof));
      return;
    }
    if (eof) this.#open.delete(path);
    else this.#open.add(path);
    this.#message.sendPath(path, bytes, eof);
  }

  /** The root is on its way: what waited follows. */
  release(): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const { path, bytes, eof } of held) this.push(path, bytes, eof);
  }

  /** Nothing more will come: breaks off what is open. */
  cut(): void {
    for (const path of this.#open) this.#message.sendPath(path, CUT, true);
    this.#open.clear();
  }
}

/** The streams and futures of an invocation's parameters on their way to the server. */
export class ParamFrames {
  readonly #wire: OutgoingCall;
  // Most calls have none of either: nothing is made for them.
  #open: Set<string> | undefined;
  #held: PathFrame[] | undefined;
  /** The invocation itself leaves when it is signed, at the end of the turn. */
  #released = false;

  constructor(wire: OutgoingCall) {
    this.#wire = wire;
  }

  /** Sends, or keeps, a frame; false if there is no room for it. */
  push(path: string, bytes: Uint8Array, eof: boolean): boolean {
    if (!this.#released) return (this.#held ??= []).push(keptFrame(path, bytes, eof)) <= MAX_EARLY_FRAMES;
    if (eof) this.#open?.delete(path);
    else (this.#open ??= new Set()).add(path);
    return this.#wire.sendPath(path, bytes, eof);
  }

  /** The invocation is on its way: what waited follows. False if there was no room for all. */
  release(): boolean {
    const held = this.#held;
    this.#held = undefined;
    this.#released = true;
    return held === undefined || held.every(({ path, bytes, eof }) => this.push(path, bytes, eof));
  }

  /**
   * Ends the call, and with it what is open. The wire knows no cancellation, but a server that waits must neither go on
   * waiting nor take what it has for the whole. `late` judges an acknowledgement that comes after this.
   */
  cancel(late: LateAcceptance): void {
    const last = this.#open && [...this.#open].map((path): PathFrame => ({ path, bytes: CUT, eof: true }));
    this.#open = undefined;
    if (last !== undefined && this.#wire.paramsAllowed)
      for (const { path, bytes, eof } of last) this.#wire.sendPath(path, bytes, eof);
    this.#wire.cancel(last, late);
  }
}
