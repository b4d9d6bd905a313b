import { TrellisError } from '../errors.ts';
import { quote } from '../ids.ts';

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Longest name a component may hold, bytes (the limit engines use). */
const MAX_NAME_BYTES = 100_000;

/** Says that a file is not a well-formed component. `offset` is a byte position in the file. */
export function malformed(reason: string, offset: number): TrellisError {
  return new TrellisError('TRELLIS_WIT_MALFORMED', { message: `not a well-formed component: ${reason}`, details: { offset } });
}

/** Says that a component uses something that cannot cross a lattice. */
export function unsupported(what: string): TrellisError {
  return new TrellisError('TRELLIS_WIT_UNSUPPORTED', { message: `the component uses ${what}, which is not supported` });
}

/** What one reading of one file may cost in all. Shared by every cursor on the file. */
export interface Budget {
  /** Definitions, declarations, fields and evaluation steps still allowed. */
  steps: number;
}

/**
 * Reads the primitives of the WebAssembly binary format from `bytes[pos, end)`. Never reads past `end`; every fault is
 * TRELLIS_WIT_MALFORMED.
 */
export class WasmCursor {
  readonly bytes: Uint8Array;
  readonly end: number;
  readonly budget: Budget;
  pos: number;

  constructor(bytes: Uint8Array, pos: number, end: number, budget: Budget) {
    this.bytes = bytes;
    this.pos = pos;
    this.end = end;
    this.budget = budget;
  }

  /** A cursor over the next `length` bytes; this one moves past them. */
  sub(length: number): WasmCursor {
    const start = this.pos;
    this.skip(length);
    return new WasmCursor(this.bytes, start, this.pos, this.budget);
  }

  get done(): boolean {
    return this.pos >= this.end;
  }

  skip(length: number): void {
    if (length > this.end - this.pos) throw malformed('it ends too early', this.pos);
    this.pos += length;
  }

  byte(): number {
    if (this.pos >= this.end) throw malformed('it ends too early', this.pos);
    return this.bytes[this.pos++]!;
  }

  /** An unsigned LEB128 of at most 32 bits. */
  u32(): number {
    let value = 0;
    for (let i = 0; i < 5; i++) {
      const byte = this.byte();
      if (i === 4 && byte > 0x0f) throw malformed('an integer is too large', this.pos);
      value += (byte & 0x7f) * 2 ** (7 * i);
      if (byte < 0x80) return value;
    }
    throw malformed('an integer is too long', this.pos);
  }

  /** An unsigned LEB128 of at most 64 bits, as a number; values above 2^53 lose their low bits. */
  u64(): number {
    let value = 0;
    for (let i = 0; i < 10; i++) {
      const byte = this.byte();
      if (i === 9 && byte > 1) throw malformed('an integer is too large', this.pos);
      value += (byte & 0x7f) * 2 ** (7 * i);
      if (byte < 0x80) return value;
    }
    throw malformed('an integer is too long', this.pos);
  }

  /** A signed LEB128 of at most 33 bits, the form of type references: negative codes are types, others are indices. */
  s33(): number {
    let value = 0;
    for (let i = 0; i < 5; i++) {
      const byte = this.byte();
      value += (byte & 0x7f) * 2 ** (7 * i);
      if (byte < 0x80) return byte & 0x40 ? value - 2 ** (7 * (i + 1)) : value;
    }
    throw malformed('an integer is too long', this.pos);
  }

  /** The length of a vector whose elements take at least one byte each; charged to the budget. */
  count(): number {
    const count = this.u32();
    if (count > this.end - this.pos) throw malformed('a vector is longer than the file', this.pos);
    this.charge(count);
    return count;
  }

  charge(steps: number): void {
    this.budget.steps -= steps;
    if (this.budget.steps < 0) throw malformed('it has too many definitions', this.pos);
  }

  name(): string {
    const length = this.u32();
    if (length > MAX_NAME_BYTES) throw malformed('a name is too long', this.pos);
    const start = this.pos;
    this.skip(length);
    try {
      return utf8.decode(this.bytes.subarray(start, this.pos));
    } catch {
      throw malformed('a name is not UTF-8', start);
    }
  }

  /** Reads a byte that must be one of a few; `what` names it in the fault. */
  oneOf(what: string, ...allowed: number[]): number {
    const byte = this.byte();
    if (!allowed.includes(byte)) throw malformed(`${what} has the unknown code 0x${byte.toString(16)}`, this.pos - 1);
    return byte;
  }
}

// Labels of the component-model grammar: kebab words, each all lower or all upper case, the first beginning with a letter.
// A fragment of digits alone is a word and an acronym: written so that it matches in one way only, else a long name of such
// fragments would take exponential time to refuse.
const FRAGMENT = '(?=[0-9A-Za-z])[0-9]*(?:[a-z][0-9a-z]*|[A-Z][0-9A-Z]*)?';
const LABEL = `(?:[a-z][0-9a-z]*|[A-Z][0-9A-Z]*)(?:-${FRAGMENT})*`;
const WORDS = '[a-z][0-9a-z]*(?:-[0-9a-z]+)*';
const VERSION = '@[0-9]+(?:\\.[0-9]+){0,2}(?:-[0-9A-Za-z.-]+)?(?:\\+[0-9A-Za-z.-]+)?';
const labelPattern = new RegExp(`^${LABEL}$`);
const externPattern = new RegExp(
  `^(?:${LABEL}|\\[constructor\\]${LABEL}|\\[(?:method|static)\\]${LABEL}\\.${LABEL}|(?:${WORDS}:)+${WORDS}(?:/${LABEL})+(?:${VERSION})?)$`,
);

/** True if `name` is a label of the component model: the names of parameters, fields, cases, flags. */
export function isLabel(name: string): boolean {
  return name.length <= 256 && labelPattern.test(name);
}

/** True if `name` may name an import or export of a component: a label, a resource member, or an interface name. */
export function isExternName(name: string): boolean {
  return name.length <= 512 && externPattern.test(name);
}

/** Throws TRELLIS_WIT_MALFORMED unless `name` is a label. Duplicates are the caller's matter. */
export function checkLabel(name: string, offset: number): string {
  if (!isLabel(name)) throw malformed(`${quote(name)} is not a name of the component model`, offset);
  return name;
}
