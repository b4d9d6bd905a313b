/** Work in lanes: what has the same key runs one after the other, in the order it came; different keys do not wait for each other. */
export class Lanes {
  readonly #tails = new Map<string, Promise<void>>();
  #waiting = 0;

  /** What has been given and has not ended. */
  get pending(): number {
    return this.#waiting;
  }

  /** Runs `work` when everything before it in its lane has ended, well or badly. */
  run<T>(key: string, work: () => Promise<T>): Promise<T> {
    return this.hold([key], work);
  }

  /** Runs `work` while it has all these lanes to itself. It takes its place in each of them now, so two of these never wait for each other. */
  hold<T>(keys: readonly string[], work: () => Promise<T>): Promise<T> {
    this.#waiting += 1;
    const lanes = [...new Set(keys)];
    const before = lanes.map((key) => this.#tails.get(key) ?? Promise.resolve());
    const result = Promise.all(before)
      .then(work)
      .finally(() => (this.#waiting -= 1));
    const tail = result.then(
      () => undefined,
      () => undefined,
    );
    for (const key of lanes) this.#tails.set(key, tail);
    void tail.then(() => {
      for (const key of lanes) if (this.#tails.get(key) === tail) this.#tails.delete(key);
    });
    return result;
  }

  /** Resolves when everything that was given until now has ended. */
  async idle(): Promise<void> {
    await Promise.all(this.#tails.values());
  }
}

/** So many at once, the others in the order they came. */
export class Permits {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  /** @param count - How many run at once, 1 or more. */
  constructor(count: number) {
    this.#free = count;
  }

  /** Runs `work` when its turn has come. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free -= 1;
    else await new Promise<void>((resolve) => void this.#waiting.push(resolve));
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      // Handed over, so that nobody who comes now overtakes.
      if (next === undefined) this.#free += 1;
      else next();
    }
  }
}
