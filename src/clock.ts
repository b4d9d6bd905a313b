/**
 * Time as the rest of Trellis sees it. Everything that judges freshness, expiry or a deadline takes a
 * {@link Clock}, so that tests move time instead of waiting for it.
 */
export interface Clock {
  /** Wall-clock time, milliseconds since the Unix epoch. May jump either way when the machine's clock is set. */
  wallMs(): number;
  /** Milliseconds since an arbitrary start; never goes back. Use it for durations and for cache expiry. */
  monotonicMs(): number;
}

/** The machine's own clocks. */
export const systemClock: Clock = {
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now(),
};
