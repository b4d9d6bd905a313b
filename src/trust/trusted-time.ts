import type { Clock } from '../clock.ts';

// A lead of up to this much is given back by running slower; a larger one is a set clock and is kept.
const GIVE_BACK_UP_TO_MS = 5_000;
// While giving back, trusted time runs at 15/16 of real time. The replay window counts on this lower bound.
const SLOW_RATE = 15 / 16;

/** Real (monotonic) milliseconds in which trusted time moves by at least `trustedMs`. */
export function longestRealMs(trustedMs: number): number {
  return trustedMs / SLOW_RATE;
}

/**
 * The time by which tokens are judged. It follows the wall clock forwards and never goes back: a token that has expired
 * stays expired, also when somebody sets the clock back to bring it to life again. When the wall clock steps back, trusted
 * time goes on at the pace of the monotonic clock; small leads are given back by running slightly slower, so that the many tiny
 * corrections of a long life do not add up.
 *
 * A wall clock that wrongly jumps *ahead* and is corrected leaves trusted time ahead until the host restarts. That refuses valid
 * tokens rather than accept old ones; {@link TrustedTime.leadMs} is there for an alarm.
 */
export class TrustedTime {
  /** Trusted time at which this object was made, whole milliseconds since the Unix epoch. */
  readonly startedMs: number;
  readonly #clock: Clock;
  #trustedMs: number;
  #monotonicMs: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#monotonicMs = clock.monotonicMs();
    this.#trustedMs = clock.wallMs();
    this.startedMs = Math.floor(this.#trustedMs);
  }

  /** Milliseconds since the Unix epoch; never less than at an earlier call. */
  nowMs(): number {
    const wallMs = this.#clock.wallMs();
    const monotonicMs = this.#clock.monotonicMs();
    const passedMs = Math.max(0, monotonicMs - this.#monotonicMs);
    const leadMs = this.#trustedMs + passedMs - wallMs;
    const rate = leadMs <= GIVE_BACK_UP_TO_MS ? SLOW_RATE : 1;
    this.#monotonicMs = Math.max(this.#monotonicMs, monotonicMs);
    this.#trustedMs = Math.max(wallMs, this.#trustedMs + passedMs * rate);
    return this.#trustedMs;
  }

  /** How far trusted time is ahead of the wall clock: above a few milliseconds, the wall clock was set back. */
  leadMs(): number {
    return Math.max(0, this.nowMs() - this.#clock.wallMs());
  }
}
