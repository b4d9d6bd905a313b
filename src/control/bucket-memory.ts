import type { BucketEntry } from '../nats/bucket-watch.ts';

/**
 * What a host remembers of the entries of a bucket, and what of that it goes by when the bucket forgets: a value counts until a later
 * one takes its place, and never until an earlier one does.
 */
export class BucketMemory {
  readonly #known = new Map<string, BucketEntry>();
  /** Keys that the bucket has. */
  readonly #stored = new Set<string>();
  /** While the bucket is read from its beginning: the keys not met again so far. */
  #unmet: Set<string> | undefined;
  /** Keys of which the bucket has something older, or nothing. */
  readonly #ahead = new Set<string>();

  /** The bucket is about to be read from its beginning. */
  begin(): void {
    this.#unmet = new Set(this.#known.keys());
    this.#stored.clear();
  }

  /** Takes an entry; true if the text of its key is another one now. */
  take(entry: BucketEntry): boolean {
    const { key, text } = entry;
    this.#stored.add(key);
    this.#unmet?.delete(key);
    const known = this.#known.get(key);
    if (known !== undefined && known.text !== text && this.#isOlder(entry, known)) {
      this.#ahead.add(key);
      return false;
    }
    this.#ahead.delete(key);
    this.#known.set(key, entry);
    return known?.text !== text;
  }

  /** The bucket has been read to its end. */
  end(): void {
    for (const key of this.#unmet ?? []) {
      if (this.#known.get(key)?.text === undefined) this.forget(key);
      else this.#ahead.add(key);
    }
    this.#unmet = undefined;
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

  /**
   * Whether an entry was written before the known one. Revisions tell, unless the bucket is read again because it may not be what it
   * was; then the times do, which stay with entries that are put back.
   */
  #isOlder(entry: BucketEntry, known: BucketEntry): boolean {
    return this.#unmet === undefined ? entry.revision < known.revision : entry.timeMs < known.timeMs;
  }
}
