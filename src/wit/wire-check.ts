/** Checks conformance vectors in the form of `test/fixtures/wrpc-vectors.json`. */
import { isDeepStrictEqual } from 'node:util';
import { TrellisError } from '../errors.ts';
import { parseWitType, printWitType } from './type-text.ts';
import { witTypeFromJson } from './type-json.ts';
import type { WitType } from './types.ts';
import { decodeJson, encodeJson } from './wire-text.ts';

/** One vector, checked. */
export interface WireCheckRow {
  readonly id: string;
  readonly ok: boolean;
  /** Empty when it passed. */
  readonly message: string;
}

/** What a file of vectors came to. */
export interface WireCheck {
  readonly rows: readonly WireCheckRow[];
  readonly passed: number;
  readonly failed: number;
}

/** Longest value in a file of vectors, hex digits. */
const MOST_HEX = 64 * 1024 * 1024;

/**
 * Encodes and decodes each of `vectors` (fields `id`, `type`, `value`, `hex`, optionally `wit`) and decodes each of
 * `decodeOnly` (fields `wit`, `hex`, and the expectation: `reject: boolean`, or else `value`, or else what `rust` says).
 * A row that cannot be understood fails; it does not stop the others.
 * @throws TRELLIS_WIT_VALUE when there are no vectors at all
 */
export function checkVectors(json: unknown): WireCheck {
  const file = (typeof json === 'object' && json !== null ? json : {}) as Record<string, unknown>;
  const vectors = Array.isArray(file['vectors']) ? (file['vectors'] as unknown[]) : undefined;
  const decodeOnly = Array.isArray(file['decodeOnly']) ? (file['decodeOnly'] as unknown[]) : undefined;
  if (vectors === undefined && decodeOnly === undefined) {
    throw new TrellisError('TRELLIS_WIT_VALUE', { message: 'the file has no list "vectors" or "decodeOnly"' });
  }
  const rows = [
    ...(vectors ?? []).map((each, i) => row(each, `vectors[${i}]`, checkVector)),
    ...(decodeOnly ?? []).map((each, i) => row(each, `decodeOnly[${i}]`, checkDecodeOnly)),
  ];
  const passed = rows.filter((each) => each.ok).length;
  return { rows, passed, failed: rows.length - passed };
}

function row(given: unknown, place: string, check: (vector: Record<string, unknown>) => string): WireCheckRow {
  const vector = (typeof given === 'object' && given !== null ? given : {}) as Record<string, unknown>;
  const { id, wit, hex } = vector;
  const name =
    typeof id === 'string' ? id : typeof wit === 'string' && typeof hex === 'string' ? `${wit} ${hex.slice(0, 40)}` : place;
  try {
    const message = check(vector);
    return { id: name, ok: message === '', message };
  } catch (error) {
    if (error instanceof TrellisError) return { id: name, ok: false, message: error.message };
    throw error;
  }
}

function bytesOf(vector: Record<string, unknown>): Buffer {
  const { hex } = vector;
  if (typeof hex !== 'string' || hex.length > MOST_HEX || hex.length % 2 !== 0 || !/^[0-9a-fA-F]*$/.test(hex)) {
    throw new TrellisError('TRELLIS_WIT_VALUE', { message: 'hex: expected pairs of hex digits' });
  }
  return Buffer.from(hex, 'hex');
}

function typeOf(vector: Record<string, unknown>): WitType {
  if (vector['type'] !== undefined) return witTypeFromJson(vector['type']);
  return parseWitType(typeof vector['wit'] === 'string' ? vector['wit'] : '');
}

// Long types are abbreviated in the vectors' text: `enum{300 cases}`, `flags{8}`.
const isAbbreviated = (wit: string): boolean => /\{[0-9]+( cases)?\}/.test(wit);

function checkVector(vector: Record<string, unknown>): string {
  const type = typeOf(vector);
  const bytes = bytesOf(vector);
  const { wit, value } = vector;
  if (typeof wit === 'string' && !isAbbreviated(wit) && printWitType(parseWitType(wit)) !== printWitType(type)) {
    return `the type is ${printWitType(type)}, the text says ${wit}`;
  }
  const encoded = Buffer.from(encodeJson(type, value));
  if (!encoded.equals(bytes)) return `encodes to ${encoded.toString('hex')}, expected ${bytes.toString('hex')}`;
  const decoded = decodeJson(type, bytes);
  return isDeepStrictEqual(decoded, value) ? '' : `decodes to ${JSON.stringify(decoded)}, expected ${JSON.stringify(value)}`;
}

function checkDecodeOnly(vector: Record<string, unknown>): string {
  const type = typeOf(vector);
  const bytes = bytesOf(vector);
  const wanted = expectation(vector);
  let got: string;
  try {
    got = JSON.stringify(decodeJson(type, bytes));
  } catch (error) {
    if (!(error instanceof TrellisError) || error.code !== 'TRELLIS_WIT_BYTES') throw error;
    return wanted === 'refused' ? '' : `is refused (${error.message}), expected ${wanted}`;
  }
  return got === wanted ? '' : `decodes to ${got}, expected ${wanted}`;
}

/**
 * What has to come out: the JSON text of a value, or `refused`. Where only the behaviour of the Rust peers is noted it is
 * followed, with two differences: they refuse their own long negative integers, which are read here, and read overlong
 * characters, which are refused here.
 */
function expectation(vector: Record<string, unknown>): string {
  if (vector['reject'] === true) return 'refused';
  if (vector['value'] !== undefined) return JSON.stringify(vector['value']);
  const { wit, hex, rust } = vector;
  if (wit === 'char' && typeof rust === 'string' && rust.includes('overlong')) return 'refused';
  const negative = /^s(16|32|64)$/.exec(String(wit));
  if (negative !== null && rust === 'rejected') return signExtended(String(hex), Number(negative[1]));
  const number = /^(-?[0-9]+)(?: |$)/.exec(String(rust));
  if (number === null) return 'refused';
  return wit === 'u64' || wit === 's64' ? `"${number[1]}"` : number[1]!;
}

/** A standard signed LEB128, read independently of the codec. */
function signExtended(hex: string, bits: number): string {
  const bytes = [...Buffer.from(hex, 'hex')];
  const value = BigInt.asIntN(
    7 * bytes.length,
    bytes.reduce((sum, byte, i) => sum + (BigInt(byte & 0x7f) << BigInt(7 * i)), 0n),
  );
  return bits === 64 ? `"${value}"` : String(value);
}
