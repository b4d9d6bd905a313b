import { isNumeric, PENDING, ReadyStream } from './js-shapes.ts';
import type { WitType } from './types.ts';

/** Elements to ask a guest's stream for at once. jco's reader costs by what is asked for, not by what comes. */
const READ_ELEMENTS = 32_768;
/** Most elements gathered from a source that gives them one by one. */
const MAX_GATHERED = 4096;

/** Several elements of a stream. */
export type Batch = ArrayLike<unknown> & Iterable<unknown>;

/** The part of jco's stream that is used: up to `count` elements as soon as there are any. */
interface CountedReader {
  read(options: { count: number }): Promise<{ value?: unknown; done: boolean }>;
  return?(): unknown;
}

/** A place to stop a source at: its consumer no longer wants anything. */
export interface BatchSource {
  next(): Promise<Batch | undefined>;
  stop(): void;
}

function isCountedReader(value: object): value is CountedReader {
  return 'read' in value && typeof value.read === 'function' && !('getReader' in value);
}

const isBatch = (value: unknown): value is Batch => Array.isArray(value) || ArrayBuffer.isView(value);

/**
 * The elements of anything an encoder takes as a stream, in batches: a list, an async or plain iterable of elements (for
 * numeric elements also of chunks), or a stream that jco gives.
 */
export function batchesOf(value: unknown, type: WitType | null): BatchSource {
  if (value === PENDING) return lists([]);
  if (value instanceof ReadyStream) return lists([value.items]);
  if (isBatch(value)) return lists([value]);
  if (isCountedReader(value as object)) return counted(value as CountedReader);
  return gathered(value as AsyncIterable<unknown> | Iterable<unknown>, type !== null && isNumeric(type.kind));
}

// An empty chunk is an end marker: none may be sent before the end.
function lists(given: readonly Batch[]): BatchSource {
  const batches = given.filter((batch) => batch.length > 0);
  return { next: () => Promise.resolve(batches.shift()), stop: () => {} };
}

function counted(reader: CountedReader): BatchSource {
  let ended = false;
  return {
    async next() {
      while (!ended) {
        const { value, done } = await reader.read({ count: READ_ELEMENTS });
        ended = done;
        if (isBatch(value) && value.length > 0) return value;
      }
      return undefined;
    },
    stop: () => quietly(() => reader.return?.()),
  };
}

// A source that is stopped has nothing to say any more.
function quietly(stop: () => unknown): void {
  void Promise.resolve()
    .then(stop)
    .catch(() => {});
}

const TURN = Symbol('turn');
const turn = (): Promise<typeof TURN> => new Promise((resolve) => setImmediate(resolve, TURN));

// Elements that come one by one are sent together when they come in the same turn of the event loop: nothing waits longer.
function gathered(source: AsyncIterable<unknown> | Iterable<unknown>, numeric: boolean): BatchSource {
  const iterator = Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]();
  let chunk: Batch | undefined;
  let asked: Promise<IteratorResult<unknown>> | undefined;
  let ended = false;
  const next = (): Promise<IteratorResult<unknown>> => Promise.resolve(iterator.next());
  return {
    async next() {
      if (chunk !== undefined) {
        const held = chunk;
        chunk = undefined;
        return held;
      }
      const batch: unknown[] = [];
      while (!ended && batch.length < MAX_GATHERED) {
        asked ??= next();
        const step = batch.length === 0 ? await asked : await Promise.race([asked, turn()]);
        if (step === TURN) break;
        asked = undefined;
        const { value, done } = step;
        ended = done === true;
        if (ended) break;
        if (!numeric || !isBatch(value)) {
          batch.push(value);
        } else if (value.length > 0) {
          if (batch.length === 0) return value;
          chunk = value;
          break;
        }
      }
      return batch.length > 0 ? batch : undefined;
    },
    stop: () => quietly(() => iterator.return?.()),
  };
}
