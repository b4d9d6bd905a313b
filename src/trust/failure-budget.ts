import type { TrustedTime } from './trusted-time.ts';

/**
 * Bounds the work that strangers can cause: each failed check takes a token, and without tokens nothing is checked. A check
 * that succeeds takes none, so honest newcomers are bounded by nothing but each other.
 */
export class FailureBudget {
  readonly #time: TrustedTime;
  readonly #perSecond: number;
  readonly #burst: number;
  #tokens: number;
  #atMs: number;

  /** @param perSecond failures allowed in a second; @param burst failures allowed at once */
  constructor(time: TrustedTime, perSecond: number, burst: number) {
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

  /** A check failed. */
  failed(): void {
    this.#tokens--;
  }
}
