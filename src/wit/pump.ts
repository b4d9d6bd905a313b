/** Sends the content of streams and futures that were encoded as pending (wRPC over NATS, async values). */
import { TrellisError } from '../errors.ts';
import { encodeAt, type Encoded, type PendingValue } from './encode-async.ts';
import { PENDING } from './js-shapes.ts';
import { batchesOf, type Batch, type BatchSource } from './stream-batches.ts';
import type { ValueWriter } from './value-writer.ts';

/**
 * Takes content of an index path. `end` is true once per path, with the last bytes (a stream's last bytes are its end marker
 * `00`; a future without type has none). A returned promise holds the path back until it resolves.
 */
export type SendContent = (path: readonly number[], bytes: Uint8Array, end: boolean) => void | Promise<void>;

/**
 * Sends the content of all pending values, side by side, and that of every pending value found inside it. Resolves when all
 * has been sent. When one source fails or gives a value that does not fit its type, or when `signal` aborts, every source is
 * stopped, nothing more is sent, and it rejects at once: the receiver must not take what it has for the whole.
 * @throws TRELLIS_WIT_VALUE, what a source threw, or the reason of `signal`
 */
export async function pump(pending: readonly PendingValue[], send: SendContent, signal?: AbortSignal): Promise<void> {
  signal?.throwIfAborted();
  const failed = Promise.withResolvers<never>();
  const run = new Pumping(send, failed.reject);
  const abort = (): void => run.fail(signal?.reason);
  signal?.addEventListener('abort', abort, { once: true });
  try {
    await Promise.race([run.all(pending), failed.promise]);
  } finally {
    signal?.removeEventListener('abort', abort);
  }
}

class Pumping {
  readonly #send: SendContent;
  readonly #reject: (error: unknown) => void;
  readonly #open = new Set<BatchSource>();
  #failed = false;

  constructor(send: SendContent, reject: (error: unknown) => void) {
    this.#send = send;
    this.#reject = reject;
  }

  fail(error: unknown): void {
    if (this.#failed) return;
    this.#failed = true;
    this.#reject(error);
    for (const source of this.#open) source.stop();
  }

  async all(pending: readonly PendingValue[]): Promise<void> {
    await Promise.all(pending.map((each) => this.#one(each)));
  }

  async #one(value: PendingValue): Promise<void> {
    try {
      if (value.kind === 'stream') await this.#stream(value);
      else await this.#future(value);
    } catch (error) {
      this.fail(error);
    }
  }

  async #put(path: readonly number[], bytes: Uint8Array, end: boolean): Promise<void> {
    const sent = this.#send(path, bytes, end);
    if (sent !== undefined) await sent;
  }

  async #stream(value: PendingValue): Promise<void> {
    const source = batchesOf(value.value, value.type);
    const inside: Promise<void>[] = [];
    this.#open.add(source);
    try {
      let count = 0;
      for (let batch = await source.next(); batch !== undefined; batch = await source.next()) {
        if (this.#failed) return;
        const { bytes, pending } = usable(encodeBatch(value, batch, count));
        count += batch.length;
        await this.#put(value.path, bytes, false);
        if (pending.length > 0) inside.push(this.all(pending));
      }
    } finally {
      this.#open.delete(source);
    }
    if (!this.#failed) await this.#put(value.path, Uint8Array.of(0), true);
    await Promise.all(inside);
  }

  async #future(value: PendingValue): Promise<void> {
    if (value.value === PENDING)
      throw new TrellisError('TRELLIS_WIT_VALUE', { message: `${place(value.path)}: the future has no value` });
    const given = await (value.value as PromiseLike<unknown>);
    if (this.#failed) return;
    const encode = (writer: ValueWriter): void => value.encode(writer, value.type === null ? [] : given);
    const { bytes, pending } = usable(encodeAt(value.context, value.path, place(value.path), encode));
    // What is pending inside shares the path, unless positions lead to it: then the path goes on.
    const goesOn = pending.some((each) => each.path.length === value.path.length);
    await this.#put(value.path, bytes, !goesOn);
    await this.all(pending);
  }
}

function place(path: readonly number[]): string {
  return `async value ${path.join('.')}`;
}

function usable(encoded: Encoded): Extract<Encoded, { ok: true }> {
  if (!encoded.ok) throw new TrellisError('TRELLIS_WIT_VALUE', { message: encoded.reason });
  return encoded;
}

/** Encodes elements of a stream as one chunk; `first` is the position of the first of them in the stream. */
export function encodeBatch(value: PendingValue, batch: Batch, first: number): Encoded {
  const { context } = value;
  return encodeAt(context, value.path, place(value.path), (writer) => {
    if (ArrayBuffer.isView(batch)) return value.encodeList(writer, batch);
    writer.unsigned(batch.length);
    const depth = context.path.length;
    for (let i = 0; i < batch.length; i++) {
      context.path[depth] = first + i;
      value.encode(writer, value.type === null ? [] : batch[i]);
      context.path.length = depth;
    }
  });
}
