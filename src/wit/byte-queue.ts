/** Bytes that arrived and were not read yet, in one piece. Copies what it takes, so callers may reuse their buffers. */
export class ByteQueue {
  #bytes = new Uint8Array(0);
  #start = 0;
  #end = 0;

  get length(): number {
    return this.#end - this.#start;
  }

  /** Appends a copy of `bytes`. */
  push(bytes: Uint8Array): void {
    const needed = this.length + bytes.length;
    if (this.#end + bytes.length > this.#bytes.length) {
      // Grow only when at least half is in use; otherwise moving what is left to the front makes the room.
      const target = needed * 2 > this.#bytes.length ? new Uint8Array(needed * 2) : this.#bytes;
      target.set(this.view(), 0);
      this.#end = this.length;
      this.#start = 0;
      this.#bytes = target;
    }
    this.#bytes.set(bytes, this.#end);
    this.#end += bytes.length;
  }

  /** What is there; valid until the next push. */
  view(): Uint8Array {
    return this.#bytes.subarray(this.#start, this.#end);
  }

  /** Drops the first `length` bytes. */
  consume(length: number): void {
    this.#start += length;
    if (this.#start === this.#end) this.clear();
  }

  /** Drops everything and the memory that held it. */
  clear(): void {
    this.#bytes = new Uint8Array(0);
    this.#start = 0;
    this.#end = 0;
  }
}
