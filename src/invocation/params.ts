import { GatheredBytes } from './gathered-bytes.ts';

/**
 * Gathers root parameters that travel in several messages, up to the length the token announced: no longer than the time
 * the host grants (a caller that trickles loses its place).
 */
export class ParamsCollector {
  readonly #bytes = new GatheredBytes();
  readonly #expected: number;
  readonly #done: (params: Uint8Array | undefined) => void;
  readonly #timer: NodeJS.Timeout;
  #over = false;

  /**
   * @param first Bytes of the first message; copied.
   * @param expected Bytes of all root parameters together.
   * @param timeoutMs From now until the last byte.
   * @param done Gets all bytes (more than `expected` if the caller sent more, which the digest then refuses), or
   *   `undefined` if they ended early or did not come in time. Called once.
   */
  constructor(first: Uint8Array, expected: number, timeoutMs: number, done: (params: Uint8Array | undefined) => void) {
    this.#bytes.push(first, expected);
    this.#expected = expected;
    this.#done = done;
    this.#timer = setTimeout(() => this.#finish(undefined), timeoutMs);
  }

  /** Takes the next piece; `eof` marks the end. */
  push(bytes: Uint8Array, eof: boolean): void {
    if (this.#over) return;
    this.#bytes.push(bytes, this.#expected);
    if (this.#bytes.length >= this.#expected) this.#finish(this.#bytes.take());
    else if (eof) this.#finish(undefined);
  }

  /** Forgets everything; `done` is not called. */
  cancel(): void {
    this.#over = true;
    this.#bytes.take();
    clearTimeout(this.#timer);
  }

  #finish(params: Uint8Array | undefined): void {
    if (this.#over) return;
    this.cancel();
    this.#done(params);
  }
}
