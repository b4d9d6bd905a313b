/** Streams and futures that travel inside the root bytes ("ready") instead of on paths of their own. */
import type { FunctionCodec } from './codec.ts';
import { encodeAt, type Encoded, type PendingValue } from './encode-async.ts';
import { isNumeric, NUMERIC_ARRAYS, PENDING, ReadyFuture, ReadyStream, type NumericArray } from './js-shapes.ts';
import { encodeBatch } from './pump.ts';
import { batchesOf, type Batch } from './stream-batches.ts';
import type { WitType } from './types.ts';

/** Rounds of looking inside what was collected: the nesting of streams and futures in each other. */
const MAX_ROUNDS = 64;

/** As {@link Encoded}; a refusal also says whether the content cannot be inline at all or is merely too much or wrong. */
export type InlineEncoded =
  | { readonly ok: true; readonly bytes: Uint8Array }
  | { readonly ok: false; readonly reason: string; readonly why: 'cannot-inline' | 'too-large' | 'value' };

/**
 * Encodes parameters or a result with nothing pending: waits for every stream to end and every future to resolve, holding at
 * most `maxBytes` of content. An empty stream cannot be inline (wRPC over NATS: an empty list means pending). Never rejects;
 * a source that fails is `why: 'value'`.
 */
export async function encodeInline(
  codec: FunctionCodec,
  side: 'params' | 'result',
  values: readonly unknown[],
  maxBytes: number,
): Promise<InlineEncoded> {
  const known = new Map<unknown, unknown>();
  const budget = { bytes: maxBytes, maxBytes };
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const encoded = codec.encodeWith(side, values, known);
    if (!encoded.ok) return { ok: false, reason: encoded.reason, why: 'value' };
    if (encoded.bytes.length > maxBytes) return tooLarge(maxBytes);
    if (encoded.pending.length === 0) return { ok: true, bytes: encoded.bytes };
    const refusals = await Promise.all(encoded.pending.map((each) => collect(each, known, budget)));
    const refused = refusals.find((each) => each !== undefined);
    if (refused !== undefined) return refused;
  }
  return { ok: false, reason: 'streams and futures are nested too deeply', why: 'cannot-inline' };
}

type Refusal = Extract<InlineEncoded, { ok: false }>;

const tooLarge = (maxBytes: number): Refusal => ({
  ok: false,
  reason: `the content is larger than ${maxBytes} bytes`,
  why: 'too-large',
});

async function collect(
  pending: PendingValue,
  known: Map<unknown, unknown>,
  budget: { bytes: number; readonly maxBytes: number },
): Promise<Refusal | undefined> {
  const cannot = (reason: string): Refusal => ({ ok: false, reason, why: 'cannot-inline' });
  if (pending.value === PENDING) return cannot('a stream or future has no content');
  const charge = (encoded: Encoded): Refusal | undefined => {
    if (!encoded.ok) return { ok: false, reason: encoded.reason, why: 'value' };
    budget.bytes -= encoded.bytes.length;
    return budget.bytes < 0 ? tooLarge(budget.maxBytes) : undefined;
  };
  try {
    if (pending.kind === 'future') {
      const value = await (pending.value as PromiseLike<unknown>);
      known.set(pending.value, new ReadyFuture(value));
      return charge(
        encodeAt(pending.context, pending.path, 'future', (w) => pending.encode(w, pending.type === null ? [] : value)),
      );
    }
    const source = batchesOf(pending.value, pending.type);
    const batches: Batch[] = [];
    let count = 0;
    for (let batch = await source.next(); batch !== undefined; batch = await source.next()) {
      const refused = charge(encodeBatch(pending, batch, count));
      if (refused !== undefined) {
        source.stop();
        return refused;
      }
      batches.push(batch);
      count += batch.length;
    }
    if (count === 0) return cannot('an empty stream cannot travel inline');
    known.set(pending.value, new ReadyStream(joined(batches, count, pending.type)));
    return undefined;
  } catch (error) {
    return { ok: false, reason: error instanceof Error ? error.message : 'a stream or future failed', why: 'value' };
  }
}

function joined(batches: readonly Batch[], count: number, type: WitType | null): Batch {
  if (type === null) return Array.from({ length: count }, () => []);
  if (!isNumeric(type.kind)) return batches.flatMap((batch) => [...batch]);
  const out: NumericArray = new NUMERIC_ARRAYS[type.kind](count);
  let at = 0;
  for (const batch of batches) {
    out.set(batch as never, at); // the elements were checked when their encoding was counted
    at += batch.length;
  }
  return out;
}
