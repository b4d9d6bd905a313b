import type { Clock } from '../clock.ts';

/** How often deadlines and memory are looked at while calls are in flight: what a deadline may be late by. */
const TICK_MS = 50;
/** How long a runner may take to let go of a call that is over, before it counts as stuck. */
const STUCK_MS = 150;
/** The same while other calls are within their time: one of those may be computing, and would die with the runner. */
const STUCK_AMONG_OTHERS_MS = 1_000;

/** What {@link isStuck} needs to know of a call that the runner has. */
export interface HeldCall {
  readonly complete: boolean;
  /** When its caller was given its end, monotonic; 0 if that has not happened. */
  readonly abandonedMs: number;
}

/**
 * True if guest code keeps a runner from letting go of calls that are over. `calls` are those it has, in the order they
 * were sent; `sync`: its code never waits.
 */
export function isStuck(calls: Iterable<HeldCall>, sync: boolean, nowMs: number): boolean {
  let others = false;
  let longestMs = 0;
  for (const call of calls) {
    if (call.abandonedMs !== 0) longestMs = Math.max(longestMs, nowMs - call.abandonedMs);
    else if (!sync || longestMs === 0) others = true;
    // Code without waits runs in order: if the first call is not over, it may compute for as long as its time lasts.
    if (sync && call.complete && others) return false;
  }
  return longestMs > (others ? STUCK_AMONG_OTHERS_MS : STUCK_MS);
}

/** One timer for all calls of a component, running while there are any: cheaper than a timer a call. */
export class Ticker {
  readonly #clock: Clock;
  readonly #onTick: (nowMs: number, onTime: boolean) => boolean;
  #timer: NodeJS.Timeout | undefined;
  #lastMs = 0;

  /**
   * @param onTick Gives back whether to go on. `onTime` is false when this process itself was held up, so that answers may
   *   be waiting behind the timer.
   */
  constructor(clock: Clock, onTick: (nowMs: number, onTime: boolean) => boolean) {
    this.#clock = clock;
    this.#onTick = onTick;
  }

  /** Runs, unless it does already. */
  start(): void {
    if (this.#timer !== undefined) return;
    this.#lastMs = this.#clock.monotonicMs();
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #tick(): void {
    const nowMs = this.#clock.monotonicMs();
    const onTime = nowMs - this.#lastMs < 2 * TICK_MS;
    this.#lastMs = nowMs;
    if (!this.#onTick(nowMs, onTime)) this.stop();
  }
}
