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

  /** Runs `work` when its turn has come. Rejects with the reason of `signal` if that comes first. */
  async run<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    if (this.#free > 0) this.#free -= 1;
    else await this.#turn(signal);
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      // Handed over, so that nobody who comes now overtakes.
      if (next === undefined) this.#free += 1;
      else next();
    }
  }

  #turn(signal: AbortSignal | undefined): Promise<void> {
    return new Promise<void>((resolve, reject) => {
      const leave = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(next), 1);
        reject(signal!.reason as Error);
      };
      const next = (): void => {
        signal?.removeEventListener('abort', leave);
        resolve();
      };
      this.#waiting.push(next);
      if (signal?.aborted === true) leave();
      else signal?.addEventListener('abort', leave, { once: true });
    });
  }
}

/** What `promise` comes to, or the reason of `signal` if that is first; what it stands for goes on. */
export async function unless<T>(signal: AbortSignal, promise: Promise<T>): Promise<T> {
  let leave = (): void => {};
  const gone = new Promise<never>((_, reject) => {
    leave = () => reject(signal.reason as Error);
    if (signal.aborted) leave();
    else signal.addEventListener('abort', leave, { once: true });
  });
  return await Promise.race([promise, gone]).finally(() => signal.removeEventListener('abort', leave));
}
