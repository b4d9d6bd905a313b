/** Values as JSON ↔ their bytes on the wire: what `trellis wire` and `trellis call` show to people. */
import { TrellisError } from '../errors.ts';
import { compileFunction, type CodecOptions, type Decoded } from './codec.ts';
import type { Encoded } from './encode-async.ts';
import { fromJson, toJson, type Json } from './json.ts';
import type { WitFunction, WitType } from './types.ts';

const functionOf = (type: WitType): WitFunction => ({ name: 'value', wireName: 'value', params: [], result: type, async: false });

function bytesOf(encoded: Encoded): Uint8Array {
  if (encoded.ok) return encoded.bytes;
  throw new TrellisError('TRELLIS_WIT_VALUE', { message: encoded.reason });
}

function valuesOf(decoded: Decoded, length: number): unknown[] {
  if (!decoded.ok) {
    const message = decoded.incomplete ? 'the bytes end in the middle of the value' : decoded.reason;
    throw new TrellisError('TRELLIS_WIT_BYTES', { message });
  }
  if (decoded.consumed === length) return decoded.values;
  throw new TrellisError('TRELLIS_WIT_BYTES', { message: `${length - decoded.consumed} bytes follow the value` });
}

/** The root bytes of a value given as JSON; pending streams and futures are only marked. @throws TRELLIS_WIT_VALUE */
export function encodeJson(type: WitType, json: unknown, options?: CodecOptions): Uint8Array {
  return bytesOf(compileFunction(functionOf(type), options).encodeResult(fromJson(type, json)));
}

/** The JSON of a value given as its root bytes, all of which must belong to it. @throws TRELLIS_WIT_BYTES */
export function decodeJson(type: WitType, bytes: Uint8Array): Json {
  const [value] = valuesOf(compileFunction(functionOf(type)).decodeResult(bytes), bytes.length);
  return toJson(type, value);
}

/**
 * The parameters of a call from a JSON array, ready for the codec.
 * @throws TRELLIS_WIT_VALUE, with the place: `params[0].name: expected a string`
 */
export function paramsFromJson(fn: WitFunction, json: unknown): unknown[] {
  const given = Array.isArray(json) ? (json as unknown[]) : undefined;
  if (given === undefined || given.length !== fn.params.length) {
    const names = fn.params.map((param) => param.name).join(', ');
    const message = `${fn.wireName} takes an array of ${fn.params.length} parameters${names === '' ? '' : ` (${names})`}`;
    throw new TrellisError('TRELLIS_WIT_VALUE', { message });
  }
  return fn.params.map((param, i) => fromJson(param.type, given[i], `params[${i}]`));
}

/** The JSON of a decoded result; `null` for a function without one. */
export function resultToJson(fn: WitFunction, values: readonly unknown[]): Json {
  return fn.result === null ? null : toJson(fn.result, values[0]);
}
