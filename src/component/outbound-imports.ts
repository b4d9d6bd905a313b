import { type ComponentId, isToken } from '../ids.ts';
import type { ComponentPorts, ImportEvents, ImportHandle, OutboundImport } from './component.ts';
import type { OpenImport, PendingCall } from './pending-call.ts';
import { ALL_LINKED, FLAG, FRAME, readPathFrame, type FrameWriter } from './runner/frames.ts';
import type { NumberedFunction } from './runner/functions.ts';

/** Call id, number of the import, flags, length of the link's name. */
const HEAD_BYTES = 8;
/** Longest name of a link. */
const MAX_LINK_CHARS = 64;
/** What `askLinks` may hold. */
const MAX_QUESTION_BYTES = 64 * 1024;
/** Bytes that may wait in the pipe before answers are turned into failures. */
const MAX_BACKLOG_BYTES = 64 * 1024 * 1024;
/** Bytes that may wait in the pipe of a runner that still asks. Above what callers and answers may leave there. */
const MAX_UNREAD_BYTES = 2 * MAX_BACKLOG_BYTES;

/** What {@link OutboundImports} is made of. */
export interface OutboundOptions {
  readonly component: ComponentId;
  readonly imports: readonly NumberedFunction[];
  readonly maxImportsPerCall: number;
  readonly maxParamsBytes: number;
  readonly invokeImport: ComponentPorts['invokeImport'];
  /** True if the component has a link of that name for that interface. Never throws. */
  hasLink(name: string, iface: string): boolean;
  /** The call of that number, if the runner has it and it is not over. */
  call(id: number): PendingCall | undefined;
}

/**
 * The imports that one runner has open. A runner may say what it likes: it reaches only functions that its component
 * imports, on behalf of a call that is in flight, as often as that call may.
 */
export class OutboundImports {
  readonly #options: OutboundOptions;
  readonly #writer: FrameWriter;
  readonly #open = new Map<number, Import>();
  #count = 0;

  constructor(options: OutboundOptions, writer: FrameWriter) {
    this.#options = options;
    this.#writer = writer;
  }

  /** Imports so far. */
  get count(): number {
    return this.#count;
  }

  /** Takes an `import` frame; false if it is malformed. */
  onImport(id: number, body: Buffer): boolean {
    if (body.length < HEAD_BYTES || this.#open.has(id)) return false;
    const paramsAt = HEAD_BYTES + body[7]!;
    if (body.length < paramsAt) return false;
    const link = body.toString('latin1', HEAD_BYTES, paramsAt);
    // A runner of ours looked before whether it could be one.
    if (link !== '' && !isToken(link, MAX_LINK_CHARS)) return false;
    // Each import is answered, if only with a failure. Who asks on and takes none of it is no runner of ours any more.
    if (this.#writer.backlogBytes > MAX_UNREAD_BYTES) return false;
    const declared = this.#options.imports[body.readUInt16LE(4)];
    if (declared === undefined) return false;
    const call = this.#options.call(body.readUInt32LE(0));
    if (call === undefined) {
      this.#fail(id, 'the call is over');
      return true;
    }
    if (!this.#admit(call, id)) return true;
    const params = body.subarray(paramsAt);
    if (params.length > this.#options.maxParamsBytes) {
      this.#fail(id, `parameters of ${params.length} bytes; ${this.#options.maxParamsBytes} are allowed`);
      return true;
    }
    const open = new Import(this, id, call, declared.asyncResult);
    this.#open.set(id, open);
    call.openImports ??= new Set();
    call.openImports.add(open);
    const outbound: OutboundImport = {
      component: this.#options.component,
      instance: declared.instance,
      func: declared.fn.wireName,
      params,
      hasPending: (body[6]! & FLAG.pending) !== 0,
      asyncResult: declared.asyncResult,
      deadlineMs: call.deadlineMs,
      depth: call.depth + 1,
      ...(call.trace === undefined ? {} : { trace: call.trace }),
      ...(link === '' ? {} : { link }),
    };
    try {
      open.attach(this.#options.invokeImport(outbound, open));
    } catch (error) {
      // What a guest imports, it named itself: no name of it may throw past here, where it would end the host.
      open.fail(error instanceof Error ? error.message : 'it could not be sent');
    }
    return true;
  }

  /** Takes an `askLinks` frame; false if it is malformed. */
  onAskLinks(id: number, body: Buffer): boolean {
    if (body.length < 4 || body.length > MAX_QUESTION_BYTES || this.#writer.backlogBytes > MAX_UNREAD_BYTES) return false;
    const call = this.#options.call(body.readUInt32LE(0));
    if (call === undefined) {
      this.#fail(id, 'the call is over');
      return true;
    }
    if (!this.#admit(call, id)) return true;
    const [name = '', ...interfaces] = body.toString('latin1', 4).split('\n').slice(0, -1);
    const missing = interfaces.findIndex((iface) => !this.#options.hasLink(name, iface));
    this.#writer.open(FRAME.links, id, 2);
    this.#writer.u16(missing < 0 ? ALL_LINKED : missing);
    return true;
  }

  /** Counts what a call asks for; false, with a failure for answer, if it was too much. */
  #admit(call: PendingCall, id: number): boolean {
    call.importsMade += 1;
    this.#count += 1;
    if (call.importsMade <= this.#options.maxImportsPerCall) return true;
    this.#fail(id, `one call may make ${this.#options.maxImportsPerCall} imports`);
    return false;
  }

  /** Takes an `importParams` frame; false if it is malformed. */
  onParams(id: number, body: Buffer): boolean {
    const piece = readPathFrame(body);
    if (piece === undefined || piece.path === '') return false;
    this.#open.get(id)?.sendPath(piece.path, piece.bytes, piece.eof);
    return true;
  }

  /** Takes an `importCancel` frame. */
  onCancel(id: number): void {
    this.#open.get(id)?.cancel();
  }

  answer(id: number, root: Uint8Array, open: boolean): void {
    if (this.#writer.backlogBytes > MAX_BACKLOG_BYTES) {
      this.#fail(id, 'answers come faster than the component takes them');
      return;
    }
    this.#writer.open(FRAME.importResult, id, 1 + root.length);
    this.#writer.u8(open ? 0 : FLAG.eof);
    this.#writer.bytes(root.length < 16_384 ? root : new Uint8Array(root));
  }

  answerPath(id: number, path: string, bytes: Uint8Array, eof: boolean): void {
    this.#writer.path(FRAME.importPath, id, path, bytes.length < 16_384 ? bytes : new Uint8Array(bytes), eof);
  }

  answerFailure(id: number, reason: string): void {
    this.#fail(id, reason);
  }

  forget(id: number): void {
    this.#open.delete(id);
  }

  #fail(id: number, reason: string): void {
    this.#writer.text(FRAME.importFail, id, reason);
  }
}

class Import implements ImportEvents, OpenImport {
  readonly #owner: OutboundImports;
  readonly #id: number;
  readonly #call: PendingCall;
  readonly #asyncResult: boolean;
  #handle: ImportHandle | undefined;
  #answered = false;
  #over = false;

  constructor(owner: OutboundImports, id: number, call: PendingCall, asyncResult: boolean) {
    this.#owner = owner;
    this.#id = id;
    this.#call = call;
    this.#asyncResult = asyncResult;
  }

  /** Takes the handle, which comes after an answer that was given at once. */
  attach(handle: ImportHandle): void {
    if (!this.#over) this.#handle = handle;
  }

  result(root: Uint8Array, open: boolean): void {
    if (this.#over || this.#answered) return;
    this.#answered = true;
    const goesOn = open && this.#asyncResult;
    this.#owner.answer(this.#id, root, goesOn);
    if (!goesOn) this.#end();
  }

  path(path: string, bytes: Uint8Array, eof: boolean): void {
    if (!this.#over && path !== '') this.#owner.answerPath(this.#id, path, bytes, eof);
  }

  fail(message: string): void {
    if (this.#over) return;
    this.#owner.answerFailure(this.#id, message);
    this.#end();
  }

  sendPath(path: string, bytes: Uint8Array, eof: boolean): void {
    if (!this.#over) this.#handle?.sendPath(path, bytes, eof);
  }

  cancel(): void {
    if (this.#over) return;
    const handle = this.#handle;
    this.#end();
    handle?.cancel();
  }

  #end(): void {
    this.#over = true;
    this.#handle = undefined;
    this.#call.openImports?.delete(this);
    this.#owner.forget(this.#id);
  }
}
