/**
 * How WIT values look in JavaScript. The shapes are jco's, so that a value goes from the wire to a guest, and back, without
 * another conversion: 64-bit integers are bigints, numeric lists typed arrays, records objects with lowerCamel keys, variants
 * `{tag, val}`, flags objects of booleans, enums kebab-case strings.
 */
import type { WitType } from './types.ts';

/** The typed array of each numeric kind. */
export const NUMERIC_ARRAYS = {
  u8: Uint8Array,
  s8: Int8Array,
  u16: Uint16Array,
  s16: Int16Array,
  u32: Uint32Array,
  s32: Int32Array,
  u64: BigUint64Array,
  s64: BigInt64Array,
  f32: Float32Array,
  f64: Float64Array,
} as const;

/** A kind whose lists are typed arrays. */
export type NumericKind = keyof typeof NUMERIC_ARRAYS;
/** A list of numbers as a guest takes and gives it. */
export type NumericArray =
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | BigUint64Array
  | BigInt64Array
  | Float32Array
  | Float64Array;

/** True for the kinds whose lists are typed arrays. */
export function isNumeric(kind: string): kind is NumericKind {
  return Object.hasOwn(NUMERIC_ARRAYS, kind);
}

/** Least and greatest value of each integer kind of at most 32 bits. */
export const INTEGER_RANGES: Readonly<Record<'u8' | 's8' | 'u16' | 's16' | 'u32' | 's32', readonly [number, number]>> = {
  u8: [0, 0xff],
  s8: [-0x80, 0x7f],
  u16: [0, 0xffff],
  s16: [-0x8000, 0x7fff],
  u32: [0, 0xffff_ffff],
  s32: [-0x8000_0000, 0x7fff_ffff],
};

/**
 * True if values of `type` are plain: `undefined` stands for none. An option around such an option has to be tagged,
 * `{tag: 'some', val}`; an option around a tagged one is plain again.
 */
export function isPlainOption(type: WitType): boolean {
  let depth = 0;
  for (let at = type; at.kind === 'option'; at = at.some) depth++;
  return depth % 2 === 1;
}

/** What stands for a stream or future whose content is not (or not yet) known; it encodes as pending and ends at once. */
export const PENDING: unique symbol = Symbol('trellis.wit.pending');

/** A stream that arrived whole with its parent: its elements, as a list of the element type; the count for elements without type. */
export class ReadyStream {
  readonly items: ArrayLike<unknown> & Iterable<unknown>;

  constructor(items: ArrayLike<unknown> & Iterable<unknown>) {
    this.items = items;
  }

  /** Numeric elements come as one chunk. */
  async *[Symbol.asyncIterator](): AsyncGenerator<unknown, void, undefined> {
    if (ArrayBuffer.isView(this.items)) yield this.items;
    else yield* this.items;
  }
}

/** A future whose value arrived with its parent. `await` gives the value. */
export class ReadyFuture {
  readonly value: unknown;

  constructor(value: unknown) {
    this.value = value;
  }

  /** Makes it awaitable. */
  // oxlint-disable-next-line unicorn/no-thenable -- a future is a promise to the guest
  then<A, B>(onValue?: ((value: unknown) => A) | null, onError?: ((error: unknown) => B) | null): Promise<A | B> {
    return Promise.resolve(this.value).then(onValue, onError);
  }
}
