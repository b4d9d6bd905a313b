import type { AsyncValues } from '../../wit/async-values.ts';
import type { AsyncContent, AsyncSource } from '../../wit/decode.ts';
import type { PendingValue } from '../../wit/encode-async.ts';
import { pump } from '../../wit/pump.ts';
import type { WitType } from '../../wit/types.ts';
import type { FrameWriter } from './frames.ts';

/** Bytes after which the event loop gets a turn, so that what was written can leave. */
const TURN_BYTES = 256 * 1024;
const MAX_BACKLOG_BYTES = 1024 * 1024;
const BACKLOG_PAUSE_MS = 2;

/** Thrown when streams hold more than they may. */
export class BudgetError extends Error {}

/**
 * What a guest gets for the streams and futures of a value: those in the root as they are; pending ones from `values`, or,
 * where there is none, `refused` turns true and decoding fails.
 */
export class RootSource implements AsyncSource {
  readonly #values: AsyncValues | undefined;
  refused = false;

  constructor(values: AsyncValues | undefined) {
    this.#values = values;
  }

  /** Implements {@link AsyncSource}. */
  stream(path: readonly number[], type: WitType | null, content: AsyncContent): unknown {
    if (content.inline !== undefined) return whole(content.inline.value as Iterable<unknown>);
    return this.#pending().stream(path, type, content);
  }

  /** Implements {@link AsyncSource}. */
  future(path: readonly number[], type: WitType | null, content: AsyncContent): unknown {
    if (content.inline !== undefined) return Promise.resolve(content.inline.value);
    return this.#pending().future(path, type, content);
  }

  #pending(): AsyncValues {
    if (this.#values !== undefined) return this.#values;
    this.refused = true;
    throw new Error('a stream or future is outside of the signed bytes');
  }
}

/** A stream that is all there. Numbers go over in one piece: one by one they would take a turn each. */
async function* whole(items: Iterable<unknown>): AsyncGenerator<unknown, void, undefined> {
  if (ArrayBuffer.isView(items)) yield items;
  else yield* items;
}

/** Where {@link sendPending} writes to. */
export interface PendingTarget {
  readonly writer: FrameWriter;
  /** Frame type and id of the pieces. */
  readonly type: number;
  readonly id: number;
  /** Bytes that all streams together may have. */
  readonly maxBytes: number;
  readonly signal: AbortSignal;
}

/**
 * Sends pending values to their ends, no faster than the pipe takes them.
 * @throws BudgetError, TRELLIS_WIT_VALUE, or what a stream threw
 */
export async function sendPending(pending: readonly PendingValue[], target: PendingTarget): Promise<void> {
  const { writer, type, id, signal } = target;
  let left = target.maxBytes;
  let sinceTurn = 0;
  await pump(
    pending,
    async (path, bytes, end) => {
      left -= bytes.length;
      if (left < 0) throw new BudgetError(`streams of more than ${target.maxBytes} bytes`);
      writer.path(type, id, path.join('.'), bytes, end);
      sinceTurn += bytes.length;
      if (sinceTurn < TURN_BYTES) return;
      sinceTurn = 0;
      await new Promise((resolve) => setImmediate(resolve));
      while (writer.backlogBytes > MAX_BACKLOG_BYTES && !signal.aborted) {
        await new Promise((resolve) => setTimeout(resolve, BACKLOG_PAUSE_MS));
      }
    },
    signal,
  );
}
