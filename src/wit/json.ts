/**
 * WIT values as JSON, for people and files, in the conventions of the conformance vectors: 64-bit integers are decimal
 * strings; byte lists and handles are `{"hex": "…"}`; option is `null` or `{"some": …}`; result is `{"ok": …}` or
 * `{"err": …}`; variant is `{"case": …, "payload": …}`; flags is the list of set names; the floats JSON lacks are the strings
 * `NaN`, `Infinity`, `-Infinity`, `-0`; a stream or future is `"pending"` or `{"ready": …}`.
 *
 * Taken as well: numbers for 64-bit integers as long as they are exact, arrays of numbers and `{"utf8": "…"}` for byte lists.
 */
import { TrellisError } from '../errors.ts';
import { INTEGER_RANGES, isNumeric, isPlainOption, NUMERIC_ARRAYS, PENDING, ReadyFuture, ReadyStream } from './js-shapes.ts';
import { camelCase, type WitType } from './types.ts';

/** Anything JSON can hold. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

function wrong(path: string, message: string): never {
  throw new TrellisError('TRELLIS_WIT_VALUE', { message: `${path}: ${message}` });
}

function keyOf(json: unknown, path: string, what: string, ...keys: string[]): [key: string, value: unknown] {
  if (typeof json === 'object' && json !== null && !Array.isArray(json)) {
    const own = Object.keys(json);
    const [key] = own;
    if (own.length === 1 && key !== undefined && keys.includes(key)) return [key, (json as Record<string, unknown>)[key]];
  }
  return wrong(path, `expected ${what}`);
}

function bytesFrom(json: unknown, path: string): Uint8Array {
  if (Array.isArray(json)) {
    return Uint8Array.from(json, (each, i) =>
      Number.isInteger(each) && each >= 0 && each <= 255 ? (each as number) : wrong(`${path}[${i}]`, 'expected a byte'),
    );
  }
  const [key, text] = keyOf(json, path, '{"hex": "…"} or {"utf8": "…"}', 'hex', 'utf8');
  if (typeof text !== 'string') return wrong(`${path}.${key}`, 'expected a string');
  if (key === 'utf8') return new TextEncoder().encode(text);
  if (text.length % 2 !== 0 || !/^[0-9a-fA-F]*$/.test(text)) return wrong(`${path}.hex`, 'expected pairs of hex digits');
  return new Uint8Array(Buffer.from(text, 'hex'));
}

function floatFrom(json: unknown, path: string): number {
  if (typeof json === 'number') return json;
  if (json === 'NaN' || json === 'Infinity' || json === '-Infinity' || json === '-0') return Number(json);
  return wrong(path, 'expected a number, "NaN", "Infinity", "-Infinity" or "-0"');
}

function bigFrom(kind: 'u64' | 's64', json: unknown, path: string): bigint {
  const exact =
    (typeof json === 'number' && Number.isSafeInteger(json)) || (typeof json === 'string' && /^-?[0-9]{1,20}$/.test(json));
  const value = exact ? BigInt(json) : wrong(path, `expected a ${kind} as decimal digits in a string`);
  if ((kind === 'u64' ? BigInt.asUintN(64, value) : BigInt.asIntN(64, value)) !== value)
    return wrong(path, `${value} is not a ${kind}`);
  return value;
}

function arrayFrom(json: unknown, path: string): readonly unknown[] {
  return Array.isArray(json) ? json : wrong(path, 'expected an array');
}

/**
 * The JavaScript value of a WIT type that `json` describes. `"pending"` gives {@link PENDING}.
 * @throws TRELLIS_WIT_VALUE, with the place: `params[0].name: expected a string`
 */
export function fromJson(type: WitType, json: unknown, path = 'value'): unknown {
  switch (type.kind) {
    case 'bool':
      return typeof json === 'boolean' ? json : wrong(path, 'expected true or false');
    case 'u64':
    case 's64':
      return bigFrom(type.kind, json, path);
    case 'f32':
    case 'f64':
      return floatFrom(json, path);
    case 'char':
      return typeof json === 'string' && [...json].length === 1 ? json : wrong(path, 'expected one character');
    case 'string':
      return typeof json === 'string' ? json : wrong(path, 'expected a string');
    case 'list':
      return listFrom(type.elem, json, path);
    case 'tuple': {
      const items = arrayFrom(json, path);
      if (items.length !== type.elems.length) return wrong(path, `expected ${type.elems.length} values, got ${items.length}`);
      return type.elems.map((elem, i) => fromJson(elem, items[i], `${path}[${i}]`));
    }
    case 'record':
      return recordFrom(type, json, path);
    case 'variant':
      return variantFrom(type, json, path);
    case 'enum':
      if (typeof json === 'string' && type.names.includes(json)) return json;
      return wrong(path, `expected one of ${type.names.slice(0, 20).join(', ')}`);
    case 'flags': {
      const set = arrayFrom(json, path);
      for (const name of set) if (!type.names.includes(name as string)) return wrong(path, `has no flag ${JSON.stringify(name)}`);
      return Object.fromEntries(type.names.map((name) => [camelCase(name), set.includes(name)]));
    }
    case 'option': {
      const tagged = isPlainOption(type.some);
      if (json === null) return tagged ? { tag: 'none' } : undefined;
      const [, inner] = keyOf(json, path, 'null or {"some": …}', 'some');
      const val = fromJson(type.some, inner, `${path}.some`);
      return tagged ? { tag: 'some', val } : val;
    }
    case 'result': {
      const [tag, inner] = keyOf(json, path, '{"ok": …} or {"err": …}', 'ok', 'err');
      return { tag, val: payloadFrom(tag === 'ok' ? type.ok : type.err, inner, `${path}.${tag}`) };
    }
    case 'own':
    case 'borrow':
      return bytesFrom(json, path);
    case 'stream': {
      if (json === 'pending') return PENDING;
      const [, items] = keyOf(json, path, '"pending" or {"ready": […]}', 'ready');
      return new ReadyStream(listFrom(type.elem ?? { kind: 'tuple', elems: [] }, items, `${path}.ready`) as unknown[]);
    }
    case 'future': {
      if (json === 'pending') return PENDING;
      const [, inner] = keyOf(json, path, '"pending" or {"ready": …}', 'ready');
      return new ReadyFuture(payloadFrom(type.some, inner, `${path}.ready`));
    }
    default: {
      const [min, max] = INTEGER_RANGES[type.kind];
      if (typeof json === 'number' && Number.isInteger(json) && json >= min && json <= max) return json;
      return wrong(path, `expected a ${type.kind}`);
    }
  }
}

function payloadFrom(type: WitType | null, json: unknown, path: string): unknown {
  if (type !== null) return fromJson(type, json, path);
  return json === null || json === undefined ? undefined : wrong(path, 'expected null');
}

function listFrom(elem: WitType, json: unknown, path: string): unknown {
  if (elem.kind === 'u8') return bytesFrom(json, path);
  const items = arrayFrom(json, path).map((each, i) => fromJson(elem, each, `${path}[${i}]`));
  if (!isNumeric(elem.kind)) return items;
  const list = NUMERIC_ARRAYS[elem.kind] as { from(items: Iterable<unknown>): unknown };
  return list.from(items);
}

function recordFrom(type: Extract<WitType, { kind: 'record' }>, json: unknown, path: string): unknown {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) return wrong(path, 'expected an object');
  const given = json as Record<string, unknown>;
  for (const key of Object.keys(given)) {
    if (!type.fields.some((field) => field.name === key)) return wrong(path, `has no field ${JSON.stringify(key)}`);
  }
  const out: Record<string, unknown> = {};
  for (const { name, ty } of type.fields) {
    const there = Object.hasOwn(given, name);
    if (!there && ty.kind !== 'option') return wrong(`${path}.${name}`, 'is missing');
    out[camelCase(name)] = fromJson(ty, there ? given[name] : null, `${path}.${name}`);
  }
  return out;
}

function variantFrom(type: Extract<WitType, { kind: 'variant' }>, json: unknown, path: string): unknown {
  const given =
    typeof json === 'object' && json !== null ? (json as Record<string, unknown>) : wrong(path, 'expected {"case": …}');
  const found = type.cases.find((each) => each.name === given['case']);
  if (found === undefined)
    return wrong(
      path,
      `expected one of the cases ${type.cases
        .slice(0, 20)
        .map((each) => each.name)
        .join(', ')}`,
    );
  const val = payloadFrom(found.ty, given['payload'], `${path}.payload`);
  return found.ty === null ? { tag: found.name } : { tag: found.name, val };
}

function floatTo(kind: 'f32' | 'f64', value: number): Json {
  if (Object.is(value, -0)) return '-0';
  if (!Number.isFinite(value)) return String(value);
  if (kind === 'f64') return value;
  // The shortest decimal that is the same 32-bit float: 0.42, not 0.41999998688697815.
  for (let digits = 6; digits < 9; digits++) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === value) return short;
  }
  return Number(value.toPrecision(9));
}

const hexTo = (value: unknown): Json => ({ hex: Buffer.from(value as Uint8Array).toString('hex') });

/** The JSON of a value that has `type` (as decoding gives it). Streams and futures without content at hand are `"pending"`. */
export function toJson(type: WitType, value: unknown): Json {
  const fields = value as Record<string, unknown>;
  switch (type.kind) {
    case 'u64':
    case 's64':
      return String(value);
    case 'f32':
    case 'f64':
      return floatTo(type.kind, value as number);
    case 'list':
      return listTo(type.elem, value);
    case 'tuple':
      return type.elems.map((elem, i) => toJson(elem, (value as unknown[])[i]));
    case 'record':
      return Object.fromEntries(type.fields.map(({ name, ty }) => [name, toJson(ty, fields[camelCase(name)])]));
    case 'variant': {
      const ty = type.cases.find((each) => each.name === fields['tag'])?.ty ?? null;
      return ty === null ? { case: String(fields['tag']) } : { case: String(fields['tag']), payload: toJson(ty, fields['val']) };
    }
    case 'flags':
      return type.names.filter((name) => fields[camelCase(name)] === true);
    case 'option':
      if (value === undefined || value === null) return null;
      if (!isPlainOption(type.some)) return { some: toJson(type.some, value) };
      return fields['tag'] === 'none' ? null : { some: toJson(type.some, fields['val']) };
    case 'result': {
      const ty = fields['tag'] === 'ok' ? type.ok : type.err;
      return { [String(fields['tag'])]: ty === null ? null : toJson(ty, fields['val']) };
    }
    case 'own':
    case 'borrow':
      return hexTo(value);
    case 'stream':
      if (!(value instanceof ReadyStream)) return 'pending';
      return { ready: listTo(type.elem ?? { kind: 'tuple', elems: [] }, value.items) };
    case 'future':
      if (!(value instanceof ReadyFuture)) return 'pending';
      return { ready: type.some === null ? null : toJson(type.some, value.value) };
    default:
      return value as Json;
  }
}

function listTo(elem: WitType, value: unknown): Json {
  if (elem.kind === 'u8') return hexTo(value);
  return Array.from(value as Iterable<unknown>, (each) => toJson(elem, each));
}
