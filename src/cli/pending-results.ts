import { setTimeout as sleep } from 'node:timers/promises';
import { TrellisError } from '../errors.ts';
import type { AsyncContent, AsyncSource } from '../wit/decode.ts';
import { ReadyFuture, ReadyStream } from '../wit/js-shapes.ts';
import { ValueReader } from '../wit/value-reader.ts';

/**
 * Collects the streams and futures of a result until all have ended, for commands that print a result whole. (Values below a
 * stream element are not collected: no 1.x peer can send them either.)
 */
export class PendingResults implements AsyncSource {
  readonly #frames = new Map<string, { chunks: Uint8Array[]; ended: boolean }>();
  readonly #waiting: (() => boolean)[] = [];
  #changed: () => void = () => {};

  /** Takes a frame. */
  push(path: string, bytes: Uint8Array, eof: boolean): void {
    const frames = this.#at(path);
    if (bytes.length > 0) frames.chunks.push(new Uint8Array(bytes));
    frames.ended ||= eof;
    this.#changed();
  }

  stream(path: readonly number[], _type: unknown, content: AsyncContent): ReadyStream {
    if (content.inline !== undefined) return new ReadyStream(content.inline.value as unknown[]);
    const items: unknown[] = [];
    this.#waiting.push(() => this.#readStream(path.join('.'), content, items));
    return new ReadyStream(items);
  }

  future(path: readonly number[], _type: unknown, content: AsyncContent): ReadyFuture {
    if (content.inline !== undefined) return new ReadyFuture(content.inline.value);
    const future = new ReadyFuture(undefined);
    this.#waiting.push(() => {
      const { chunks, ended } = this.#at(path.join('.'));
      if (!ended) return false;
      Object.assign(future, { value: content.decode(new ValueReader(Buffer.concat(chunks), path, true), this) });
      return true;
    });
    return future;
  }

  /** Resolves when every pending value has come. @throws TRELLIS_INVOKE_TIMEOUT, TRELLIS_INVOKE_FAILED for one cut short */
  async complete(timeoutMs: number): Promise<void> {
    const until = performance.now() + timeoutMs;
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
      for (;;) {
        const changed = new Promise<void>((resolve) => (this.#changed = resolve));
        if (this.#read(next)) break;
        const left = until - performance.now();
        if (left <= 0)
          throw new TrellisError('TRELLIS_INVOKE_TIMEOUT', { message: 'a stream of the result did not end in time' });
        const timer = new AbortController();
        await Promise.race([changed, sleep(left, undefined, { signal: timer.signal }).catch(() => {})]);
        timer.abort();
      }
    }
  }

  #read(next: () => boolean): boolean {
    try {
      return next();
    } catch (cause) {
      throw new TrellisError('TRELLIS_INVOKE_FAILED', { message: 'a stream or future of the result was cut short', cause });
    }
  }

  #readStream(path: string, content: AsyncContent, items: unknown[]): boolean {
    const { chunks, ended } = this.#at(path);
    const bytes = Buffer.concat(chunks);
    // A list of no elements ends the stream; 1.x peers may send the end marker alone (wRPC over NATS, end markers).
    if (!ended) return false;
    const reader = new ValueReader(bytes, [], true);
    while (reader.pos < reader.end) {
      const count = reader.u32();
      if (count === 0) break;
      for (let i = 0; i < count; i++) items.push(content.decode(reader, this));
    }
    return true;
  }

  #at(path: string): { chunks: Uint8Array[]; ended: boolean } {
    let frames = this.#frames.get(path);
    if (frames === undefined) this.#frames.set(path, (frames = { chunks: [], ended: false }));
    return frames;
  }
}
