import type { TrustedTime } from './trusted-time.ts';

/**
 * Bounds the work that strangers can cause: each failed check takes a token, and without tokens nothing is checked. A check
 * that succeeds takes none, so honest newcomers are bounded by nothing but each other.
 */
export class FailureBudget {
  readonly #time: Pick<TrustedTime, 'nowMs'>;
  readonly #perSecond: number;
  readonly #burst: number;
  #tokens: number;
  #atMs: number;

  /** @param perSecond failures allowed in a second; @param burst failures allowed at once */
  constructor(time: Pick<TrustedTime, 'nowMs'>, perSecond: number, burst: number) {
    this.#time = time;
    this.#perSecond = perSecond;
    this.#burst = burst;
    this.#tokens = burst;
    this.#atMs = time.nowMs();
  }

  /** True if another check may be made. */
  get open(): boolean {
    const nowMs = this.#time.nowMs();
    this.#tokens = Math.min(this.#burst, this.#tokens + ((nowMs - this.#atMs) * this.#perSecond) / 1000);
    this.#atMs = nowMs;
    return this.#tokens >= 1;
  }

  /** A check failed; `weight` is what it cost, in checks. */
  failed(weight = 1): void {
    // What has a pass may fail without end; the debt of it shall be over in a burst's time.
    this.#tokens = Math.max(-this.#burst, this.#tokens - weight);
  }
}
