import type { Clock } from '../../../clock.ts';
import { WitError } from './wit-error.ts';

/**
 * `wasi:io`: errors, pollables and streams. Resource classes are shared by all instances of a runner; what belongs to one
 * instance hangs on its {@link Lifetime}.
 */

/** Bytes a stream hands over or takes at a time. */
export const STREAM_CHUNK_BYTES = 65_536;

/** Ends with the instance: whatever still waits is rejected, whatever is open is closed. */
export class Lifetime {
  readonly clock: Clock;
  #stopped: Error | undefined;
  readonly #onStop = new Set<(reason: Error) => void>();

  constructor(clock: Clock) {
    this.clock = clock;
  }

  /** Why the instance ended, or `undefined` while it lives. */
  get stopped(): Error | undefined {
    return this.#stopped;
  }

  /** Calls `end` when the instance ends; the function returned takes that back. */
  onStop(end: (reason: Error) => void): () => void {
    this.#onStop.add(end);
    return () => this.#onStop.delete(end);
  }

  /** Ends it once; later calls do nothing. */
  stop(reason: Error): void {
    if (this.#stopped !== undefined) return;
    this.#stopped = reason;
    for (const end of this.#onStop) end(reason);
    this.#onStop.clear();
  }

  /** Resolves at `untilMs` (monotonic), rejects when the instance ends before: a wait that never settles is never freed. */
  wait(untilMs: number): Promise<void> {
    if (this.#stopped !== undefined) return Promise.reject(this.#stopped);
    return new Promise((resolve, reject) => {
      const delayMs = Math.min(Math.max(Math.ceil(untilMs - this.clock.monotonicMs()), 0), 2_147_483_647);
      const forget = this.onStop((reason) => {
        clearTimeout(timer);
        reject(reason);
      });
      const timer = setTimeout(() => {
        forget();
        resolve();
      }, delayMs);
    });
  }
}

/** `wasi:io/error` `error`. */
class IoError {
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  toDebugString(): string {
    return this.#text;
  }
}

/** `wasi:io/poll` `pollable`: ready at once, or from a moment of the monotonic clock on. */
export class Pollable {
  readonly #lifetime: Lifetime | undefined;
  readonly #atMs: number;

  constructor(lifetime?: Lifetime, atMs = 0) {
    this.#lifetime = lifetime;
    this.#atMs = atMs;
  }

  ready(): boolean {
    return this.#lifetime === undefined || this.#lifetime.clock.monotonicMs() >= this.#atMs;
  }

  block(): void | Promise<void> {
    if (!this.ready()) return this.#lifetime?.wait(this.#atMs);
  }

  /** The moment it becomes ready and whose waiting it is; `undefined` if it is ready. */
  static pending(pollable: Pollable): { lifetime: Lifetime; atMs: number } | undefined {
    return pollable.#lifetime === undefined || pollable.ready()
      ? undefined
      : { lifetime: pollable.#lifetime, atMs: pollable.#atMs };
  }
}

/** More pollables than a guest of ours can have a use for. */
const MAX_POLLABLES = 10_000;

/** `wasi:io/poll` `poll`: indexes of the ready ones; waits for the earliest if none is. */
function poll(list: readonly Pollable[]): Uint32Array | Promise<Uint32Array> {
  if (list.length === 0 || list.length > MAX_POLLABLES) throw new Error('poll was called with an unusable list');
  const ready = readyOf(list);
  if (ready.length > 0) return ready;
  let earliest: { lifetime: Lifetime; atMs: number } | undefined;
  for (const pollable of list) {
    const pending = Pollable.pending(pollable);
    if (pending === undefined) return readyOf(list);
    if (earliest === undefined || pending.atMs < earliest.atMs) earliest = pending;
  }
  return waitAndPoll(earliest!, list);
}

async function waitAndPoll(until: { lifetime: Lifetime; atMs: number }, list: readonly Pollable[]): Promise<Uint32Array> {
  for (;;) {
    await until.lifetime.wait(until.atMs);
    // A timer may fire a fraction of a millisecond early.
    const ready = readyOf(list);
    if (ready.length > 0) return ready;
  }
}

function readyOf(list: readonly Pollable[]): Uint32Array {
  const ready: number[] = [];
  for (const [index, pollable] of list.entries()) if (pollable.ready()) ready.push(index);
  return Uint32Array.from(ready);
}

/** Where an input stream's bytes come from: at most `maxBytes`, or `undefined` at the end. Throws a reason as text. */
export type ByteSource = (maxBytes: number) => Uint8Array | undefined;
/** Where an output stream's bytes go. */
export type ByteSink = (bytes: Uint8Array) => void;

/** `wasi:io/streams` `input-stream`; never has to wait. */
export class InputStream {
  readonly #source: ByteSource;

  constructor(source: ByteSource) {
    this.#source = source;
  }

  read(length: bigint): Uint8Array {
    const bytes = guarded(() => this.#source(length < STREAM_CHUNK_BYTES ? Number(length) : STREAM_CHUNK_BYTES));
    if (bytes === undefined) throw new WitError({ tag: 'closed' });
    return bytes;
  }

  blockingRead(length: bigint): Uint8Array {
    return this.read(length);
  }

  skip(length: bigint): bigint {
    return BigInt(this.read(length).length);
  }

  blockingSkip(length: bigint): bigint {
    return this.skip(length);
  }

  subscribe(): Pollable {
    return new Pollable();
  }
}

/** `wasi:io/streams` `output-stream`; always ready. */
export class OutputStream {
  readonly #sink: ByteSink;

  constructor(sink: ByteSink) {
    this.#sink = sink;
  }

  checkWrite(): bigint {
    return BigInt(STREAM_CHUNK_BYTES);
  }

  write(bytes: Uint8Array): void {
    if (bytes.length > STREAM_CHUNK_BYTES) throw new Error('more was written than check-write allowed');
    guarded(() => this.#sink(bytes));
  }

  blockingWriteAndFlush(bytes: Uint8Array): void {
    this.write(bytes);
  }

  flush(): void {}

  blockingFlush(): void {}

  writeZeroes(length: bigint): void {
    if (length > STREAM_CHUNK_BYTES) throw new Error('more was written than check-write allowed');
    this.write(new Uint8Array(Number(length)));
  }

  blockingWriteZeroesAndFlush(length: bigint): void {
    this.writeZeroes(length);
  }

  splice(source: InputStream, length: bigint): bigint {
    const bytes = source.read(length);
    this.write(bytes);
    return BigInt(bytes.length);
  }

  blockingSplice(source: InputStream, length: bigint): bigint {
    return this.splice(source, length);
  }

  subscribe(): Pollable {
    return new Pollable();
  }
}

/** A failure while moving bytes is the stream's error, not a trap. */
function guarded<T>(move: () => T): T {
  try {
    return move();
  } catch (error) {
    throw new WitError({ tag: 'last-operation-failed', val: new IoError((error as NodeJS.ErrnoException).code ?? 'failed') });
  }
}

/** The `wasi:io` interfaces; they hold nothing of one instance. */
export const io = {
  'wasi:io/error': { Error: IoError },
  'wasi:io/poll': { Pollable, poll },
  'wasi:io/streams': { InputStream, OutputStream },
} as const;
