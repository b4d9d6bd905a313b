import type { BucketEntry } from '../nats/bucket-watch.ts';

/**
 * What a host remembers of the entries of a bucket, and what of that it goes by when the bucket forgets: a value counts until a later
 * one takes its place, and never until an earlier one does.
 */
export class BucketMemory {
  readonly #known = new Map<string, BucketEntry>();
  /** Keys that the bucket has. */
  readonly #stored = new Set<string>();
  /** While the bucket is read from its beginning. */
  #reading:
    | {
        /** Keys not met again so far. */
        readonly unmet: Set<string>;
        /** What is known beyond it was written since, and may be overtaken by what is read. */
        readonly last: number;
      }
    | undefined;
  /** Keys of which the bucket has something older, or nothing. */
  readonly #ahead = new Set<string>();

  /** The bucket is about to be read from its beginning up to revision `last`; `isAnother`: its numbers are not those from before. */
  begin(last: number, isAnother: boolean): void {
    this.#reading = { unmet: new Set(this.#known.keys()), last: isAnother ? Number.POSITIVE_INFINITY : last };
    this.#stored.clear();
  }

  /** Takes an entry that the bucket has; true if the text of its key is another one now. */
  take(entry: BucketEntry): boolean {
    this.#stored.add(entry.key);
    return this.learn(entry);
  }

  /** Takes an entry that somebody else is sure of: who wrote it. True if the text of its key is another one now. */
  learn(entry: BucketEntry): boolean {
    const { key, text } = entry;
    this.#reading?.unmet.delete(key);
    const known = this.#known.get(key);
    if (known !== undefined) {
      const reading = known.revision <= (this.#reading?.last ?? -1) ? this.#reading : undefined;
      // Outside of a reading from the beginning it has been overtaken on its way, and no more.
      if (reading === undefined && entry.revision < known.revision) return false;
      // Revisions tell nothing of a bucket that is not what it was; times do, which stay with entries that are put back.
      if (reading !== undefined && known.text !== text && entry.timeMs < known.timeMs) {
        this.#ahead.add(key);
        return false;
      }
    }
    this.#ahead.delete(key);
    this.#known.set(key, entry);
    return known?.text !== text;
  }

  /** While the bucket is read from its beginning: what was known and has not been met, so far. */
  get unmet(): Iterable<string> {
    const { unmet, last } = this.#reading ?? { unmet: [], last: 0 };
    return [...unmet].filter((key) => this.#known.get(key)!.revision <= last);
  }

  /** The bucket has been read to its end. */
  end(): void {
    for (const key of this.unmet) {
      if (this.#known.get(key)?.text === undefined) this.forget(key);
      else this.#ahead.add(key);
    }
    this.#reading = undefined;
    // Whatever is written from now on is later, whatever its number in this bucket.
    for (const key of this.#ahead) this.#known.set(key, { ...this.#known.get(key)!, revision: 0 });
  }

  /** The text that counts for a key; `undefined` if there is none. */
  text(key: string): string | undefined {
    return this.#known.get(key)?.text;
  }

  /** The revision of the entry that counts for a key; 0 if there is none, or the bucket lost it. */
  revision(key: string): number {
    return this.#known.get(key)?.revision ?? 0;
  }

  /** True if the host knows more of this key than the bucket. */
  isAhead(key: string): boolean {
    return this.#ahead.has(key);
  }

  /** The keys of which the host knows more than the bucket. */
  get ahead(): ReadonlySet<string> {
    return this.#ahead;
  }

  /** How many keys the bucket has, deleted ones included. */
  get stored(): number {
    return this.#stored.size;
  }

  /** Lets go of a key. */
  forget(key: string): void {
    this.#known.delete(key);
    this.#ahead.delete(key);
    this.#stored.delete(key);
  }
}
