import { WorkBudget } from '../trust/work-budget.ts';

/** Asks whoever keeps the links for those of a source, and takes them over. True if there was something new. Never rejects. */
export type AskForLinks = (source: string) => Promise<boolean>;

interface Lookup {
  /** Settles with the pause after it. */
  readonly over: Promise<void>;
  /** For whoever came while it ran: what they miss may have been written after it was read. */
  next: Promise<void> | undefined;
}

/** Between two look-ups for one source that found nothing new, milliseconds. */
const PAUSE_MS = 50;
/** Look-ups in a second, and at once, whoever they are for. */
const PER_SECOND = 200;

/**
 * Looks for a link that a call misses where links are kept: it may have been put a moment ago, and be on its way here. Of one source one
 * look-up runs at a time, for all who wait for it; of all together so many in a second.
 */
export class LinkLookups {
  readonly #budget: WorkBudget;
  readonly #running = new Map<string, Lookup>();
  #ask: AskForLinks | undefined;

  constructor(nowMs = () => performance.now()) {
    this.#budget = new WorkBudget({ nowMs }, PER_SECOND, PER_SECOND);
  }

  /** Until then, nothing is looked up. */
  askBy(ask: AskForLinks | undefined): void {
    this.#ask = ask;
  }

  /** False if {@link lookUp} would refuse now. Costs nothing. */
  mayLookUp(source: string): boolean {
    return this.#ask !== undefined && (this.#running.has(source) || this.#budget.open);
  }

  /**
   * Resolves once the links of `source` have been read anew, by a reading that begins after this, and taken over if they were others; or if
   * that was too much to ask. `undefined` if nobody is asked.
   */
  lookUp(source: string): Promise<void> | undefined {
    const running = this.#running.get(source);
    if (running === undefined) return this.#begin(source);
    running.next ??= running.over.then(() => this.#begin(source));
    return running.next;
  }

  #begin(source: string): Promise<void> | undefined {
    if (this.#ask === undefined || !this.#budget.open) return undefined;
    this.#budget.spend();
    const asked = this.#ask(source);
    const over = asked.then((isNew) =>
      isNew ? undefined : new Promise<void>((resolve) => setTimeout(resolve, PAUSE_MS).unref()),
    );
    const lookup: Lookup = { over, next: undefined };
    this.#running.set(source, lookup);
    void over.then(() => {
      if (this.#running.get(source) === lookup) this.#running.delete(source);
    });
    return asked.then(() => undefined);
  }
}
