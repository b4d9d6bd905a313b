/** The primitive encodings of wRPC (wRPC over NATS, value encoding), written into a growing buffer. */

/** A value that does not fit its type. `path` grows from the inside out: `.name`, `[3]`. */
export class ValueFault extends Error {
  path = '';
}

/** Puts a step in front of a fault's path and gives it back for rethrowing; other errors pass unchanged. */
export function within(error: unknown, step: string): unknown {
  if (error instanceof ValueFault) error.path = step + error.path;
  return error;
}

const INITIAL_BYTES = 16 * 1024;
const SMALL_BYTES = 48;
/** Above this the buffer is given away instead of copied. */
const GIVE_AWAY_BYTES = 64 * 1024;
/** Integers up to here, either sign, are exact as numbers. */
const MAX_EXACT = 0x1f_ffff_ffff_ffffn;
/** Longest encoding: more could not be counted in a 32-bit length. */
const MAX_BYTES = 0xffff_ffff;

/** Writes values one after another. Reused between values: see {@link ValueWriter.take}. */
export class ValueWriter {
  #bytes: Buffer = Buffer.allocUnsafeSlow(INITIAL_BYTES);
  #view = new DataView(this.#bytes.buffer);
  pos = 0;
  /** Negative 16- to 64-bit integers in the form that peers with leb128-tokio 0.1.6 can read. */
  maskedSigned = false;

  /** The bytes written since the last take, in a buffer of their own. */
  take(): Uint8Array {
    const length = this.pos;
    this.pos = 0;
    if (length <= SMALL_BYTES) {
      // Cheaper than a copy by the runtime, and small arrays live on the heap of the collector.
      const small = new Uint8Array(length);
      for (let i = 0; i < length; i++) small[i] = this.#bytes[i]!;
      return small;
    }
    if (length <= GIVE_AWAY_BYTES) return new Uint8Array(this.#bytes.subarray(0, length));
    const taken = new Uint8Array(this.#bytes.buffer, 0, length);
    this.#bytes = Buffer.allocUnsafeSlow(INITIAL_BYTES);
    this.#view = new DataView(this.#bytes.buffer);
    return taken;
  }

  /** Makes room for `length` more bytes. */
  reserve(length: number): void {
    const needed = this.pos + length;
    if (needed <= this.#bytes.length) return;
    if (needed > MAX_BYTES) throw new ValueFault('is too large to encode');
    const grown = Buffer.allocUnsafeSlow(Math.max(needed, Math.min(this.#bytes.length * 2, MAX_BYTES)));
    this.#bytes.copy(grown, 0, 0, this.pos);
    this.#bytes = grown;
    this.#view = new DataView(grown.buffer);
  }

  byte(value: number): void {
    if (this.pos === this.#bytes.length) this.reserve(1);
    this.#bytes[this.pos++] = value;
  }

  raw(bytes: Uint8Array): void {
    this.reserve(bytes.length);
    this.#bytes.set(bytes, this.pos);
    this.pos += bytes.length;
  }

  /** An unsigned integer of at most 53 bits. */
  unsigned(value: number): void {
    this.reserve(8);
    let rest = value >= 0x8000_0000 ? this.#low28(value) : value;
    while (rest >= 0x80) {
      this.#bytes[this.pos++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    this.#bytes[this.pos++] = rest;
  }

  /** A signed integer of at most 32 bits; `bits` is the width of its type. */
  signed(value: number, bits: 16 | 32): void {
    this.reserve(5);
    const last = bits === 16 ? 2 : 4;
    let rest = value;
    for (let i = 0; ; i++) {
      const low = rest & 0x7f;
      rest >>= 7;
      if ((rest === 0 && low < 0x40) || (rest === -1 && low >= 0x40)) {
        this.#bytes[this.pos++] = i === last && this.maskedSigned ? low & (bits === 16 ? 0x03 : 0x0f) : low;
        return;
      }
      this.#bytes[this.pos++] = low | 0x80;
    }
  }

  u64(value: bigint): void {
    if (value <= MAX_EXACT) return this.unsigned(Number(value));
    this.reserve(10);
    let rest = value;
    for (; rest >= 0x80n; rest >>= 7n) this.#bytes[this.pos++] = Number(rest & 0x7fn) | 0x80;
    this.#bytes[this.pos++] = Number(rest);
  }

  s64(value: bigint): void {
    this.reserve(10);
    if (value >= -MAX_EXACT && value <= MAX_EXACT) return this.#exact(Number(value));
    let rest = value;
    for (let i = 0; ; i++) {
      const low = Number(rest & 0x7fn);
      rest >>= 7n;
      if ((rest === 0n && low < 0x40) || (rest === -1n && low >= 0x40)) {
        this.#bytes[this.pos++] = i === 9 && this.maskedSigned ? low & 1 : low;
        return;
      }
      this.#bytes[this.pos++] = low | 0x80;
    }
  }

  // A signed integer that a number holds exactly. It never needs the tenth byte, so it has one form.
  #exact(value: number): void {
    let rest = value;
    if (rest < -0x8000_0000 || rest > 0x7fff_ffff) rest = this.#low28(rest);
    for (;;) {
      const low = rest & 0x7f;
      rest >>= 7;
      if ((rest === 0 && low < 0x40) || (rest === -1 && low >= 0x40)) {
        this.#bytes[this.pos++] = low;
        return;
      }
      this.#bytes[this.pos++] = low | 0x80;
    }
  }

  // Writes the four lowest groups of an integer that needs more than four, and gives the rest, which fits 32 bits.
  #low28(value: number): number {
    const rest = Math.floor(value / 0x1000_0000);
    let low = value - rest * 0x1000_0000;
    for (let i = 0; i < 4; i++, low >>= 7) this.#bytes[this.pos++] = (low & 0x7f) | 0x80;
    return rest;
  }

  f32(value: number): void {
    this.reserve(4);
    this.#view.setFloat32(this.pos, value, true);
    this.pos += 4;
  }

  f64(value: number): void {
    this.reserve(8);
    this.#view.setFloat64(this.pos, value, true);
    this.pos += 8;
  }

  /** A string with its length in bytes. */
  string(value: string): void {
    const { length } = value;
    if (length < 32) {
      // Short ASCII: cheaper than a call into the runtime.
      this.reserve(length + 1);
      const start = this.pos;
      const bytes = this.#bytes;
      let i = 0;
      for (; i < length; i++) {
        const code = value.charCodeAt(i);
        if (code > 0x7f) break;
        bytes[start + 1 + i] = code;
      }
      if (i === length) {
        bytes[start] = length;
        this.pos = start + 1 + length;
        return;
      }
    }
    const size = Buffer.byteLength(value);
    if (size !== length && !value.isWellFormed()) throw new ValueFault('holds half of a surrogate pair');
    this.unsigned(size);
    this.reserve(size);
    this.pos += this.#bytes.write(value, this.pos, size, 'utf8');
  }

  /** The UTF-8 of one character, without length. */
  char(value: string): void {
    const code = value.codePointAt(0);
    if (code === undefined || value.length !== (code > 0xffff ? 2 : 1)) throw new ValueFault('is not one character');
    if (code >= 0xd800 && code <= 0xdfff) throw new ValueFault('is half of a surrogate pair');
    this.reserve(4);
    this.pos += this.#bytes.write(value, this.pos, 4, 'utf8');
  }
}
