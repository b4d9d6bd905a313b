/** Bytes of one stream that wait for a reader, in the pieces in which they came. */
export class ByteQueue {
  #chunks: Uint8Array[] = [];
  #bytes = 0;

  /** How many there are. */
  get bytes(): number {
    return this.#bytes;
  }

  push(chunk: Uint8Array): void {
    if (chunk.length === 0) return;
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
  }

  /** Takes up to `maxBytes`, not more than one piece; `undefined` if there are none. */
  take(maxBytes: number): Uint8Array | undefined {
    const first = this.#chunks[0];
    if (first === undefined) return undefined;
    const bytes = first.subarray(0, maxBytes);
    if (bytes.length === first.length) this.#chunks.shift();
    else this.#chunks[0] = first.subarray(maxBytes);
    this.#bytes -= bytes.length;
    return bytes;
  }

  clear(): void {
    this.#chunks = [];
    this.#bytes = 0;
  }
}
