const EMPTY = Buffer.alloc(0);
/** Room to begin with, bytes. */
const FIRST_BYTES = 64 * 1024;

/**
 * Gathers root parameters that travel in several messages, up to the length the token announced: no more memory than twice
 * the bytes that arrived, in however small pieces they came, and no longer than the time the host grants (a caller that
 * trickles loses its place).
 */
export class ParamsCollector {
  #buffer: Buffer;
  readonly #expected: number;
  readonly #done: (params: Uint8Array | undefined) => void;
  readonly #timer: NodeJS.Timeout;
  #bytes: number;
  #over = false;

  /**
   * @param first Bytes of the first message; copied.
   * @param expected Bytes of all root parameters together.
   * @param timeoutMs From now until the last byte.
   * @param done Gets all bytes (more than `expected` if the caller sent more, which the digest then refuses), or
   *   `undefined` if they ended early or did not come in time. Called once.
   */
  constructor(first: Uint8Array, expected: number, timeoutMs: number, done: (params: Uint8Array | undefined) => void) {
    this.#buffer = Buffer.allocUnsafeSlow(Math.min(expected, Math.max(2 * first.length, FIRST_BYTES)));
    this.#buffer.set(first);
    this.#bytes = first.length;
    this.#expected = expected;
    this.#done = done;
    this.#timer = setTimeout(() => this.#finish(undefined), timeoutMs);
  }

  /** Takes the next piece; `eof` marks the end. */
  push(bytes: Uint8Array, eof: boolean): void {
    if (this.#over) return;
    const total = this.#bytes + bytes.length;
    if (total > this.#buffer.length) this.#grow(total);
    this.#buffer.set(bytes, this.#bytes);
    this.#bytes = total;
    if (total >= this.#expected) this.#finish(this.#buffer.subarray(0, total));
    else if (eof) this.#finish(undefined);
  }

  /** Forgets everything; `done` is not called. */
  cancel(): void {
    this.#over = true;
    this.#buffer = EMPTY;
    clearTimeout(this.#timer);
  }

  #grow(needed: number): void {
    // A list of pieces would cost a hundred times what a piece of one byte holds.
    const grown = Buffer.allocUnsafeSlow(Math.max(needed, Math.min(this.#expected, 2 * this.#buffer.length)));
    this.#buffer.copy(grown, 0, 0, this.#bytes);
    this.#buffer = grown;
  }

  #finish(params: Uint8Array | undefined): void {
    if (this.#over) return;
    this.cancel();
    this.#done(params);
  }
}
