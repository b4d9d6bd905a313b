import { createHash, hash } from 'node:crypto';

/**
 * One value, one spelling. Everything that is signed is written in exactly one way and read back only in that way;
 * a lenient reader would let many texts stand for one signature.
 */

const scratch = Buffer.alloc(16 * 1024);

/** The bytes of an unpadded base64url text, or `undefined` unless it is the one spelling of those bytes. */
export function decodeBase64url(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64url');
  return bytes.toString('base64url') === text ? bytes : undefined;
}

/**
 * Like {@link decodeBase64url}, but gives the bytes as a text of one character a byte (latin1) and takes at most 8,192
 * characters. Spares the hot path a buffer a token.
 */
export function decodeBase64urlText(text: string): string | undefined {
  if (text.length > 8192) return undefined;
  const length = scratch.write(text, 'base64url');
  return scratch.toString('base64url', 0, length) === text ? scratch.toString('latin1', 0, length) : undefined;
}

/** How a digest is given back: as 43 characters of base64url, or as 32 characters of one byte each. */
export type DigestForm = 'base64url' | 'binary';

/**
 * What opens the digest `D(label, part…)` = SHA-256(`wzt2` 00 label 00, then for each part its length as u64 big endian and its
 * bytes). The label keeps the purposes apart, the lengths keep the parts apart: no two inputs share a hashed text.
 */
export function domainPrefix(label: string): Buffer {
  return Buffer.from(`wzt2\0${label}\0`, 'latin1');
}

function writeLength(target: Buffer, length: number, offset: number): number {
  target.writeUInt32BE(Math.floor(length / 0x1_0000_0000), offset);
  return target.writeUInt32BE(length >>> 0, offset + 4);
}

/** Bytes in one piece or in several that follow each other; the split is of no meaning. */
export type ByteParts = Uint8Array | readonly Uint8Array[];

/** The total length of `bytes`. */
export function byteLengthOf(bytes: ByteParts): number {
  if (bytes instanceof Uint8Array) return bytes.length;
  let total = 0;
  for (const part of bytes) total += part.length;
  return total;
}

/** A digest function over one byte string, which may lie in several pieces. */
export function bytesDigest(label: string): (bytes: ByteParts, form: DigestForm) => string {
  const prefix = domainPrefix(label);
  return (bytes, form) => {
    const length = byteLengthOf(bytes);
    const start = prefix.length + 8;
    if (start + length > scratch.length) {
      const frame = Buffer.alloc(start);
      writeLength(frame, length, prefix.copy(frame));
      const digest = createHash('sha256').update(frame);
      if (bytes instanceof Uint8Array) digest.update(bytes);
      else for (const part of bytes) digest.update(part);
      return digest.digest(form);
    }
    writeLength(scratch, length, prefix.copy(scratch));
    let end = start;
    if (bytes instanceof Uint8Array) {
      scratch.set(bytes, end);
      end += length;
    } else {
      for (const part of bytes) {
        scratch.set(part, end);
        end += part.length;
      }
    }
    return hash('sha256', scratch.subarray(0, end), form);
  };
}

/** A digest function over one text of ASCII (or latin1) characters. */
export function textDigest(label: string): (text: string, form: DigestForm) => string {
  const prefix = domainPrefix(label);
  const overBytes = bytesDigest(label);
  return (text, form) => {
    const start = prefix.length + 8;
    if (start + text.length > scratch.length) return overBytes(Buffer.from(text, 'latin1'), form);
    writeLength(scratch, text.length, prefix.copy(scratch));
    scratch.write(text, start, 'latin1');
    return hash('sha256', scratch.subarray(0, start + text.length), form);
  };
}

/** A digest function over two parts of fixed lengths (bytes as latin1 characters); the frame is laid out once. */
export function pairDigest(label: string, firstBytes: number, secondBytes: number): (first: string, second: string) => string {
  const prefix = domainPrefix(label);
  const frame = Buffer.alloc(prefix.length + 8 + firstBytes + 8 + secondBytes);
  const first = writeLength(frame, firstBytes, prefix.copy(frame));
  const second = writeLength(frame, secondBytes, first + firstBytes);
  return (a, b) => {
    frame.write(a, first, firstBytes, 'latin1');
    frame.write(b, second, secondBytes, 'latin1');
    return hash('sha256', frame, 'binary');
  };
}

// Printable ASCII without the backslash, so that no JSON string in it can hold an escape.
const PLAIN_JSON = /^[\x20-\x5b\x5d-\x7e]+$/;
// What a string value may hold: printable ASCII without quote and backslash.
const PLAIN_VALUE = /^[\x20\x21\x23-\x5b\x5d-\x7e]*$/;

/** True if `value` can be a string in a claims text. */
export function isPlainValue(value: string): boolean {
  return PLAIN_VALUE.test(value);
}

/**
 * Reads one flat JSON object whose keys come in a known order, without white space, escapes, or any number that is not a
 * plain non-negative integer. What it accepts is, character by character, what the writer would have written, so it needs no
 * second pass that writes the claims again to compare. A fault is remembered; ask {@link ClaimsReader.end} once, at the end.
 */
export class ClaimsReader {
  readonly #text: string;
  #at = 0;
  #failed: boolean;

  constructor(text: string) {
    this.#text = text;
    this.#failed = !PLAIN_JSON.test(text);
  }

  /** Steps over `literal`, such as `{"v":2,"jti":"`. */
  literal(literal: string): void {
    if (this.#failed || !this.#text.startsWith(literal, this.#at)) this.#failed = true;
    else this.#at += literal.length;
  }

  /** Steps over `literal` if it stands here, and says whether it did: for a key that may be absent. */
  optional(literal: string): boolean {
    if (this.#failed || !this.#text.startsWith(literal, this.#at)) return false;
    this.#at += literal.length;
    return true;
  }

  /** The string value that starts here and ends before the next quote, which the next literal must begin with. */
  value(): string {
    const end = this.#failed ? -1 : this.#text.indexOf('"', this.#at);
    if (end < 0) {
      this.#failed = true;
      return '';
    }
    const value = this.#text.slice(this.#at, end);
    this.#at = end;
    return value;
  }

  /** The integer that starts here: 0 to 2^53-1, no sign, no leading zero, no fraction or exponent. */
  integer(): number {
    const start = this.#at;
    let value = 0;
    while (!this.#failed) {
      const digit = this.#text.charCodeAt(this.#at) - 48;
      if (!(digit >= 0 && digit <= 9)) break;
      value = value * 10 + digit;
      this.#at++;
      if (value > Number.MAX_SAFE_INTEGER) this.#failed = true;
    }
    const digits = this.#at - start;
    if (digits === 0 || (digits > 1 && this.#text.charCodeAt(start) === 48)) this.#failed = true;
    return value;
  }

  /** True if everything fitted and nothing is left. */
  end(): boolean {
    return !this.#failed && this.#at === this.#text.length;
  }
}
