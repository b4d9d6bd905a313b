import type { TrustedTime } from './trusted-time.ts';

/**
 * Why a fence. The memory of used tokens is lost when a host crashes, and a token that ran before the crash may still be inside
 * its life afterwards. So a host refuses every token issued before it started.
 *
 * The gap that leaves: a sender's clock may be ahead (the allowed skew), so a token that ran *before* the crash can carry an issue
 * time *after* the restart. Refusing the first seconds after every start would close it, at the price of those seconds. Instead
 * the host remembers across restarts how far ahead a token it ran has ever been: an {@link AheadStore} holds one number, and is
 * written only when a token from beyond the host's own clock is about to run, at most once in {@link RESERVE_MS}. In a lattice
 * with synchronised clocks it is hardly ever written; after a crash everything up to that number is refused.
 *
 * Without a store nothing can be remembered, so tokens from further ahead than {@link BOOT_MS} are refused: no process dies and
 * has a successor listening in less time than that, hence what ran before is still issued before the start.
 */

/** A number that outlives the process: the latest issue time, ahead of the host's clock, that may have run. */
export interface AheadStore {
  /** The stored number, milliseconds since the Unix epoch; 0 if there is none. Read once. */
  readonly aheadMs: number;
  /** Stores `ms` so that it survives a crash of the process before the call returns. May throw: the token is then refused. */
  raise(ms: number): void;
}

/** How much further than needed the stored number is raised, milliseconds; bounds the writes to one in this time. */
export const RESERVE_MS = 1_000;
/** How far ahead of this host's clock a token may be issued when there is no store, milliseconds. */
export const BOOT_MS = 50;

/** Refuses tokens that an earlier life of this host may already have run. */
export class RestartFence {
  readonly #time: TrustedTime;
  readonly #skewMs: number;
  readonly #store: AheadStore | undefined;
  readonly #storedMs: number;
  #reservedMs: number;

  /** @param skewMs the largest difference between two clocks that the verifier allows */
  constructor(time: TrustedTime, skewMs: number, store?: AheadStore) {
    this.#time = time;
    this.#skewMs = skewMs;
    this.#store = store;
    // A number from further ahead than any token could have been is damage, and must not lock the host out.
    this.#storedMs = Math.min(store?.aheadMs ?? 0, time.startedMs + skewMs + RESERVE_MS);
    this.#reservedMs = this.#storedMs;
  }

  /** How far ahead of this host's clock a token may be issued, milliseconds. */
  get aheadLimitMs(): number {
    return this.#store === undefined ? Math.min(BOOT_MS, this.#skewMs) : this.#skewMs;
  }

  /** True if a token issued at `issuedAtMs` may have run in an earlier life of this host. */
  refuses(issuedAtMs: number): boolean {
    return issuedAtMs < this.#time.startedMs || issuedAtMs <= this.#storedMs;
  }

  /** To be called before a token runs; remembers an issue time ahead of `nowMs`. Throws what the store throws. */
  admit(issuedAtMs: number, nowMs: number): void {
    if (this.#store === undefined || issuedAtMs <= nowMs || issuedAtMs <= this.#reservedMs) return;
    const reserveMs = issuedAtMs + RESERVE_MS;
    this.#store.raise(reserveMs);
    this.#reservedMs = reserveMs;
  }
}
