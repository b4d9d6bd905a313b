/** Lets so many pulls run at once, and whoever wants what is already on its way wait for that. */
export class PullLimiter {
  #free: number;
  readonly #waiting: (() => void)[] = [];
  readonly #running = new Map<string, Promise<unknown>>();

  /** @param atOnce pulls that may run together */
  constructor(atOnce: number) {
    this.#free = atOnce;
  }

  /** Runs `work`, or joins the one of the same key that runs or waits. */
  run<T>(key: string, work: () => Promise<T>): Promise<T> {
    const running = this.#running.get(key) as Promise<T> | undefined;
    if (running !== undefined) return running;
    const made = this.#inTurn(work).finally(() => this.#running.delete(key));
    this.#running.set(key, made);
    return made;
  }

  async #inTurn<T>(work: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free -= 1;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      // A place is handed on, not given back, so nobody can slip in between.
      if (next === undefined) this.#free += 1;
      else next();
    }
  }
}
