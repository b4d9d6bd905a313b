/** Reconnect attempts that come quickly, before the pause grows. */
const QUICK_ATTEMPTS = 20;

/** Limits of the time between two attempts. */
export interface ReconnectTimes {
  /** Least time between the first attempts, milliseconds. Default 50. */
  readonly reconnectWaitMs?: number | undefined;
  /** Random time added to it, milliseconds. Default 150. */
  readonly reconnectJitterMs?: number | undefined;
  /** Most time between the later ones, milliseconds. Default 1 500. */
  readonly reconnectMaxWaitMs?: number | undefined;
}

/** How long to wait before the next dial: soon at first, then about a second, never in step with the other hosts. */
export class ReconnectPace {
  readonly #waitMs: number;
  readonly #jitterMs: number;
  readonly #maxWaitMs: number;
  #attempts = 0;
  #loginRefused = false;

  constructor({ reconnectWaitMs = 50, reconnectJitterMs = 150, reconnectMaxWaitMs = 1_500 }: ReconnectTimes = {}) {
    this.#waitMs = reconnectWaitMs;
    this.#jitterMs = reconnectJitterMs;
    this.#maxWaitMs = reconnectMaxWaitMs;
  }

  /** A server is being dialled. */
  attempted(): void {
    this.#attempts++;
  }

  /** A login was refused: whatever is wrong will not be right in a tenth of a second. */
  loginRefused(): void {
    this.#loginRefused = true;
  }

  /** The connection is back. */
  connected(): void {
    this.#attempts = 0;
    this.#loginRefused = false;
  }

  /** Milliseconds between two dials of the same server. */
  nextDelayMs(): number {
    const slow = this.#loginRefused || this.#attempts > QUICK_ATTEMPTS;
    const leastMs = slow ? Math.max(this.#waitMs, this.#maxWaitMs / 3) : this.#waitMs;
    const spreadMs = slow ? Math.max(0, this.#maxWaitMs - leastMs) : this.#jitterMs;
    return leastMs + Math.random() * spreadMs;
  }
}
