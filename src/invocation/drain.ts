import type { CallPair } from './link-table.ts';

/**
 * A time limit that can only become shorter: a second signal, or TERM after a lame duck, hurries a stop that is under way.
 * `half` resolves when half of the time is over, `over` when all of it is.
 */
export class Deadline {
  readonly half: Promise<void>;
  readonly over: Promise<void>;
  #endHalf: () => void = () => {};
  #endOver: () => void = () => {};
  #timers: NodeJS.Timeout[] = [];
  #atMs = Number.POSITIVE_INFINITY;

  constructor() {
    this.half = new Promise((resolve) => (this.#endHalf = resolve));
    this.over = new Promise((resolve) => (this.#endOver = resolve));
  }

  /** Ends it in `withinMs` at the latest. */
  shorten(withinMs: number): void {
    const atMs = performance.now() + withinMs;
    if (atMs >= this.#atMs) return;
    this.#atMs = atMs;
    this.clear();
    const end = (): void => {
      this.#atMs = Number.NEGATIVE_INFINITY;
      this.#endOver();
    };
    this.#timers = [setTimeout(this.#endHalf, withinMs / 2), setTimeout(end, withinMs)];
  }

  /** Milliseconds that are left, 0 at the least; without end before {@link shorten}. */
  get leftMs(): number {
    return Math.max(0, this.#atMs - performance.now());
  }

  /** Stops the timers; nothing ends any more. */
  clear(): void {
    for (const timer of this.#timers) clearTimeout(timer);
  }
}

/** One thing that stops: it takes no more work after `quiet`, and has none left after `idle`. */
export interface Draining {
  readonly id: string;
  /** Ends its subscriptions, and resolves when what the server had sent has been taken in. */
  quiet(): Promise<unknown>;
  /** Resolves when nothing of it is in flight. */
  idle(): Promise<void>;
}

/**
 * Who has to be idle before a component may leave its queue group: those of `ids` that call it along `links`. What a caller has in
 * flight may still call it, and on a lattice of one host nobody else would answer. A link that would close a circle does not count.
 */
export function callersFirst(ids: readonly string[], links: readonly CallPair[]): ReadonlyMap<string, readonly string[]> {
  const callers = new Map<string, string[]>(ids.map((id) => [id, []]));
  const called = new Map<string, Set<string>>(ids.map((id) => [id, new Set()]));
  const reaches = (from: string, to: string): boolean => {
    const seen = new Set<string>([from]);
    for (const id of seen) {
      if (id === to) return true;
      for (const target of called.get(id)!) seen.add(target);
    }
    return false;
  };
  for (const { source, target } of links) {
    const targets = called.get(source);
    if (targets === undefined || !called.has(target) || targets.has(target) || reaches(target, source)) continue;
    targets.add(target);
    callers.get(target)!.push(source);
  }
  return callers;
}

/**
 * Ends the work of all, callers before those they call, and resolves when nothing is in flight. Whoever still takes work at half of
 * the time stops taking it then, so that it too has time to finish. The caller keeps the limit: see {@link Deadline.over}.
 */
export async function drainInOrder(all: readonly Draining[], links: readonly CallPair[], deadline: Deadline): Promise<void> {
  const callers = callersFirst(
    all.map(({ id }) => id),
    links,
  );
  const ended = new Map<string, Promise<void>>();
  const byId = Map.groupBy(all, ({ id }) => id);
  const end = (id: string): Promise<void> => {
    const known = ended.get(id);
    if (known !== undefined) return known;
    const ending = (async () => {
      await Promise.race([deadline.half, Promise.all(callers.get(id)!.map(end))]);
      await Promise.all(
        byId.get(id)!.map(async (each) => {
          await each.quiet();
          await each.idle();
        }),
      );
    })();
    ended.set(id, ending);
    return ending;
  };
  await Promise.all([...byId.keys()].map(end));
}
