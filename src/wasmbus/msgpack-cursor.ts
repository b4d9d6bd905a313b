/** Deepest nesting that is stepped over inside a field nobody reads. */
const MAX_DEPTH = 8;

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * Reads msgpack front to back without building anything but what is asked for. Like the reader of our own claims it never
 * throws: a fault is remembered, everything after it reads as empty, and {@link MsgpackCursor.end} says at the end whether
 * all was well. No length is believed beyond the bytes that are there, so a lie costs nothing.
 */
export class MsgpackCursor {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;
  #fault: string | undefined;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** What is wrong, or `undefined` if nothing was so far. */
  get fault(): string | undefined {
    return this.#fault;
  }

  /** Remembers a fault; the first one stands. */
  fail(reason: string): void {
    this.#fault ??= reason;
    // Nothing is left to read: every loop over what a header announced ends at once.
    this.#at = this.#bytes.length;
  }

  /** Number of pairs of the map that begins here; 0 after a fault. The array form of a struct is a fault. */
  mapLength(maxPairs: number): number {
    const type = this.#byte();
    let pairs: number;
    if ((type & 0xf0) === 0x80) pairs = type & 0x0f;
    else if (type === 0xde) pairs = this.#uint(2);
    else if (type === 0xdf) pairs = this.#uint(4);
    else {
      this.fail('not a map where one must be');
      return 0;
    }
    if (pairs <= maxPairs) return this.#fault === undefined ? pairs : 0;
    this.fail('a map with too many entries');
    return 0;
  }

  /** The text that begins here, of at most `maxBytes` bytes of valid UTF-8. */
  text(maxBytes: number): string {
    const bytes = this.#slice(this.#textLength(this.#byte()), maxBytes);
    try {
      return utf8.decode(bytes);
    } catch {
      this.fail('a text that is not UTF-8');
      return '';
    }
  }

  /** The bytes that begin here: `bin`, or `str` taken as it is. A view. */
  bytes(): Uint8Array {
    const type = this.#byte();
    const length = type >= 0xc4 && type <= 0xc6 ? this.#uint(1 << (type - 0xc4)) : this.#textLength(type);
    return this.#slice(length, Number.POSITIVE_INFINITY);
  }

  /** The unsigned integer that begins here: 0 to 2^53-1, in any width. */
  integer(): number {
    const type = this.#byte();
    if (type <= 0x7f) return type;
    if (type >= 0xcc && type <= 0xce) return this.#uint(1 << (type - 0xcc));
    if (type === 0xcf) {
      const value = this.#uint(4) * 0x1_0000_0000 + this.#uint(4);
      if (value <= Number.MAX_SAFE_INTEGER) return value;
      this.fail('a number that is too large');
      return 0;
    }
    this.fail('not an unsigned number where one must be');
    return 0;
  }

  /** Steps over a `nil` if one stands here, and says whether it did. */
  nil(): boolean {
    if (this.#fault !== undefined || this.#bytes[this.#at] !== 0xc0) return false;
    this.#at++;
    return true;
  }

  /** Steps over one value of any kind, in time bounded by its bytes. */
  skip(depth = 0): void {
    if (depth > MAX_DEPTH) {
      this.fail('nested too deeply');
      return;
    }
    const type = this.#byte();
    if (type <= 0x7f || type >= 0xe0 || type === 0xc0 || type === 0xc2 || type === 0xc3) return;
    if (type <= 0x8f) this.#skipAll(2 * (type & 0x0f), depth);
    else if (type <= 0x9f) this.#skipAll(type & 0x0f, depth);
    else if (type >= 0xc4 && type <= 0xc6) this.#step(this.#uint(1 << (type - 0xc4)));
    else if (type === 0xca) this.#step(4);
    else if (type === 0xcb) this.#step(8);
    else if (type >= 0xcc && type <= 0xcf) this.#step(1 << (type - 0xcc));
    else if (type >= 0xd0 && type <= 0xd3) this.#step(1 << (type - 0xd0));
    else if (type === 0xdc || type === 0xdd) this.#skipAll(this.#uint(type === 0xdc ? 2 : 4), depth);
    else if (type === 0xde || type === 0xdf) this.#skipAll(2 * this.#uint(type === 0xde ? 2 : 4), depth);
    // What is left are texts, extensions (which no peer sends) and the one byte that means nothing; the last two are faults.
    else this.#step(this.#textLength(type));
  }

  /** True if everything could be read and nothing is left. */
  end(): boolean {
    if (this.#at < this.#bytes.length) this.fail('bytes after the end');
    return this.#fault === undefined;
  }

  #skipAll(count: number, depth: number): void {
    // Each value takes a byte at least.
    if (count > this.#bytes.length - this.#at) this.fail('a list or map longer than its bytes');
    for (let n = 0; n < count && this.#fault === undefined; n++) this.skip(depth + 1);
  }

  #textLength(type: number): number {
    if ((type & 0xe0) === 0xa0) return type & 0x1f;
    if (type >= 0xd9 && type <= 0xdb) return this.#uint(1 << (type - 0xd9));
    this.fail('not a text or bytes where they must be');
    return 0;
  }

  #byte(): number {
    if (this.#at < this.#bytes.length) return this.#bytes[this.#at++]!;
    this.fail('too short');
    return 0xc1;
  }

  #uint(width: number): number {
    const at = this.#at;
    if (!this.#step(width)) return 0;
    if (width === 1) return this.#view.getUint8(at);
    return width === 2 ? this.#view.getUint16(at) : this.#view.getUint32(at);
  }

  #slice(length: number, maxBytes: number): Uint8Array {
    const at = this.#at;
    if (length > maxBytes) this.fail('a text that is too long');
    return this.#step(length) ? this.#bytes.subarray(at, at + length) : new Uint8Array(0);
  }

  #step(bytes: number): boolean {
    if (this.#fault === undefined && bytes <= this.#bytes.length - this.#at) {
      this.#at += bytes;
      return true;
    }
    this.fail('too short');
    return false;
  }
}
