import { Permits, unless } from '../../lanes.ts';

/** One registry gets this part of all places, so that one which says nothing keeps nobody else waiting. */
const SHARE = 1 / 4;

interface Shared {
  readonly pulled: Promise<unknown>;
  readonly ending: AbortController;
  wantedBy: number;
}

/** Lets so many pulls run at once, some of them from one registry, and whoever wants what is already on its way wait for that. */
export class PullLimiter {
  readonly #permits: Permits;
  readonly #running = new Map<string, Shared>();

  /** @param atOnce - Pulls that may run together, 1 or more; a quarter of them from one registry, and always one. */
  constructor(atOnce: number) {
    this.#permits = new Permits(atOnce, Math.max(1, Math.floor(atOnce * SHARE)));
  }

  /**
   * Runs `pull`, or joins the one of the same key that runs or waits. Its signal is aborted when nobody wants it any more.
   * @param signal - Rejects with its reason, and does not want it any more.
   */
  async run<T>(
    { key, registry }: { readonly key: string; readonly registry: string },
    pull: (signal: AbortSignal) => Promise<T>,
    signal: AbortSignal | undefined,
  ): Promise<T> {
    signal?.throwIfAborted();
    const shared = this.#running.get(key) ?? this.#begin(key, registry, pull);
    const pulled = shared.pulled as Promise<T>;
    shared.wantedBy += 1;
    try {
      return await (signal === undefined ? pulled : unless(signal, pulled));
    } finally {
      shared.wantedBy -= 1;
      if (shared.wantedBy === 0) this.#end(key, shared, signal?.reason);
    }
  }

  #begin(key: string, registry: string, pull: (signal: AbortSignal) => Promise<unknown>): Shared {
    const ending = new AbortController();
    const pulled = this.#permits.run(() => pull(ending.signal), { signal: ending.signal, key: registry });
    const shared: Shared = { pulled, ending, wantedBy: 0 };
    this.#running.set(key, shared);
    // Whoever gave it up looks no more at what comes of it.
    pulled.catch(() => undefined);
    return shared;
  }

  #end(key: string, shared: Shared, reason: unknown): void {
    // Whoever comes now does not join what ends.
    if (this.#running.get(key) === shared) this.#running.delete(key);
    shared.ending.abort(reason);
  }
}
