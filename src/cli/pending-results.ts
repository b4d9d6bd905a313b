import { setTimeout as sleep } from 'node:timers/promises';
import { TrellisError } from '../errors.ts';
import { AsyncValues } from '../wit/async-values.ts';
import type { AsyncContent, AsyncSource } from '../wit/decode.ts';
import { isNumeric, NUMERIC_ARRAYS, ReadyFuture, ReadyStream, type NumericArray } from '../wit/js-shapes.ts';
import type { WitType } from '../wit/types.ts';

/**
 * Collects the streams and futures of a result, also those inside each other, until all have ended: for commands that print a
 * result whole. The sender's limits bound it: nothing is held back here.
 */
export class PendingResults implements AsyncSource {
  readonly #values = new AsyncValues({ maxBufferedBytes: Number.MAX_SAFE_INTEGER });
  /** By the object that the content comes from: a value may be decoded again as more of it comes. */
  readonly #known = new Map<unknown, ReadyStream | ReadyFuture>();
  readonly #collecting: Promise<void>[] = [];
  readonly #cut = Promise.withResolvers<never>();
  #refuse = false;
  #refused = false;

  constructor() {
    this.#cut.promise.catch(() => {}); // nobody has to wait for it
  }

  /** From now on a value that is not inline is refused. */
  refuse(): void {
    this.#refuse = true;
  }

  /** True once a value was refused for not being inline. */
  get refused(): boolean {
    return this.#refused;
  }

  /** Takes a frame. */
  push(path: string, bytes: Uint8Array, eof: boolean): void {
    this.#values.push(path, bytes, eof);
  }

  /** No more frames will come. */
  cut(error: TrellisError): void {
    this.#cut.reject(error);
  }

  /** Implements {@link AsyncSource}. */
  stream(path: readonly number[], type: WitType | null, content: AsyncContent): ReadyStream {
    return this.#stream(this.#pendingSource(content), path, type, content);
  }

  /** Implements {@link AsyncSource}. */
  future(path: readonly number[], type: WitType | null, content: AsyncContent): ReadyFuture {
    return this.#future(this.#pendingSource(content), path, type, content);
  }

  /**
   * Resolves when every pending value has come.
   * @throws TRELLIS_INVOKE_TIMEOUT, TRELLIS_INVOKE_FAILED for one cut short, or the error given to {@link cut}
   */
  async complete(timeoutMs: number): Promise<void> {
    const timer = new AbortController();
    const late = sleep(Math.max(timeoutMs, 0), undefined, { signal: timer.signal }).then(() => {
      throw new TrellisError('TRELLIS_INVOKE_TIMEOUT', { message: 'a stream or future of the result did not end in time' });
    });
    try {
      // Values found inside others are added while the others are waited for.
      for (let i = 0; i < this.#collecting.length; i++) await Promise.race([this.#collecting[i], this.#cut.promise, late]);
    } finally {
      timer.abort();
      late.catch(() => {});
    }
  }

  #pendingSource(content: AsyncContent): AsyncSource {
    if (content.inline !== undefined || !this.#refuse) return this.#values;
    this.#refused = true;
    throw new Error('a stream or future is outside of the signed bytes');
  }

  #stream(from: AsyncSource, path: readonly number[], type: WitType | null, content: AsyncContent): ReadyStream {
    if (content.inline !== undefined) return new ReadyStream(content.inline.value as unknown[]);
    const source = from.stream(
      path,
      type,
      this.#inside(content, (element) => element),
    ) as AsyncIterable<unknown>;
    return this.#once(
      source,
      () => new ReadyStream([]),
      async (stream) => {
        const steps: unknown[] = [];
        for await (const step of source) steps.push(step);
        const numeric = type !== null && isNumeric(type.kind);
        Object.assign(stream, {
          items: numeric ? joined(new NUMERIC_ARRAYS[type.kind as 'u8'](0), steps as Uint8Array[]) : steps,
        });
      },
    );
  }

  #future(from: AsyncSource, path: readonly number[], type: WitType | null, content: AsyncContent): ReadyFuture {
    if (content.inline !== undefined) return new ReadyFuture(content.inline.value);
    // Boxed: a promise for a future would wait for that one too, and be it.
    const source = from.future(
      path,
      type,
      this.#inside(content, (inner) => [inner]),
    ) as Promise<[unknown]>;
    return this.#once(
      source,
      () => new ReadyFuture(undefined),
      async (future) => {
        const boxed = await source;
        if (type !== null) Object.assign(future, { value: boxed[0] });
      },
    );
  }

  /** The content with its own streams and futures collected here too. */
  #inside(content: AsyncContent, put: (value: unknown) => unknown): AsyncContent {
    const inside = (source: AsyncSource): AsyncSource => ({
      stream: (path, type, inner) => this.#stream(source, path, type, inner),
      future: (path, type, inner) => this.#future(source, path, type, inner),
    });
    return { inline: undefined, decode: (reader, source) => put(content.decode(reader, inside(source))) };
  }

  #once<T extends ReadyStream | ReadyFuture>(source: unknown, make: () => T, collect: (value: T) => Promise<void>): T {
    const known = this.#known.get(source);
    if (known !== undefined) return known as T;
    const value = make();
    this.#known.set(source, value);
    const collected = collect(value).catch((cause: unknown) => {
      throw new TrellisError('TRELLIS_INVOKE_FAILED', { message: 'a stream or future of the result was cut short', cause });
    });
    collected.catch(() => {}); // `complete` may be waiting for another one
    this.#collecting.push(collected);
    return value;
  }
}

function joined(empty: NumericArray, pieces: readonly NumericArray[]): NumericArray {
  const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
  const all = new (empty.constructor as new (length: number) => NumericArray)(length);
  let at = 0;
  for (const piece of pieces) {
    all.set(piece as never, at);
    at += piece.length;
  }
  return all;
}
