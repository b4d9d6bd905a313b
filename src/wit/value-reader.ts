/** The primitive encodings of wRPC (wRPC over NATS, value encoding), read from bytes that a stranger sent. */
import { isUtf8 } from 'node:buffer';

/** Why bytes could not be read. */
export class WireFault extends Error {
  /** True if the bytes so far are fine and more of them are needed. */
  readonly incomplete: boolean;
  /** For an incomplete value: it cannot be complete with fewer bytes than this, counted from the start. */
  readonly need: number;

  constructor(reason: string, need = -1) {
    super(reason);
    this.incomplete = need >= 0;
    this.need = need;
  }
}

const NO_BYTES = new Uint8Array(0);

/** Reads values one after another. Never reads past the end; every fault is a {@link WireFault}. */
export class ValueReader {
  readonly bytes: Uint8Array;
  readonly #view: DataView;
  readonly #buffer: Buffer;
  readonly #copy: boolean;
  readonly end: number;
  pos = 0;
  /** Index path of the value being read; kept only inside types that can hold a stream or future. */
  readonly path: number[];

  /** `copy`: byte lists are copies; otherwise they are views of `bytes`, which must then not change. */
  constructor(bytes: Uint8Array, path: readonly number[], copy: boolean) {
    this.bytes = bytes;
    this.end = bytes.length;
    this.path = [...path];
    this.#copy = copy;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  fail(reason: string): never {
    throw new WireFault(`${reason} at byte ${this.pos}`);
  }

  /** Throws an incomplete fault unless `length` more bytes are there. */
  need(length: number): void {
    if (this.end - this.pos < length) throw new WireFault('more bytes are needed', this.pos + length);
  }

  byte(): number {
    if (this.pos >= this.end) this.need(1);
    return this.bytes[this.pos++]!;
  }

  bool(): boolean {
    const byte = this.byte();
    if (byte > 1) this.#failAtLast('a bool, option or result is neither 0 nor 1');
    return byte === 1;
  }

  /** The next `length` bytes, as a plain Uint8Array. */
  raw(length: number): Uint8Array {
    if (length === 0) return NO_BYTES;
    this.need(length);
    const start = this.pos;
    this.pos += length;
    return this.#copy
      ? this.bytes.slice(start, this.pos)
      : new Uint8Array(this.bytes.buffer, this.bytes.byteOffset + start, length);
  }

  u16(): number {
    const byte = this.bytes[this.pos]!;
    if (byte < 0x80 && this.pos < this.end) return this.#one(byte);
    return this.#unsigned(3, 0x03);
  }

  u32(): number {
    const byte = this.bytes[this.pos]!;
    if (byte < 0x80 && this.pos < this.end) return this.#one(byte);
    return this.#unsigned(5, 0x0f);
  }

  u64(): bigint {
    const byte = this.bytes[this.pos]!;
    if (byte < 0x80 && this.pos < this.end) return BigInt(this.#one(byte));
    return this.#long(false);
  }

  s16(): number {
    return (this.#signed(3, 2) << 16) >> 16;
  }

  s32(): number {
    return this.#signed(5, 8);
  }

  s64(): bigint {
    return this.#long(true);
  }

  #one(byte: number): number {
    this.pos++;
    return byte;
  }

  #failAtLast(reason: string): never {
    this.pos--;
    this.fail(reason);
  }

  // Non-minimal forms are read as Rust reads them, within the longest length of the width; bits beyond the width are refused.
  #unsigned(maxBytes: number, maxLast: number): number {
    let value = 0;
    let weight = 1;
    for (let i = 0; i < maxBytes; i++) {
      const byte = this.byte();
      if (i === maxBytes - 1 && byte > maxLast) this.#failAtLast('an integer is too large');
      value += (byte & 0x7f) * weight;
      if (byte < 0x80) return value;
      weight *= 0x80;
    }
    return this.fail('an integer is too long');
  }

  // `sign` is the value of the sign bit in the longest form's last byte. That byte comes in two forms for negative numbers:
  // sign-extended (standard), and with only the bits of the width (all that leb128-tokio 0.1.6 can read).
  #checkLastSigned(byte: number, sign: number): void {
    if (byte >= 2 * sign && byte < 0x80 - sign) this.#failAtLast('an integer is too large');
    if (byte >= 0x80) this.#failAtLast('an integer is too long');
  }

  #signed(maxBytes: number, sign: number): number {
    let value = 0;
    for (let i = 0; ; i++) {
      const byte = this.byte();
      if (i === maxBytes - 1) this.#checkLastSigned(byte, sign);
      value |= (byte & 0x7f) << (7 * i);
      if (byte < 0x80) return byte & 0x40 && i < maxBytes - 1 ? value | (-1 << (7 * (i + 1))) : value;
    }
  }

  #long(signed: boolean): bigint {
    const start = this.pos;
    let low = 0; // the first 28 bits
    let middle = 0; // the next 28
    let high = 0; // the rest
    let byte = 0x80;
    for (let i = 0; byte >= 0x80; i++) {
      byte = this.byte();
      if (i === 9) {
        if (signed) this.#checkLastSigned(byte, 1);
        else if (byte > 1) this.#failAtLast('an integer is too large');
      }
      const bits = byte & 0x7f;
      if (i < 4) low |= bits << (7 * i);
      else if (i < 8) middle |= bits << (7 * (i - 4));
      else high |= bits << (7 * (i - 8));
    }
    const length = this.pos - start;
    const negative = signed && (byte & 0x40) !== 0;
    if (length <= 7) return BigInt(low + middle * 2 ** 28 - (negative ? 2 ** (7 * length) : 0));
    const value = BigInt(low) + (BigInt(middle) << 28n) + (BigInt(high) << 56n);
    if (!signed) return value;
    return length === 10 ? BigInt.asIntN(64, value) : negative ? value - (1n << BigInt(7 * length)) : value;
  }

  f32(): number {
    this.need(4);
    this.pos += 4;
    return this.#view.getFloat32(this.pos - 4, true);
  }

  f64(): number {
    this.need(8);
    this.pos += 8;
    return this.#view.getFloat64(this.pos - 8, true);
  }

  string(): string {
    const length = this.u32();
    this.need(length);
    const start = this.pos;
    const stop = start + length;
    if (length < 24) {
      let text = '';
      let i = start;
      for (; i < stop; i++) {
        const byte = this.bytes[i]!;
        if (byte > 0x7f) break;
        text += String.fromCharCode(byte);
      }
      if (i === stop) {
        this.pos = stop;
        return text;
      }
    }
    if (!isUtf8(this.bytes.subarray(start, stop))) this.fail('a string is not UTF-8');
    this.pos = stop;
    return this.#buffer.toString('utf8', start, stop);
  }

  /** One character. Its first byte says how long it is; surrogates and overlong forms are refused. */
  char(): string {
    const first = this.byte();
    if (first < 0x80) return String.fromCharCode(first);
    const length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    this.pos--;
    // Only a valid lead byte may ask for more bytes, or a bad one would wait for them instead of failing.
    if (first < 0xc2 || first > 0xf4) this.fail('a character is not UTF-8');
    const there = Math.min(length, this.end - this.pos);
    for (let i = 1; i < there; i++) if ((this.bytes[this.pos + i]! & 0xc0) !== 0x80) this.fail('a character is not UTF-8');
    this.need(length);
    if (!isUtf8(this.bytes.subarray(this.pos, this.pos + length))) this.fail('a character is not UTF-8');
    this.pos += length;
    return this.#buffer.toString('utf8', this.pos - length, this.pos);
  }
}
