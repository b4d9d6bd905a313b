import type { StreamInfo } from '@nats-io/jetstream';

/** What stands below one key of a bucket. */
export interface BucketEntry {
  readonly key: string;
  /** `undefined` when the key was deleted. */
  readonly text: string | undefined;
  /** Place of the entry in the bucket; later ones are larger. */
  readonly revision: number;
  /** When the server took it, milliseconds since the epoch. */
  readonly timeMs: number;
}

/** Who hears of a bucket through a {@link BucketWatch}. */
export interface WatchListener {
  /**
   * The bucket is read from its beginning: its entries come next, then {@link WatchListener.end}. With a reason it certainly is not what
   * it was: it was deleted, made again, or put back; without one it is the first time, or something does not add up. `last` is the
   * revision up to which it is read.
   */
  begin(reason: string | undefined, last: number): void;
  /** An entry, old or new; the same one may come twice. */
  entry(entry: BucketEntry): void;
  /** Keys that the bucket had, and that have not come since {@link WatchListener.begin}: each is asked for by its name. */
  unmet?(): Iterable<string>;
  /** Everything from the beginning on has been handed over. */
  end(): void;
  /** Everything that the bucket holds has been handed over; said after each round trip that showed so. */
  current(): void;
  /** A round trip failed; the next one follows by itself. */
  failed(reason: unknown): void;
  /** True if what was handed over is wanted once more; asked after each pass. */
  again?(): boolean;
  /** How many keys the bucket had, deleted ones included, if the listener knows. */
  keys?(): number;
}

/** What a watch reads. */
export interface WatchedBucket {
  info(): Promise<StreamInfo>;
  /** Hands over the newest entry of each key that is followed and whose revision is in the range, oldest first. */
  read(from: number, last: number, entry: (entry: BucketEntry) => void): Promise<void>;
  /** The newest entry of a key, or `undefined`. */
  newest(key: string): Promise<BucketEntry | undefined>;
}

/**
 * Between two round trips for news, milliseconds: the first number, and twice as much while news keep coming, up to the second. Where many
 * hosts follow many changes, they then ask for many at once; and anybody on control can send news.
 */
const NEWS_EVERY_MS = { least: 25, most: 400 } as const;

/** Of more keys than that nobody wrote again in the time of one reading: they are gone. */
const MAX_ASKED = 100;

/** How far a bucket has been read, and when it is a different one. It asks the store; what passes by is a reason to ask, and no more. */
export class BucketWatch {
  readonly #bucket: WatchedBucket;
  readonly #listener: WatchListener;
  /** Whether what is there at the first look is handed over too. */
  readonly #fromStart: boolean;
  #created: string | undefined;
  #seen = 0;
  #seenTime: string | undefined;
  /** The bucket has had this much: an entry that was written here, or read by its key. */
  #known = 0;
  /** The newest entry that was handed over: while it is there, the bucket goes on from where it was. */
  #anchor: BucketEntry | undefined;
  /** Who led the bucket. */
  #leader: string | undefined;
  /** The store was out of sight for a while: what was written meanwhile may follow on something else than what was seen. */
  #interrupted = false;
  /** Set while it has to be read from its beginning: also when that was begun, and failed. */
  #unread: { readonly reason: string | undefined } | undefined;
  #checking: Promise<void> | undefined;
  #news = false;
  #pause: NodeJS.Timeout | undefined;
  #pauseMs: number = NEWS_EVERY_MS.least;
  #ended = false;

  constructor(bucket: WatchedBucket, listener: WatchListener, { fromStart = true } = {}) {
    this.#bucket = bucket;
    this.#listener = listener;
    this.#fromStart = fromStart;
  }

  /** One round trip, and whatever it shows to be missing. Never throws; checks do not overlap. */
  check(): Promise<void> {
    this.#checking ??= this.#check()
      .catch((reason: unknown) => {
        this.#interrupted = true;
        if (!this.#ended) this.#listener.failed(reason);
      })
      .finally(() => (this.#checking = undefined));
    return this.#checking;
  }

  /** Somebody says that something was written: a check follows, now or soon, that begins after this. */
  news(): void {
    this.#news = true;
    if (this.#pause !== undefined || this.#ended) return;
    // Also when it fails: the next look is due in seconds.
    void (this.#checking ?? Promise.resolve()).then(() => this.#look());
    this.#pause = setTimeout(() => {
      this.#pause = undefined;
      this.#pauseMs = this.#news ? Math.min(NEWS_EVERY_MS.most, 2 * this.#pauseMs) : NEWS_EVERY_MS.least;
      if (this.#news) this.news();
    }, this.#pauseMs);
    this.#pause.unref();
  }

  /** The bucket had an entry of this revision, as who wrote or read it was told. */
  has(revision: number): void {
    this.#known = Math.max(this.#known, revision);
  }

  /** The connection was interrupted. */
  interrupted(): void {
    this.#interrupted = true;
  }

  end(): void {
    this.#ended = true;
    clearTimeout(this.#pause);
  }

  #look(): void {
    if (this.#ended || !this.#news) return;
    this.#news = false;
    void this.check();
  }

  async #check(): Promise<void> {
    // What is written while the question is under way may not be in the answer.
    const known = Math.max(this.#seen, this.#known);
    const { created, state, cluster } = await this.#bucket.info();
    if (this.#ended) return;
    const interrupted = this.#interrupted || cluster?.leader !== this.#leader;
    this.#interrupted = false;
    this.#leader = cluster?.leader;
    const reason = this.#rolledBack(created, state.last_seq, known);
    const isFirst = this.#created === undefined;
    this.#created = created;
    if (reason !== undefined || isFirst) this.#unread = { reason: reason ?? this.#unread?.reason };
    else if (this.#unread === undefined && (await this.#isSuspect(state, interrupted))) this.#unread = { reason: undefined };
    if (this.#ended) return;
    if (this.#unread !== undefined) await this.#readAll(state.last_seq, this.#unread.reason);
    // Whoever writes to the bucket chooses the order of its entries, and shall choose nothing by it.
    for (let again = this.#listener.again?.() === true; state.last_seq > this.#seen || again;) {
      await this.#read(again ? 1 : this.#seen + 1, state.last_seq);
      if (this.#ended) return;
      again = this.#listener.again?.() === true;
    }
    this.#seenTime = state.last_ts;
    if (!this.#ended) this.#listener.current();
  }

  #rolledBack(created: string, last: number, known: number): string | undefined {
    if (this.#created !== undefined && created !== this.#created) return 'it was deleted and made again';
    return this.#created !== undefined && last < known ? 'it lost entries that it had' : undefined;
  }

  /** Whether the bucket may have changed in another way than by new entries. */
  async #isSuspect({ last_seq, last_ts, num_subjects }: StreamInfo['state'], interrupted: boolean): Promise<boolean> {
    if (last_seq === this.#seen) {
      const keys = this.#listener.keys?.();
      return last_ts !== this.#seenTime || (keys !== undefined && num_subjects !== undefined && num_subjects !== keys);
    }
    if (interrupted) return true;
    const anchor = this.#anchor;
    if (anchor === undefined) return false;
    const now = await this.#bucket.newest(anchor.key);
    if (now === undefined || now.revision < anchor.revision) return true;
    return now.revision === anchor.revision && now.timeMs !== anchor.timeMs;
  }

  async #readAll(last: number, reason: string | undefined): Promise<void> {
    this.#listener.begin(reason, last);
    this.#anchor = undefined;
    this.#seen = 0;
    if (reason !== undefined) this.#known = 0;
    if (this.#fromStart) await this.#read(1, last);
    else this.#seen = last;
    // What was written again meanwhile stands behind `last`.
    for (const key of [...(this.#listener.unmet?.() ?? [])].slice(0, MAX_ASKED)) {
      const entry = await this.#bucket.newest(key);
      if (entry !== undefined && !this.#ended) this.#listener.entry(entry);
    }
    this.#unread = undefined;
    if (!this.#ended) this.#listener.end();
  }

  async #read(from: number, last: number): Promise<void> {
    await this.#bucket.read(from, last, (entry) => {
      if (this.#ended) return;
      if (entry.revision >= (this.#anchor?.revision ?? 0)) this.#anchor = entry;
      this.#listener.entry(entry);
    });
    this.#seen = last;
  }
}
