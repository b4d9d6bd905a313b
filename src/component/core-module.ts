import { TrellisError } from '../errors.ts';

/**
 * Limits of one core module: reads the memory and table sections, and writes them again with a maximum, so that
 * `memory.grow` and `table.grow` fail inside the guest where the component's budget ends.
 */

/** Bytes of one WebAssembly page. */
export const PAGE_BYTES = 65_536;
/** No table of a component may hold more elements than this; the engine allocates them eagerly. */
export const MAX_TABLE_ELEMENTS = 1_000_000;

const SECTION_TABLE = 4;
const SECTION_MEMORY = 5;

/** A core module with its limits in place. */
export interface CappedModule {
  readonly bytes: Uint8Array;
  /** Memories that the module defines itself. */
  readonly memories: number;
  /** Sum of their initial sizes, bytes. */
  readonly initialMemoryBytes: number;
}

/**
 * Returns `bytes` with every own memory limited to `maxMemoryBytes` and every own table to {@link MAX_TABLE_ELEMENTS}.
 *
 * @param maxMemoryBytes per memory; rounded down to whole pages.
 * @throws TRELLIS_COMPONENT_LIMIT when a memory or table starts above its limit, TRELLIS_COMPONENT_UNSUPPORTED for shared
 *   or 64-bit memories, TRELLIS_COMPONENT_INVALID when the bytes are no core module.
 */
export function capCoreModule(bytes: Uint8Array, maxMemoryBytes: number): CappedModule {
  const maxPages = Math.min(65_536, Math.floor(maxMemoryBytes / PAGE_BYTES));
  const parts: Uint8Array[] = [bytes.subarray(0, 8)];
  let memories = 0;
  let initialMemoryBytes = 0;
  const reader = new Reader(bytes, 8);
  while (reader.offset < bytes.length) {
    const start = reader.offset;
    const id = reader.byte();
    const end = reader.u32() + reader.offset;
    if (end > bytes.length) throw malformed();
    if (id === SECTION_MEMORY || id === SECTION_TABLE) {
      const body: number[] = [];
      const count = reader.u32();
      writeU32(body, count);
      for (let i = 0; i < count; i += 1) {
        if (id === SECTION_MEMORY) {
          const min = capMemory(reader, body, maxPages);
          memories += 1;
          initialMemoryBytes += min * PAGE_BYTES;
        } else if (!capTable(reader, body)) {
          // A table with an initialiser expression: nothing in the component toolchains makes one.
          throw new TrellisError('TRELLIS_COMPONENT_UNSUPPORTED', {
            message: 'a core module has a table of an unsupported form',
          });
        }
      }
      if (reader.offset !== end) throw malformed();
      const head: number[] = [id];
      writeU32(head, body.length);
      parts.push(Uint8Array.from(head), Uint8Array.from(body));
    } else {
      parts.push(bytes.subarray(start, end));
      reader.offset = end;
    }
  }
  return { bytes: concat(parts), memories, initialMemoryBytes };
}

function capMemory(reader: Reader, out: number[], maxPages: number): number {
  const flags = reader.byte();
  if (flags > 1) {
    throw new TrellisError('TRELLIS_COMPONENT_UNSUPPORTED', {
      message: 'a core module has a shared or 64-bit memory',
      remedy: 'Build the component without threads and for wasm32.',
    });
  }
  const min = reader.u32();
  const max = Math.min(flags === 1 ? reader.u32() : maxPages, maxPages);
  if (min > maxPages) {
    throw new TrellisError('TRELLIS_COMPONENT_LIMIT', {
      message: `the component starts with ${min * PAGE_BYTES} bytes of memory, more than the ${maxPages * PAGE_BYTES} it may use`,
      remedy: 'Raise maxMemoryBytes for this component.',
      details: { initialBytes: min * PAGE_BYTES, maxBytes: maxPages * PAGE_BYTES },
    });
  }
  out.push(1);
  writeU32(out, min);
  writeU32(out, Math.max(min, max));
  return min;
}

function capTable(reader: Reader, out: number[]): boolean {
  const type = reader.byte();
  // funcref and externref in their short form; the long forms (0x63, 0x64, 0x40) need a type parser.
  if (type !== 0x70 && type !== 0x6f) return false;
  const flags = reader.byte();
  if (flags > 1) return false;
  const min = reader.u32();
  const max = Math.min(flags === 1 ? reader.u32() : MAX_TABLE_ELEMENTS, MAX_TABLE_ELEMENTS);
  if (min > MAX_TABLE_ELEMENTS) {
    throw new TrellisError('TRELLIS_COMPONENT_LIMIT', {
      message: `a table of the component starts with ${min} elements, more than ${MAX_TABLE_ELEMENTS}`,
      details: { elements: min, max: MAX_TABLE_ELEMENTS },
    });
  }
  out.push(type, 1);
  writeU32(out, min);
  writeU32(out, Math.max(min, max));
  return true;
}

class Reader {
  readonly bytes: Uint8Array;
  offset: number;

  constructor(bytes: Uint8Array, offset: number) {
    const magic = bytes.length >= 8 && bytes[0] === 0 && bytes[1] === 0x61 && bytes[2] === 0x73 && bytes[3] === 0x6d;
    if (!magic || bytes[4] !== 1 || bytes[5] !== 0 || bytes[6] !== 0 || bytes[7] !== 0) throw malformed();
    this.bytes = bytes;
    this.offset = offset;
  }

  byte(): number {
    const value = this.bytes[this.offset];
    if (value === undefined) throw malformed();
    this.offset += 1;
    return value;
  }

  u32(): number {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.byte();
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) {
        if (value > 0xffffffff) throw malformed();
        return value;
      }
    }
    throw malformed();
  }
}

function writeU32(out: number[], value: number): void {
  let rest = value;
  while (rest >= 0x80) {
    out.push((rest % 0x80) | 0x80);
    rest = Math.floor(rest / 0x80);
  }
  out.push(rest);
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const part of parts) length += part.length;
  const out = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

function malformed(): TrellisError {
  return new TrellisError('TRELLIS_COMPONENT_INVALID', { message: 'a core module of the component is malformed' });
}
