/**
 * The frames between the host and a runner, in both directions on one duplex pipe. A frame is
 * `u32 LE body length, u8 type, u32 LE id, body`; the id names a call or an import. The two ends are parts of one
 * release and start together, so there is no version in it.
 */

/** Bytes before the body. */
export const FRAME_HEADER_BYTES = 9;

/** Frame types; below 64 from the host to the runner, from 64 on the other way. */
export const FRAME = {
  /** JSON of `RunnerStart`; once, first. */
  start: 1,
  /** Call: `u16` export index, `u8` flags ({@link FLAG}), root parameters. */
  call: 2,
  /** More parameters of a call: `u8` flags, path, bytes. */
  params: 3,
  /** The host forgets a call; answered with `ended`. */
  cancel: 4,
  /** Answer to an import: `u8` flags, root result. With `FLAG.eof` nothing follows it. */
  importResult: 5,
  /** Async value of an import's answer: `u8` flags, path, bytes. */
  importPath: 6,
  /** An import failed: reason, UTF-8. */
  importFail: 7,
  /** Values of `wasi:config` from now on: JSON of `RunnerStart.config`. */
  config: 8,
  /** How many calls may run at once from now on: `u32`. */
  instances: 9,
  /** Answer to `askLinks`: `u16` index of the first interface without one, or {@link ALL_LINKED}. */
  links: 10,

  /** The component is loaded and linked: empty. */
  ready: 64,
  /** It could not be loaded: reason, UTF-8. The runner ends. */
  unusable: 65,
  /** Every complete call up to this id may have begun; the others have not. See `runner/calls.ts`. */
  began: 66,
  /** Root result of a call: `u8` flags, bytes. With `FLAG.eof` the call has ended. */
  result: 67,
  /** Async value of a result: `u8` flags, path, bytes. */
  resultPath: 68,
  /** The call has ended. */
  ended: 69,
  /** The call failed: `u8` index into {@link FAILURES}, detail UTF-8. */
  fail: 70,
  /** An import: `u32` call id, `u16` import index, `u8` flags, `u8` length and link name (`''`: the default one), root parameters. The id is the import's. */
  import: 71,
  /** Async parameter of an import: `u8` flags, path, bytes. */
  importParams: 72,
  /** The runner forgets an import. */
  importCancel: 73,
  /** A line the guest wrote: `u8` index into {@link GUEST_LOG_KINDS}, `u16` length and context (of `wasi:logging`), bytes. */
  log: 74,
  /** Does the component have a link of that name for each of these interfaces? `u32` call id; name and interfaces, each ended by a line feed. */
  askLinks: 75,
} as const;

/** Where a line of a guest comes from: its standard streams, or `wasi:logging` with one of its levels. */
export const GUEST_LOG_KINDS = ['stdout', 'stderr', 'trace', 'debug', 'info', 'warn', 'error', 'critical'] as const;

/** One of {@link GUEST_LOG_KINDS}. */
export type GuestLogKind = (typeof GUEST_LOG_KINDS)[number];

/** In a `links` frame: all interfaces have the link. */
export const ALL_LINKED = 0xffff;

/** Flag bits of the `u8` flags. */
export const FLAG = {
  /** Nothing follows on this path (of a result: the call has ended). */
  eof: 1,
  /** Values are pending: they travel outside the root. */
  pending: 2,
  /** Pending values are refused: collect and send them in the root, or fail. */
  inline: 4,
} as const;

/** Ways a call fails, as the `fail` frame numbers them. */
export const FAILURES = [
  'trap',
  'timeout',
  'busy',
  'too-large',
  'bad-params',
  'unavailable',
  'error',
  'unsigned-values',
] as const;

/** One of {@link FAILURES}. */
export type CallFailure = (typeof FAILURES)[number];

/** The part of a stream socket that frames need; `net.Socket` has it. */
export interface FrameSink {
  write(bytes: Uint8Array): boolean;
  cork(): void;
  uncork(): void;
  readonly writableLength: number;
}

const SCRATCH_BYTES = 64 * 1024;
/** Bodies from here on are handed over by reference instead of being copied. */
const BY_REFERENCE_BYTES = 32 * 1024;

const EMPTY = new Uint8Array(0);

/**
 * Writes frames, coalescing those of one turn of the event loop into one write: with many calls in flight the system
 * calls, not the bytes, are what a pipe costs.
 *
 * Use: `open(...)` with the exact body length, then as many of `u8`, `u16`, `u32`, `bytes`, `text` as make it up.
 */
export class FrameWriter {
  readonly #sink: FrameSink;
  readonly #flush = (): void => this.flush();
  #scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES);
  /** Where the unsent part of the scratch begins. */
  #start = 0;
  #end = 0;
  #segments: Uint8Array[] = [];
  #segmentBytes = 0;
  #scheduled = false;
  #closed = false;

  constructor(sink: FrameSink) {
    this.#sink = sink;
  }

  /** Bytes that the pipe has not taken yet. Zero after a {@link flush} means that the kernel has all of them. */
  get backlogBytes(): number {
    return this.#sink.writableLength + this.#segmentBytes + this.#end - this.#start;
  }

  /** Starts a frame whose body has exactly `bodyBytes` bytes. */
  open(type: number, id: number, bodyBytes: number): void {
    // The head fields of any frame are short; the tail either fits or goes by reference.
    this.#room(FRAME_HEADER_BYTES + (bodyBytes < BY_REFERENCE_BYTES ? bodyBytes : 1024));
    const scratch = this.#scratch;
    const at = this.#end;
    scratch[at] = bodyBytes;
    scratch[at + 1] = bodyBytes >>> 8;
    scratch[at + 2] = bodyBytes >>> 16;
    scratch[at + 3] = bodyBytes >>> 24;
    scratch[at + 4] = type;
    scratch[at + 5] = id;
    scratch[at + 6] = id >>> 8;
    scratch[at + 7] = id >>> 16;
    scratch[at + 8] = id >>> 24;
    this.#end = at + FRAME_HEADER_BYTES;
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(this.#flush);
  }

  u8(value: number): void {
    this.#scratch[this.#end++] = value;
  }

  u16(value: number): void {
    this.#scratch[this.#end++] = value;
    this.#scratch[this.#end++] = value >>> 8;
  }

  u32(value: number): void {
    this.u16(value);
    this.u16(value >>> 16);
  }

  /** Appends bytes: copied if they are few; otherwise they must stay unchanged until the pipe has taken them. */
  bytes(bytes: Uint8Array): void {
    if (bytes.length < BY_REFERENCE_BYTES) {
      // A large body may come in small pieces, for which `open` has not made room.
      this.#room(bytes.length);
      this.#scratch.set(bytes, this.#end);
      this.#end += bytes.length;
      return;
    }
    if (this.#closed) return;
    this.#seal();
    this.#segments.push(bytes);
    this.#segmentBytes += bytes.length;
  }

  /** A whole frame without a body. */
  bare(type: number, id: number): void {
    this.open(type, id, 0);
  }

  /** A whole frame of text; cut at `maxBytes`. */
  text(type: number, id: number, text: string, maxBytes = 1024): void {
    const bytes = Buffer.from(text).subarray(0, maxBytes);
    this.open(type, id, bytes.length);
    this.bytes(bytes);
  }

  /** A whole frame that carries a piece of an async value. */
  path(type: number, id: number, path: string, bytes: Uint8Array, eof: boolean): void {
    this.open(type, id, 2 + path.length + bytes.length);
    this.u8(eof ? FLAG.eof : 0);
    this.u8(path.length);
    for (let index = 0; index < path.length; index++) this.u8(path.charCodeAt(index));
    this.bytes(bytes);
  }

  /** Hands everything over now. */
  flush(): void {
    this.#scheduled = false;
    if (this.#closed || (this.#end === this.#start && this.#segments.length === 0)) return;
    const sink = this.#sink;
    if (this.#segments.length === 0) {
      sink.write(this.#scratch.subarray(this.#start, this.#end));
    } else {
      this.#seal();
      sink.cork();
      for (const segment of this.#segments) sink.write(segment);
      sink.uncork();
      this.#segments = [];
      this.#segmentBytes = 0;
    }
    this.#start = this.#end;
    // Written in full: nobody holds the scratch any more.
    if (sink.writableLength === 0) {
      this.#start = 0;
      this.#end = 0;
    }
  }

  /** Drops what was not flushed; later frames go nowhere. */
  close(): void {
    this.#closed = true;
    this.#segments = [];
    this.#segmentBytes = 0;
    this.#start = 0;
    this.#end = 0;
  }

  #room(bytes: number): void {
    if (this.#end + bytes <= this.#scratch.length) return;
    if (this.#closed) {
      this.#start = 0;
      this.#end = 0;
      return;
    }
    this.#seal();
    this.#scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES);
    this.#start = 0;
    this.#end = 0;
  }

  #seal(): void {
    if (this.#end > this.#start) {
      this.#segments.push(this.#scratch.subarray(this.#start, this.#end));
      this.#segmentBytes += this.#end - this.#start;
    }
    this.#start = this.#end;
  }
}

/** A piece of an async value, as {@link FrameWriter.path} writes it. */
export interface PathFrame {
  readonly eof: boolean;
  /** Decimal indexes joined with dots; empty for the root. */
  readonly path: string;
  readonly bytes: Uint8Array;
}

const PATH = /^(?:\d{1,9}(?:\.\d{1,9}){0,15})?$/;

/** Reads the body of a path frame; `undefined` if it is malformed. */
export function readPathFrame(body: Buffer): PathFrame | undefined {
  const length = body[1];
  if (length === undefined || body.length < 2 + length) return undefined;
  const path = length === 0 ? '' : body.toString('latin1', 2, 2 + length);
  if (!PATH.test(path)) return undefined;
  return { eof: (body[0]! & FLAG.eof) !== 0, path, bytes: body.length === 2 + length ? EMPTY : body.subarray(2 + length) };
}
