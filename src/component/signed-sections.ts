import { createHash } from 'node:crypto';
import { WasmCursor } from '../wit/wasm-cursor.ts';

/** The parts of a file that concern its claims. */
export interface SignedSections {
  /** Contents of the sections at the top level that hold claims. */
  readonly jwts: readonly Uint8Array[];
  /** Upper-case hexadecimal SHA-256 of the file without any such section: what the claims speak of. */
  hash(): string;
}

const NAMES = new Set(['wasmcloud_jwt', 'jwt']);
const CUSTOM = 0;
const NESTED_MODULE = 1;
const NESTED_COMPONENT = 4;
const MODULE_HEADER = Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0);
const COMPONENT_HEADER = Uint8Array.of(0, 0x61, 0x73, 0x6d, 0x0d, 0, 1, 0);
const HEADER_BYTES = 8;
const MAX_DEPTH = 16;
const MAX_SECTIONS = 500_000;

/**
 * Takes the claims out of a module or component, and gives the hash over the rest as wascap makes it: every section again, in its
 * order, with its length in the shortest form, nested modules and components likewise. `undefined` if the bytes are neither. Never throws.
 */
export function readSignedSections(bytes: Uint8Array): SignedSections | undefined {
  const jwts: Uint8Array[] = [];
  try {
    const chunks = reencode(new WasmCursor(bytes, 0, bytes.length, { steps: MAX_SECTIONS }), 0, jwts);
    return { jwts, hash: () => hashOf(chunks.parts) };
  } catch {
    return undefined;
  }
}

interface Chunks {
  readonly parts: Uint8Array[];
  length: number;
}

function reencode(cursor: WasmCursor, depth: number, jwts: Uint8Array[]): Chunks {
  const out: Chunks = { parts: [], length: 0 };
  const add = (part: Uint8Array): void => {
    out.parts.push(part);
    out.length += part.length;
  };
  const start = cursor.pos;
  cursor.skip(HEADER_BYTES);
  const header = cursor.bytes.subarray(start, cursor.pos);
  const isComponent = equal(header, COMPONENT_HEADER);
  if (depth > MAX_DEPTH || (!isComponent && !equal(header, MODULE_HEADER))) throw new RangeError('not WebAssembly');
  add(header);
  while (!cursor.done) {
    cursor.charge(1);
    const id = cursor.byte();
    const section = cursor.sub(cursor.u32());
    const body = section.bytes.subarray(section.pos, section.end);
    if (id === CUSTOM && NAMES.has(section.name())) {
      // Claims further in are left out of the hash too, and mean nothing here.
      if (depth === 0) jwts.push(section.bytes.subarray(section.pos, section.end));
    } else if (isComponent && (id === NESTED_MODULE || id === NESTED_COMPONENT)) {
      const nested = reencode(section, depth + 1, jwts);
      add(head(id, nested.length));
      for (const part of nested.parts) add(part);
    } else {
      add(head(id, body.length));
      add(body);
    }
  }
  return out;
}

/** Id and length of a section. */
function head(id: number, length: number): Uint8Array {
  const bytes = [id];
  let rest = length;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest & 0x7f) | 0x80);
  bytes.push(rest);
  return Uint8Array.from(bytes);
}

function hashOf(parts: readonly Uint8Array[]): string {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest('hex').toUpperCase();
}

const equal = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;
