import { GatheredBytes } from './gathered-bytes.ts';

/**
 * All bytes (more than were announced if the caller sent more, which the digest then refuses); `incomplete` if they ended early or
 * did not come in time, `unconfirmed` if only the confirmation did not.
 */
export type Gathered = Uint8Array | 'incomplete' | 'unconfirmed';

/** What {@link ParamsCollector} is made of. */
export interface CollectorOptions {
  /** Bytes of the first message; copied. */
  readonly first: Uint8Array;
  /** Bytes of all root parameters together. */
  readonly expected: number;
  /** True if the caller must also confirm the call. */
  readonly confirm: boolean;
  /** From now until the last byte, and the confirmation. */
  readonly timeoutMs: number;
  /** Called once. */
  done(gathered: Gathered): void;
}

/**
 * Gathers root parameters that travel in several messages, up to the length the token announced, and the caller's confirmation
 * where one is asked for: no longer than the time the host grants (a caller that trickles loses its place).
 */
export class ParamsCollector {
  readonly #options: CollectorOptions;
  readonly #bytes = new GatheredBytes();
  readonly #timer: NodeJS.Timeout;
  #confirmed: boolean;
  #over = false;

  constructor(options: CollectorOptions) {
    this.#options = options;
    this.#confirmed = !options.confirm;
    this.#bytes.push(options.first, options.expected);
    this.#timer = setTimeout(() => this.#finish(this.#complete ? 'unconfirmed' : 'incomplete'), options.timeoutMs);
  }

  /** Takes the next piece; `eof` marks the end. */
  push(bytes: Uint8Array, eof: boolean): void {
    if (this.#over) return;
    this.#bytes.push(bytes, this.#options.expected);
    if (this.#complete) this.#settle();
    // Where a confirmation is asked for, an end without one may be anybody's.
    else if (eof && !this.#options.confirm) this.#finish('incomplete');
  }

  /** The caller has confirmed; nothing follows. */
  confirm(): void {
    this.#confirmed = true;
    if (this.#complete) this.#settle();
    else this.#finish('incomplete');
  }

  /** Forgets everything; `done` is not called. */
  cancel(): void {
    this.#over = true;
    this.#bytes.take();
    clearTimeout(this.#timer);
  }

  get #complete(): boolean {
    return this.#bytes.length >= this.#options.expected;
  }

  #settle(): void {
    if (this.#confirmed) this.#finish(this.#bytes.take());
  }

  #finish(gathered: Gathered): void {
    if (this.#over) return;
    this.cancel();
    this.#options.done(gathered);
  }
}
