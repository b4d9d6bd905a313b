import { poll, Pollable, untilReady } from './poll.ts';
import type { Awaited, Lifetime } from './poll.ts';
import { WitError } from './wit-error.ts';

/**
 * `wasi:io` errors and streams. Resource classes are shared by all instances of a runner; what belongs to one instance
 * hangs on its `Lifetime`.
 */

/** Bytes a stream hands over or takes at a time. */
export const STREAM_CHUNK_BYTES = 65_536;

/** `wasi:io/error` `error`. */
class IoError {
  readonly #text: string;
  readonly #detail: unknown;

  constructor(text: string, detail?: unknown) {
    this.#text = text;
    this.#detail = detail;
  }

  toDebugString(): string {
    return this.#text;
  }

  /** What the interface behind the stream says of it, in its own words. */
  static detail(error: IoError): unknown {
    return error.#detail;
  }
}

/** Returns what a source or sink said of a failure with {@link StreamFailure}, or `undefined`. */
export const errorDetail = (error: object): unknown => (error instanceof IoError ? IoError.detail(error) : undefined);

/** Thrown by sources and sinks for the error of a stream. */
export class StreamFailure extends Error {
  readonly detail: unknown;

  /** @param detail What a more special interface (`http-error-code`) makes of it. */
  constructor(text: string, detail?: unknown) {
    super(text);
    this.name = 'StreamFailure';
    this.detail = detail;
  }
}

/** Thrown by sinks that take no more, though nothing went wrong. */
export const STREAM_CLOSED = new StreamFailure('closed');

/** Where an input stream's bytes come from: at most `maxBytes`, or `undefined` at the end. Throws a reason as text. */
export type ByteSource = (maxBytes: number) => Uint8Array | undefined;
/** Where an output stream's bytes go. */
export type ByteSink = (bytes: Uint8Array) => void;

/** What an input stream must know of a source that is not always ready. `ready` means: bytes, the end or a failure. */
export interface SourceState extends Awaited {
  /** The guest has dropped the stream. */
  close?(): void;
}

/** `wasi:io/streams` `input-stream`; without a state it never has to wait. */
export class InputStream {
  readonly #source: ByteSource;
  readonly #state: SourceState | undefined;

  constructor(source: ByteSource, state?: SourceState) {
    this.#source = source;
    this.#state = state;
  }

  read(length: bigint): Uint8Array {
    if (this.#state?.ready() === false) return new Uint8Array();
    const bytes = guarded(() => this.#source(length < STREAM_CHUNK_BYTES ? Number(length) : STREAM_CHUNK_BYTES));
    if (bytes === undefined) throw new WitError({ tag: 'closed' });
    return bytes;
  }

  blockingRead(length: bigint): Uint8Array | Promise<Uint8Array> {
    if (this.#state?.ready() !== false) return this.read(length);
    return untilReady(this.#state).then(() => this.read(length));
  }

  skip(length: bigint): bigint {
    return BigInt(this.read(length).length);
  }

  blockingSkip(length: bigint): bigint | Promise<bigint> {
    if (this.#state?.ready() !== false) return this.skip(length);
    return untilReady(this.#state).then(() => this.skip(length));
  }

  subscribe(): Pollable {
    return new Pollable(this.#state);
  }

  [Symbol.dispose](): void {
    this.#state?.close?.();
  }

  /** What it has to wait for; `undefined` if nothing. */
  static state(stream: InputStream): SourceState | undefined {
    return stream.#state;
  }
}

/** What an output stream must know of a sink that cannot take everything at once. */
export interface SinkState {
  readonly lifetime: Lifetime | undefined;
  /** Bytes it would take now; throws {@link StreamFailure}. */
  room(): number;
  /** Nothing that was written is still held here, or never will be sent. */
  flushed(): boolean;
  /** The guest has dropped the stream. */
  close?(): void;
}

/** `wasi:io/streams` `output-stream`; without a state it is always ready. */
export class OutputStream {
  readonly #sink: ByteSink;
  readonly #state: SinkState | undefined;
  /** `flush` was called, and is not through. */
  #flushing = false;

  constructor(sink: ByteSink, state?: SinkState) {
    this.#sink = sink;
    this.#state = state;
  }

  checkWrite(): bigint {
    return BigInt(guarded(() => this.#room()));
  }

  write(bytes: Uint8Array): void {
    if (bytes.length > guarded(() => this.#room())) throw new Error('more was written than check-write allowed');
    guarded(() => this.#sink(bytes));
  }

  blockingWriteAndFlush(bytes: Uint8Array): void | Promise<void> {
    if (this.#state === undefined) this.write(bytes);
    else return this.#writeAndFlush(bytes);
  }

  flush(): void {
    guarded(() => this.#room());
    this.#flushing = this.#state !== undefined;
  }

  blockingFlush(): void | Promise<void> {
    this.flush();
    if (!this.#ready()) return untilReady(this.#awaited()).then(() => void this.checkWrite());
  }

  writeZeroes(length: bigint): void {
    if (length > STREAM_CHUNK_BYTES) throw new Error('more was written than check-write allowed');
    this.write(new Uint8Array(Number(length)));
  }

  blockingWriteZeroesAndFlush(length: bigint): void | Promise<void> {
    if (length > STREAM_CHUNK_BYTES) throw new Error('more was written than check-write allowed');
    return this.blockingWriteAndFlush(new Uint8Array(Number(length)));
  }

  splice(source: InputStream, length: bigint): bigint {
    const room = this.checkWrite();
    const bytes = source.read(length < room ? length : room);
    this.write(bytes);
    return BigInt(bytes.length);
  }

  blockingSplice(source: InputStream, length: bigint): bigint | Promise<bigint> {
    const reading = InputStream.state(source);
    if (this.#ready() && reading?.ready() !== false) return this.splice(source, length);
    return untilReady(this.#awaited())
      .then(() => (reading === undefined ? undefined : untilReady(reading)))
      .then(() => this.splice(source, length));
  }

  subscribe(): Pollable {
    return new Pollable(this.#state === undefined ? undefined : this.#awaited());
  }

  [Symbol.dispose](): void {
    this.#state?.close?.();
  }

  #room(): number {
    if (this.#state === undefined) return STREAM_CHUNK_BYTES;
    const room = this.#state.room();
    if (this.#flushing && !this.#state.flushed()) return 0;
    this.#flushing = false;
    return Math.min(room, STREAM_CHUNK_BYTES);
  }

  /** Room, or a failure to tell. */
  #ready(): boolean {
    try {
      return this.#room() > 0;
    } catch {
      return true;
    }
  }

  #awaited(): Awaited {
    const state = this.#state;
    return {
      ready: () => this.#ready(),
      get lifetime() {
        return state?.lifetime;
      },
    };
  }

  async #writeAndFlush(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length;) {
      if (!this.#ready()) await untilReady(this.#awaited());
      const part = bytes.subarray(at, at + Number(this.checkWrite()));
      this.write(part);
      at += part.length;
    }
    await this.blockingFlush();
  }
}

/** A failure while moving bytes is the stream's error, not a trap. */
function guarded<T>(move: () => T): T {
  try {
    return move();
  } catch (error) {
    if (error === STREAM_CLOSED) throw new WitError({ tag: 'closed' });
    const val =
      error instanceof StreamFailure
        ? new IoError(error.message, error.detail)
        : new IoError((error as NodeJS.ErrnoException).code ?? 'failed');
    throw new WitError({ tag: 'last-operation-failed', val });
  }
}

/** The `wasi:io` interfaces; they hold nothing of one instance. */
export const io = {
  'wasi:io/error': { Error: IoError },
  'wasi:io/poll': { Pollable, poll },
  'wasi:io/streams': { InputStream, OutputStream },
} as const;
