import { Permits } from '../../lanes.ts';

/** Lets so many pulls run at once, and whoever wants what is already on its way wait for that. */
export class PullLimiter {
  readonly #permits: Permits;
  readonly #running = new Map<string, Promise<unknown>>();

  /** @param atOnce pulls that may run together */
  constructor(atOnce: number) {
    this.#permits = new Permits(atOnce);
  }

  /** Runs `work`, or joins the one of the same key that runs or waits. */
  run<T>(key: string, work: () => Promise<T>): Promise<T> {
    const running = this.#running.get(key) as Promise<T> | undefined;
    if (running !== undefined) return running;
    const made = this.#permits.run(work).finally(() => this.#running.delete(key));
    this.#running.set(key, made);
    return made;
  }
}
