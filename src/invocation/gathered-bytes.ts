const EMPTY = Buffer.alloc(0);
/** Room to begin with, bytes. */
const FIRST_BYTES = 64 * 1024;

/**
 * Bytes that arrive in pieces, kept in one buffer that grows: a list of pieces would cost a hundred times what a piece of one
 * byte holds. Never more than twice the bytes that arrived, or {@link FIRST_BYTES}.
 */
export class GatheredBytes {
  #buffer: Buffer = EMPTY;
  #length = 0;

  /** Bytes so far. */
  get length(): number {
    return this.#length;
  }

  /** Copies a piece to the end. `expected`: bytes there will be in all, if known; no more room than that is taken ahead. */
  push(bytes: Uint8Array, expected = Number.POSITIVE_INFINITY): void {
    const total = this.#length + bytes.length;
    if (total > this.#buffer.length) {
      const ahead = Math.min(expected, Math.max(2 * this.#buffer.length, 2 * total, FIRST_BYTES));
      const grown = Buffer.allocUnsafeSlow(Math.max(total, ahead));
      this.#buffer.copy(grown, 0, 0, this.#length);
      this.#buffer = grown;
    }
    this.#buffer.set(bytes, this.#length);
    this.#length = total;
  }

  /** Gives all bytes, and starts over with none. */
  take(): Uint8Array {
    const all = this.#buffer.subarray(0, this.#length);
    this.#buffer = EMPTY;
    this.#length = 0;
    return all;
  }
}
