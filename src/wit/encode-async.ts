/** Streams and futures inside values that are being encoded (wRPC over NATS, async values). */
import { PENDING, ReadyFuture, ReadyStream } from './js-shapes.ts';
import type { WitType } from './types.ts';
import { ValueFault, ValueWriter } from './value-writer.ts';

/** Writes one value. */
export type Encoder = (writer: ValueWriter, value: unknown) => void;

/** A stream or future that was written as pending: its content follows on its own path. See `pump.ts`. */
export interface PendingValue {
  /** Parameter or result index, then positions of record fields, tuple members, list and stream elements. */
  readonly path: readonly number[];
  readonly kind: 'stream' | 'future';
  /** Type of the elements or of the value; `null` for a stream or future without type. */
  readonly type: WitType | null;
  /** The async iterable, promise, or list that gives the content. */
  readonly value: unknown;
  /** Writes one element, or the value. */
  readonly encode: Encoder;
  /** Writes a typed array of elements with its length. */
  readonly encodeList: Encoder;
  readonly context: EncodeContext;
}

/** What the encoders of one function share. Encoding is synchronous, so one at a time uses it. */
export interface EncodeContext {
  path: number[];
  pending: PendingValue[];
  /** Content known by now of streams and futures that are to travel inline. */
  inline: ReadonlyMap<unknown, unknown> | null;
  readonly maskedSigned: boolean;
  /** Turns a resource into the bytes of its handle. */
  readonly handle: ((kind: 'own' | 'borrow', resource: string, value: unknown) => unknown) | undefined;
}

/** What encoding gives. */
export type Encoded =
  | { readonly ok: true; readonly bytes: Uint8Array; readonly pending: readonly PendingValue[] }
  | { readonly ok: false; readonly reason: string };

const shared = new ValueWriter();
let busy = false;
const NONE: readonly PendingValue[] = [];

/** Runs `write` with a writer; every fault becomes a value. Paths of pending values begin with `path`. */
export function encodeAt(
  context: EncodeContext,
  path: readonly number[],
  what: string,
  write: (writer: ValueWriter) => void,
): Encoded {
  const nested = busy;
  const writer = nested ? new ValueWriter() : shared;
  busy = true;
  writer.pos = 0;
  writer.maskedSigned = context.maskedSigned;
  context.path = [...path];
  context.pending = [];
  try {
    write(writer);
    const pending = context.pending.length === 0 ? NONE : context.pending;
    return { ok: true, bytes: writer.take(), pending };
  } catch (error) {
    if (error instanceof ValueFault) return { ok: false, reason: `${what}${error.path}: ${error.message}` };
    return { ok: false, reason: `${what}: ${error instanceof Error ? error.message : 'a value could not be read'}` };
  } finally {
    busy = nested;
  }
}

function later(
  kind: 'stream' | 'future',
  type: WitType | null,
  value: unknown,
  encode: Encoder,
  encodeList: Encoder,
  context: EncodeContext,
): void {
  context.pending.push({ path: [...context.path], kind, type, value, encode, encodeList, context });
}

function isIterable(value: unknown): boolean {
  return typeof value === 'object' && value !== null && (Symbol.asyncIterator in value || Symbol.iterator in value);
}

/** Makes the encoder of a stream: a list (non-empty) goes inline, everything else becomes pending. */
export function encodeStream(type: WitType | null, encodeList: Encoder, encode: Encoder, context: EncodeContext): Encoder {
  return (writer, given) => {
    const known = context.inline?.get(given) ?? given;
    const value = known instanceof ReadyStream ? known.items : known;
    if ((Array.isArray(value) || ArrayBuffer.isView(value)) && (value as ArrayLike<unknown>).length > 0)
      return encodeList(writer, value);
    if (value !== PENDING && !isIterable(value))
      throw new ValueFault(`expected a stream, got ${value === null ? 'null' : typeof value}`);
    writer.byte(0);
    later('stream', type, value, encode, encodeList, context);
  };
}

/** Makes the encoder of a future: a promise becomes pending, any other value goes inline. */
export function encodeFuture(type: WitType | null, encode: Encoder, context: EncodeContext): Encoder {
  return (writer, given) => {
    const known = context.inline?.get(given) ?? given;
    const value = known instanceof ReadyFuture ? known : given;
    if (value instanceof ReadyFuture) {
      writer.byte(1);
      return encode(writer, type === null ? [] : value.value);
    }
    const isPromise = typeof value === 'object' && value !== null && typeof (value as PromiseLike<unknown>).then === 'function';
    if (value === PENDING || isPromise) {
      writer.byte(0);
      return later('future', type, value, encode, encode, context);
    }
    writer.byte(1);
    encode(writer, type === null ? [] : value);
  };
}
