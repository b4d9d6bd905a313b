/** JavaScript values → wRPC bytes. One closure per type, made once; see `js-shapes.ts` for the values. */
import { INTEGER_RANGES, isNumeric, isPlainOption, NUMERIC_ARRAYS, type NumericArray, type NumericKind } from './js-shapes.ts';
import { encodeFuture, encodeStream, type EncodeContext, type Encoder } from './encode-async.ts';
import { camelCase, hasAsync, type WitType } from './types.ts';
import { ValueFault, within, type ValueWriter } from './value-writer.ts';

const show = (value: unknown): string =>
  value === null ? 'null' : Array.isArray(value) ? 'an array' : value === undefined ? 'nothing' : `a ${typeof value}`;

function expected(what: string, value: unknown): never {
  throw new ValueFault(`expected ${what}, got ${show(value)}`);
}

const object = (value: unknown): Record<string, unknown> =>
  typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : expected('an object', value);

function integer(kind: keyof typeof INTEGER_RANGES, value: unknown): number {
  const [min, max] = INTEGER_RANGES[kind];
  if (typeof value !== 'number') expected(`a number (${kind})`, value);
  if (!Number.isInteger(value) || value < min || value > max) throw new ValueFault(`${value} is not a ${kind}`);
  return value;
}

function bigint(kind: 'u64' | 's64', value: unknown): bigint {
  const big = typeof value === 'number' && Number.isSafeInteger(value) ? BigInt(value) : value;
  if (typeof big !== 'bigint') expected(`a bigint (${kind})`, value);
  if ((kind === 'u64' ? BigInt.asUintN(64, big) : BigInt.asIntN(64, big)) !== big)
    throw new ValueFault(`${big} is not a ${kind}`);
  return big;
}

const float = (value: unknown): number => (typeof value === 'number' ? value : expected('a number', value));

const PRIMITIVES: Readonly<Record<string, (writer: ValueWriter, value: unknown) => void>> = {
  bool: (w, v) => w.byte(typeof v === 'boolean' ? Number(v) : expected('a boolean', v)),
  u8: (w, v) => w.byte(integer('u8', v)),
  s8: (w, v) => w.byte(integer('s8', v) & 0xff),
  u16: (w, v) => w.unsigned(integer('u16', v)),
  s16: (w, v) => w.signed(integer('s16', v), 16),
  u32: (w, v) => w.unsigned(integer('u32', v)),
  s32: (w, v) => w.signed(integer('s32', v), 32),
  u64: (w, v) => w.u64(bigint('u64', v)),
  s64: (w, v) => w.s64(bigint('s64', v)),
  f32: (w, v) => w.f32(float(v)),
  f64: (w, v) => w.f64(float(v)),
  char: (w, v) => w.char(typeof v === 'string' ? v : expected('a character', v)),
  string: (w, v) => w.string(typeof v === 'string' ? v : expected('a string', v)),
};

/** Compiles the encoder of a type. */
export function compileEncoder(type: WitType, context: EncodeContext): Encoder {
  switch (type.kind) {
    case 'list':
      return listEncoder(type.elem, context);
    case 'tuple':
      return tupleEncoder(type.elems, context);
    case 'record':
      return recordEncoder(type, context);
    case 'variant':
      return variantEncoder(type, context);
    case 'enum':
      return enumEncoder(type.names);
    case 'flags':
      return flagsEncoder(type.names);
    case 'option':
      return optionEncoder(type.some, context);
    case 'result':
      return resultEncoder(type, context);
    case 'own':
    case 'borrow':
      return (w, v) => {
        const handle = context.handle === undefined ? v : context.handle(type.kind, type.name, v);
        if (!(handle instanceof Uint8Array)) expected('the bytes of a handle', handle);
        w.unsigned(handle.length);
        w.raw(handle);
      };
    case 'stream':
      return encodeStream(
        type.elem,
        listEncoder(type.elem ?? NOTHING, context),
        compileEncoder(type.elem ?? NOTHING, context),
        context,
      );
    case 'future':
      return encodeFuture(type.some, compileEncoder(type.some ?? NOTHING, context), context);
    default:
      return PRIMITIVES[type.kind]!;
  }
}

/** The type of an element or a value that is not there: it takes no bytes. */
const NOTHING: WitType = { kind: 'tuple', elems: [] };

function optional(type: WitType | null, context: EncodeContext): Encoder | null {
  return type === null ? null : compileEncoder(type, context);
}

/** A list: its length, then its elements. */
function listEncoder(elem: WitType, context: EncodeContext): Encoder {
  if (elem.kind === 'u8') return bytesEncoder;
  if (isNumeric(elem.kind)) return numericEncoder(elem.kind);
  const encode = compileEncoder(elem, context);
  const deep = hasAsync(elem);
  return (w, v) => {
    if (!Array.isArray(v)) expected('an array', v);
    const { length } = v;
    w.unsigned(length);
    let i = 0;
    try {
      for (; i < length; i++) {
        if (deep) context.path.push(i);
        encode(w, v[i]);
        if (deep) context.path.pop();
      }
    } catch (error) {
      throw within(error, `[${i}]`);
    }
  };
}

const bytesEncoder: Encoder = (w, v) => {
  if (v instanceof Uint8Array) {
    w.unsigned(v.length);
    w.raw(v);
  } else {
    writeNumbers('u8', PRIMITIVES['u8']!, w, v);
  }
};

function isTypedArray(value: unknown): value is NumericArray {
  return ArrayBuffer.isView(value) && !(value instanceof DataView);
}

function writeNumbers(kind: NumericKind, encode: Encoder, w: ValueWriter, v: unknown): void {
  if (!Array.isArray(v) && !isTypedArray(v)) expected(`an array of ${kind}`, v);
  w.unsigned(v.length);
  let i = 0;
  try {
    for (; i < v.length; i++) encode(w, v[i]);
  } catch (error) {
    throw within(error, `[${i}]`);
  }
}

// Elements of the matching typed array are in range: no check is needed, and no number becomes an object.
function numericEncoder(kind: NumericKind): Encoder {
  const checked = PRIMITIVES[kind]!;
  const matching = NUMERIC_ARRAYS[kind];
  const fast: Readonly<Record<NumericKind, (w: ValueWriter, v: NumericArray) => void>> = {
    u8: (w, v) => w.raw(v as Uint8Array),
    s8: (w, v) => w.raw(new Uint8Array(v.buffer, v.byteOffset, v.length)),
    u16: writeUnsigned,
    u32: writeUnsigned,
    s16: (w, v) => writeSigned(w, v as Int16Array, 16),
    s32: (w, v) => writeSigned(w, v as Int32Array, 32),
    u64: (w, v) => (v as BigUint64Array).forEach((each) => w.u64(each)),
    s64: (w, v) => (v as BigInt64Array).forEach((each) => w.s64(each)),
    f32: (w, v) => (v as Float32Array).forEach((each) => w.f32(each)),
    f64: (w, v) => (v as Float64Array).forEach((each) => w.f64(each)),
  };
  const write = fast[kind];
  return (w, v) => {
    if (!(v instanceof matching)) return writeNumbers(kind, checked, w, v);
    w.unsigned(v.length);
    write(w, v);
  };
}

function writeUnsigned(w: ValueWriter, v: NumericArray): void {
  for (let i = 0; i < v.length; i++) w.unsigned(v[i] as number);
}

function writeSigned(w: ValueWriter, v: Int16Array | Int32Array, bits: 16 | 32): void {
  for (let i = 0; i < v.length; i++) w.signed(v[i]!, bits);
}

function tupleEncoder(elems: readonly WitType[], context: EncodeContext): Encoder {
  const encoders = elems.map((elem) => compileEncoder(elem, context));
  const deep = elems.some(hasAsync);
  return (w, v) => {
    if (!Array.isArray(v) && !isTypedArray(v)) expected('an array', v);
    if (v.length !== encoders.length) throw new ValueFault(`expected ${encoders.length} values, got ${v.length}`);
    let i = 0;
    try {
      for (; i < encoders.length; i++) {
        if (deep) context.path.push(i);
        encoders[i]!(w, v[i]);
        if (deep) context.path.pop();
      }
    } catch (error) {
      throw within(error, `[${i}]`);
    }
  };
}

function recordEncoder(type: Extract<WitType, { kind: 'record' }>, context: EncodeContext): Encoder {
  const keys = type.fields.map((field) => camelCase(field.name));
  const encoders = type.fields.map((field) => compileEncoder(field.ty, context));
  const deep = hasAsync(type);
  return (w, v) => {
    const fields = object(v);
    let i = 0;
    try {
      for (; i < encoders.length; i++) {
        if (deep) context.path.push(i);
        encoders[i]!(w, fields[keys[i]!]);
        if (deep) context.path.pop();
      }
    } catch (error) {
      throw within(error, `.${keys[i]}`);
    }
  };
}

function variantEncoder(type: Extract<WitType, { kind: 'variant' }>, context: EncodeContext): Encoder {
  const cases = new Map(type.cases.map((each, index) => [each.name, { index, encode: optional(each.ty, context) }]));
  return (w, v) => {
    const { tag, val } = object(v);
    const found = cases.get(tag as string);
    if (found === undefined) throw new ValueFault(`has no case ${typeof tag === 'string' ? JSON.stringify(tag) : show(tag)}`);
    w.unsigned(found.index);
    if (found.encode === null) return;
    try {
      found.encode(w, val);
    } catch (error) {
      throw within(error, `.${String(tag)}`);
    }
  };
}

function enumEncoder(names: readonly string[]): Encoder {
  const indices = new Map(names.map((name, index) => [name, index]));
  return (w, v) => {
    const index = indices.get(v as string);
    if (index === undefined) throw new ValueFault(`has no case ${typeof v === 'string' ? JSON.stringify(v) : show(v)}`);
    w.unsigned(index);
  };
}

function flagsEncoder(names: readonly string[]): Encoder {
  const keys = names.map(camelCase);
  return (w, v) => {
    const flags = object(v);
    let byte = 0;
    for (let i = 0; i < keys.length; i++) {
      const flag = flags[keys[i]!];
      if (flag === true) byte |= 1 << (i & 7);
      else if (flag !== false && flag !== undefined)
        throw within(new ValueFault(`expected a boolean, got ${show(flag)}`), `.${keys[i]}`);
      if ((i & 7) === 7 || i === keys.length - 1) {
        w.byte(byte);
        byte = 0;
      }
    }
  };
}

function optionEncoder(some: WitType, context: EncodeContext): Encoder {
  const encode = compileEncoder(some, context);
  if (!isPlainOption(some)) {
    return (w, v) => {
      if (v === undefined || v === null) return w.byte(0);
      w.byte(1);
      encode(w, v);
    };
  }
  return (w, v) => {
    const { tag, val } = object(v);
    if (tag === 'none') return w.byte(0);
    if (tag !== 'some') throw new ValueFault("expected {tag: 'some', val} or {tag: 'none'}");
    w.byte(1);
    encode(w, val);
  };
}

function resultEncoder(type: Extract<WitType, { kind: 'result' }>, context: EncodeContext): Encoder {
  const ok = optional(type.ok, context);
  const err = optional(type.err, context);
  return (w, v) => {
    const { tag, val } = object(v);
    if (tag !== 'ok' && tag !== 'err') throw new ValueFault("expected {tag: 'ok', val} or {tag: 'err', val}");
    w.byte(tag === 'ok' ? 0 : 1);
    const encode = tag === 'ok' ? ok : err;
    try {
      encode?.(w, val);
    } catch (error) {
      throw within(error, `.${tag}`);
    }
  };
}
