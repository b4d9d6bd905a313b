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

/** How {@link Permits.run} waits. */
export interface Turn {
  /** Ends the wait. What has its permit goes on. */
  readonly signal?: AbortSignal | undefined;
  /** Whose share it counts to. */
  readonly key?: string;
}

interface Waiting {
  readonly key: string;
  readonly enter: () => void;
}

/** So many at once, the others in the order they came; of one key no more than its share, so that it never keeps all others waiting. */
export class Permits {
  readonly #share: number;
  readonly #held = new Map<string, number>();
  readonly #waiting: Waiting[] = [];
  #free: number;

  /**
   * @param count - How many run at once, 1 or more.
   * @param share - How many of them may have one key; all if left out.
   */
  constructor(count: number, share = count) {
    this.#free = count;
    this.#share = share;
  }

  /** Runs `work` when its turn has come. Rejects with the reason of the signal if that comes first. */
  async run<T>(work: () => Promise<T>, { signal, key = '' }: Turn = {}): Promise<T> {
    if (this.#hasRoom(key)) this.#enter(key);
    else await this.#turn(key, signal);
    try {
      return await work();
    } finally {
      this.#leave(key);
    }
  }

  #hasRoom(key: string): boolean {
    return this.#free > 0 && (this.#held.get(key) ?? 0) < this.#share;
  }

  #enter(key: string): void {
    this.#free -= 1;
    this.#held.set(key, (this.#held.get(key) ?? 0) + 1);
  }

  #leave(key: string): void {
    this.#free += 1;
    const held = this.#held.get(key)! - 1;
    if (held > 0) this.#held.set(key, held);
    else this.#held.delete(key);
    const at = this.#waiting.findIndex((each) => this.#hasRoom(each.key));
    // Handed over now, so that nobody who comes later overtakes.
    if (at >= 0) this.#waiting.splice(at, 1)[0]!.enter();
  }

  #turn(key: string, signal: AbortSignal | undefined): Promise<void> {
    return new Promise<void>((resolve, reject) => {
      const leave = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(waiting), 1);
        reject(signal!.reason as Error);
      };
      const enter = (): void => {
        signal?.removeEventListener('abort', leave);
        this.#enter(key);
        resolve();
      };
      const waiting = { key, enter };
      this.#waiting.push(waiting);
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
