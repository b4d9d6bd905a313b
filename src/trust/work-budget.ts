import type { TrustedTime } from './trusted-time.ts';

/**
 * Bounds the work that strangers can cause: it spends tokens, and without tokens no more of it is done. Checks spend them only where they
 * fail, so honest newcomers are bounded by nothing but each other.
 */
export class WorkBudget {
  readonly #time: Pick<TrustedTime, 'nowMs'>;
  readonly #perSecond: number;
  readonly #burst: number;
  #tokens: number;
  #atMs: number;

  /** @param perSecond tokens that come back in a second; @param burst tokens there are at most */
  constructor(time: Pick<TrustedTime, 'nowMs'>, perSecond: number, burst: number) {
    this.#time = time;
    this.#perSecond = perSecond;
    this.#burst = burst;
    this.#tokens = burst;
    this.#atMs = time.nowMs();
  }

  /** True if more may be done. */
  get open(): boolean {
    const nowMs = this.#time.nowMs();
    this.#tokens = Math.min(this.#burst, this.#tokens + ((nowMs - this.#atMs) * this.#perSecond) / 1000);
    this.#atMs = nowMs;
    return this.#tokens >= 1;
  }

  /** Something was done; `weight` is what it cost, in checks of a signature. */
  spend(weight = 1): void {
    // What has a pass may fail without end; the debt of it shall be over in a burst's time.
    this.#tokens = Math.max(-this.#burst, this.#tokens - weight);
  }
}
