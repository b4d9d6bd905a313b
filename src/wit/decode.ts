/** wRPC bytes → JavaScript values. One closure per type, made once; see `js-shapes.ts` for the values. */
import { isNumeric, isPlainOption, NUMERIC_ARRAYS, type NumericKind } from './js-shapes.ts';
import { camelCase, hasAsync, type WitType } from './types.ts';
import type { ValueReader } from './value-reader.ts';

/** Reads one value. */
export type Decoder = (reader: ValueReader, source: AsyncSource) => unknown;

/** What a decoder knows about a stream or future beside its type. */
export interface AsyncContent {
  /** Reads one element, or the value. */
  readonly decode: Decoder;
  /** The content that came inline: the elements as a list, or the value. `undefined` when the value is pending. */
  readonly inline: { readonly value: unknown } | undefined;
}

/**
 * Makes what a guest gets for a stream or future. Asked again for the same path when a value was incomplete and is decoded
 * anew: it must then give the same object. `type` is `null` for a stream or future without type.
 */
export interface AsyncSource {
  stream(path: readonly number[], type: WitType | null, content: AsyncContent): unknown;
  future(path: readonly number[], type: WitType | null, content: AsyncContent): unknown;
}

/** What the decoders of one function share. */
export interface DecodeContext {
  /** Turns the bytes of a handle into a resource. */
  readonly handle: ((kind: 'own' | 'borrow', resource: string, bytes: Uint8Array) => unknown) | undefined;
}

/** Most elements of a list whose elements take no bytes: nothing else bounds it. */
const MAX_EMPTY_ELEMENTS = 65_536;

const PRIMITIVES: Readonly<Record<string, Decoder>> = {
  bool: (r) => r.bool(),
  u8: (r) => r.byte(),
  s8: (r) => (r.byte() << 24) >> 24,
  u16: (r) => r.u16(),
  s16: (r) => r.s16(),
  u32: (r) => r.u32(),
  s32: (r) => r.s32(),
  u64: (r) => r.u64(),
  s64: (r) => r.s64(),
  f32: (r) => r.f32(),
  f64: (r) => r.f64(),
  char: (r) => r.char(),
  string: (r) => r.string(),
};

/** The fewest bytes a value of `type` takes. */
export function leastBytes(type: WitType): number {
  switch (type.kind) {
    case 'f32':
      return 4;
    case 'f64':
      return 8;
    case 'flags':
      return Math.ceil(type.names.length / 8);
    case 'tuple':
      return type.elems.reduce((sum, elem) => sum + leastBytes(elem), 0);
    case 'record':
      return type.fields.reduce((sum, field) => sum + leastBytes(field.ty), 0);
    default:
      return 1;
  }
}

/** The type of an element or a value that is not there: it takes no bytes. */
const NOTHING: WitType = { kind: 'tuple', elems: [] };

/** Compiles the decoder of a type. */
export function compileDecoder(type: WitType, context: DecodeContext): Decoder {
  switch (type.kind) {
    case 'list':
      return listDecoder(type.elem, context);
    case 'tuple':
      return tupleDecoder(type.elems, context);
    case 'record':
      return recordDecoder(type, context);
    case 'variant':
      return variantDecoder(type, context);
    case 'enum': {
      const { names } = type;
      return (r) => names[r.u32()] ?? r.fail('an enum has no such case');
    }
    case 'flags':
      return flagsDecoder(type.names);
    case 'option':
      return optionDecoder(type.some, context);
    case 'result': {
      const ok = type.ok === null ? null : compileDecoder(type.ok, context);
      const err = type.err === null ? null : compileDecoder(type.err, context);
      return (r, s) => (r.bool() ? { tag: 'err', val: err?.(r, s) } : { tag: 'ok', val: ok?.(r, s) });
    }
    case 'own':
    case 'borrow': {
      const { handle } = context;
      const { kind, name } = type;
      return (r) => {
        const bytes = r.raw(r.u32());
        return handle === undefined ? bytes : handle(kind, name, bytes);
      };
    }
    case 'stream':
      return streamDecoder(type.elem, context);
    case 'future':
      return futureDecoder(type.some, context);
    default:
      return PRIMITIVES[type.kind]!;
  }
}

function countOf(r: ValueReader, least: number): number {
  const count = r.u32();
  if (least > 0) r.need(count * least);
  else if (count > MAX_EMPTY_ELEMENTS) r.fail('a list of empty elements is too long');
  return count;
}

function listDecoder(elem: WitType, context: DecodeContext): Decoder {
  if (isNumeric(elem.kind)) return numericDecoder(elem.kind);
  const decode = compileDecoder(elem, context);
  const least = leastBytes(elem);
  const deep = hasAsync(elem);
  return (r, s) => {
    const count = countOf(r, least);
    const out: unknown[] = [];
    for (let i = 0; i < count; i++) {
      if (deep) r.path.push(i);
      out.push(decode(r, s));
      if (deep) r.path.pop();
    }
    return out;
  };
}

function numericDecoder(kind: NumericKind): Decoder {
  switch (kind) {
    case 'u8':
      return (r) => r.raw(r.u32());
    case 's8':
      return (r) => new Int8Array(r.raw(r.u32()));
    case 'u64':
    case 's64':
      return (r) => {
        const out = new NUMERIC_ARRAYS[kind](countOf(r, 1));
        for (let i = 0; i < out.length; i++) out[i] = kind === 'u64' ? r.u64() : r.s64();
        return out;
      };
    default: {
      const read = PRIMITIVES[kind] as (r: ValueReader) => number;
      const least = kind === 'f32' ? 4 : kind === 'f64' ? 8 : 1;
      const list = NUMERIC_ARRAYS[kind];
      return (r) => {
        const out = new list(countOf(r, least));
        for (let i = 0; i < out.length; i++) out[i] = read(r);
        return out;
      };
    }
  }
}

function tupleDecoder(elems: readonly WitType[], context: DecodeContext): Decoder {
  const decoders = elems.map((elem) => compileDecoder(elem, context));
  const deep = elems.some(hasAsync);
  return (r, s) => {
    const out: unknown[] = [];
    for (let i = 0; i < decoders.length; i++) {
      if (deep) r.path.push(i);
      out.push(decoders[i]!(r, s));
      if (deep) r.path.pop();
    }
    return out;
  };
}

function recordDecoder(type: Extract<WitType, { kind: 'record' }>, context: DecodeContext): Decoder {
  const keys = type.fields.map((field) => camelCase(field.name));
  const decoders = type.fields.map((field) => compileDecoder(field.ty, context));
  const deep = hasAsync(type);
  return (r, s) => {
    const out: Record<string, unknown> = {};
    for (let i = 0; i < decoders.length; i++) {
      if (deep) r.path.push(i);
      out[keys[i]!] = decoders[i]!(r, s);
      if (deep) r.path.pop();
    }
    return out;
  };
}

function variantDecoder(type: Extract<WitType, { kind: 'variant' }>, context: DecodeContext): Decoder {
  const cases = type.cases.map((each) => ({
    tag: each.name,
    decode: each.ty === null ? null : compileDecoder(each.ty, context),
  }));
  return (r, s) => {
    const found = cases[r.u32()] ?? r.fail('a variant has no such case');
    return found.decode === null ? { tag: found.tag } : { tag: found.tag, val: found.decode(r, s) };
  };
}

function flagsDecoder(names: readonly string[]): Decoder {
  const keys = names.map(camelCase);
  return (r) => {
    const out: Record<string, boolean> = {};
    let byte = 0;
    for (let i = 0; i < keys.length; i++) {
      if ((i & 7) === 0) byte = r.byte();
      out[keys[i]!] = (byte & (1 << (i & 7))) !== 0;
    }
    return out;
  };
}

function optionDecoder(some: WitType, context: DecodeContext): Decoder {
  const decode = compileDecoder(some, context);
  if (!isPlainOption(some)) return (r, s) => (r.bool() ? decode(r, s) : undefined);
  return (r, s) => (r.bool() ? { tag: 'some', val: decode(r, s) } : { tag: 'none' });
}

// A stream is pending (an empty list) or ready (all of its elements, as a list).
function streamDecoder(elem: WitType | null, context: DecodeContext): Decoder {
  const decode = compileDecoder(elem ?? NOTHING, context);
  const decodeList = listDecoder(elem ?? NOTHING, context);
  const pending: AsyncContent = { decode, inline: undefined };
  return (r, s) => {
    const start = r.pos;
    if (r.u32() === 0) return s.stream(r.path, elem, pending);
    r.pos = start;
    return s.stream(r.path, elem, { decode, inline: { value: decodeList(r, s) } });
  };
}

function futureDecoder(some: WitType | null, context: DecodeContext): Decoder {
  const decode = compileDecoder(some ?? NOTHING, context);
  const pending: AsyncContent = { decode, inline: undefined };
  return (r, s) => {
    if (!r.bool()) return s.future(r.path, some, pending);
    const value = decode(r, s);
    return s.future(r.path, some, { decode, inline: { value: some === null ? undefined : value } });
  };
}
