/** So many requests a second, as many again that are told so, and no more. */
export class RateLimit {
  readonly #clock: { monotonicMs(): number };
  readonly #perSecond: number;
  #fromMs = Number.NEGATIVE_INFINITY;
  #taken = 0;

  constructor(clock: { monotonicMs(): number }, perSecond: number) {
    this.#clock = clock;
    this.#perSecond = perSecond;
  }

  /** `ok`: carry it out; `busy`: say that there are too many; `drop`: do nothing at all. */
  take(): 'ok' | 'busy' | 'drop' {
    const nowMs = this.#clock.monotonicMs();
    if (nowMs - this.#fromMs >= 1_000) {
      this.#fromMs = nowMs;
      this.#taken = 0;
    }
    this.#taken += 1;
    if (this.#taken <= this.#perSecond) return 'ok';
    return this.#taken <= 2 * this.#perSecond ? 'busy' : 'drop';
  }

  /** What was carried out cost as much as so many requests more. */
  spend(requests: number): void {
    this.#taken = Math.max(this.#taken, Math.min(this.#taken + requests, this.#perSecond));
  }
}
