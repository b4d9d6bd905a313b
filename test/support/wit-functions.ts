import { compileFunction, type CodecOptions, type FunctionCodec } from '../../src/wit/codec.ts';
import { parseWitType } from '../../src/wit/type-text.ts';
import type { WitFunction, WitType } from '../../src/wit/types.ts';

/** A function from WIT type texts: `witFunction(['u8', 'stream<u8>'], 'string')`. */
export function witFunction(params: readonly string[], result: string | null): WitFunction {
  return {
    name: 'f',
    wireName: 'f',
    params: params.map((text, i) => ({ name: `p${i}`, type: parseWitType(text) })),
    result: result === null ? null : parseWitType(result),
    async: false,
  };
}

/** The codec of a function with one result. */
export function codecOf(type: WitType | string, options?: CodecOptions): FunctionCodec {
  const result = typeof type === 'string' ? parseWitType(type) : type;
  return compileFunction({ name: 'f', wireName: 'f', params: [], result, async: false }, options);
}

/** Bytes from hex digits; white space is skipped. */
export function hex(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text.replace(/\s/g, ''), 'hex'));
}

/** Bytes as hex digits. */
export function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
