import { Pollable, timer } from './poll.ts';
import type { Lifetime } from './poll.ts';

/**
 * `wasi:clocks`. Both clocks step by one millisecond: finer time would let a guest measure its neighbours through shared
 * caches, and nothing a lattice component does needs it. The monotonic clock starts with the instance, so it does not tell
 * how long the machine has been up.
 */

/** The step of every clock a guest sees, milliseconds. */
export const CLOCK_STEP_MS = 1;

const NANOS_PER_MS = 1_000_000n;

/** A wall-clock time as WIT's `datetime`. */
export interface Datetime {
  readonly seconds: bigint;
  readonly nanoseconds: number;
}

/** Returns milliseconds since the Unix epoch as a `datetime`. */
export function toDatetime(wallMs: number): Datetime {
  const ms = Math.max(0, Math.floor(wallMs));
  return { seconds: BigInt(Math.floor(ms / 1_000)), nanoseconds: (ms % 1_000) * 1_000_000 };
}

/** Returns the `wasi:clocks` interfaces of one instance. */
export function createClocks(lifetime: Lifetime): Record<string, object> {
  const startMs = Math.floor(lifetime.clock.monotonicMs());
  const nowNs = (): bigint => BigInt(Math.floor(lifetime.clock.monotonicMs()) - startMs) * NANOS_PER_MS;
  // Rounded up, so that a timer never ends before the guest's own clock says so.
  const atMs = (ns: bigint): number => Number((ns + NANOS_PER_MS - 1n) / NANOS_PER_MS) + startMs;
  return {
    'wasi:clocks/monotonic-clock': {
      now: nowNs,
      resolution: () => BigInt(CLOCK_STEP_MS) * NANOS_PER_MS,
      subscribeInstant: (when: bigint) => new Pollable(timer(lifetime, atMs(when))),
      subscribeDuration: (duration: bigint) => new Pollable(timer(lifetime, atMs(nowNs() + duration))),
    },
    'wasi:clocks/wall-clock': {
      now: () => toDatetime(lifetime.clock.wallMs()),
      resolution: () => ({ seconds: 0n, nanoseconds: CLOCK_STEP_MS * 1_000_000 }),
    },
    'wasi:clocks/timezone': {
      display: () => ({ utcOffset: 0, name: 'UTC', inDaylightSavingTime: false }),
      utcOffset: () => 0,
    },
  };
}
