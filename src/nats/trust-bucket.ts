import {
  jetstream,
  type JetStreamManager,
  JetStreamApiCodes,
  JetStreamApiError,
  jetstreamManager,
  type StoredMsg,
  type StreamInfo,
} from '@nats-io/jetstream';
import { type KV, Kvm } from '@nats-io/kv';
import type { NatsConnection } from 'nats';
import type { LatticeName } from '../ids.ts';
import { TrellisError } from '../errors.ts';
import type { BusSubscription } from '../wrpc/bus.ts';
import type { LatticeConnection } from './connection.ts';

/** What stands below one key of the bucket. A text is signed or it is nothing: the bucket itself proves no claim. */
export interface BucketEntry {
  readonly key: string;
  /** `undefined` when the key was deleted. */
  readonly text: string | undefined;
  /** Place of the entry in the bucket; later ones are larger. */
  readonly revision: number;
}

/** Who hears of a bucket. */
export interface BucketListener {
  /**
   * An entry, old or new; the same one may come twice, and one that was never stored may come once. `early`: it may count once
   * another has come; `moved`: what was early may count now, and is handed over again.
   */
  entry(key: string, text: string | undefined): 'early' | 'moved' | undefined;
  /** Everything that the bucket holds has been handed over; said after each round trip that showed so. */
  current(): void;
  /** The bucket is younger or shorter than it was: it was deleted, made again, or put back. Comes before its entries. */
  rolledBack(reason: string): void;
  /** A round trip failed; the next one follows by itself. */
  failed(error: TrellisError): void;
}

/** Where a bucket is, as seen from a connection. */
export interface BucketPlace {
  /** JetStream domain that holds it; that of the server if left out. */
  readonly domain?: string | undefined;
  /** True behind a leaf node. Its hub keeps `$KV.>` from it, so news come by a word of whoever wrote. */
  readonly viaLeaf?: boolean | undefined;
}

/** A reader that stays. */
export interface BucketFollower {
  /** A round trip now, for who has just written; never throws. */
  check(): Promise<void>;
  end(): void;
}

/** Longest text a key may hold, bytes; more than any delegation or issuer set has. */
const MAX_VALUE_BYTES = 8 * 1024;
const MAX_BUCKET_BYTES = 64 * 1024 * 1024;
const REQUEST_MS = 3_000;
/** The kinds of keys that every member follows; `delegation.…` is read only by those who ask who is there. */
const FOLLOWED = ['issuers', 'revoked'] as const;
/** Texts taken at once as they are written. What comes faster waits for the next round trip. */
const MAX_LIVE_PER_CHECK = 200;
/** Between two round trips for words that something was written, milliseconds: anybody on control can send them. */
const NEWS_EVERY_MS = 200;

/**
 * The trust bucket of a lattice: the JetStream key-value bucket `LATTICETRUST_{lattice}`. Its keys are `issuers.{epoch}`,
 * `revoked.{subject}` and `delegation.{host key}`.
 */
export class TrustBucket {
  readonly #connection: LatticeConnection;
  readonly #lattice: LatticeName;
  readonly #place: BucketPlace;
  #view: BucketView;

  private constructor(connection: LatticeConnection, lattice: LatticeName, place: BucketPlace, view: BucketView) {
    this.#connection = connection;
    this.#lattice = lattice;
    this.#place = place;
    this.#view = view;
  }

  /**
   * Opens the bucket, and makes it if the lattice has none. Resolves to `undefined` when JetStream does not answer on this
   * connection: it is switched off, or these credentials may not use it.
   */
  static async open(
    connection: LatticeConnection,
    lattice: LatticeName,
    place: BucketPlace = {},
  ): Promise<TrustBucket | undefined> {
    try {
      return await connection.withClient(async (client) => {
        const manager = await jetstreamManager(client, { timeout: REQUEST_MS, ...inDomain(place) });
        const kv = await openOrMake(client, lattice, place);
        return new TrustBucket(connection, lattice, place, { client, manager, kv: Promise.resolve(kv) });
      });
    } catch {
      // Which of the many reasons it was changes nothing for the caller, who says what follows from it.
      return undefined;
    }
  }

  /** Writes a key that must not exist; false if it does. @throws TRELLIS_TRUST_STORE */
  async create(key: string, text: string): Promise<boolean> {
    try {
      await this.#write((kv) => kv.create(key, text));
      this.#tell(key);
      return true;
    } catch (error) {
      if (isWrongSequence(error)) return false;
      throw storeError(`could not write ${key}`, error);
    }
  }

  /** Writes a key, whatever it held. @throws TRELLIS_TRUST_STORE */
  async put(key: string, text: string): Promise<void> {
    await this.#write((kv) => kv.put(key, text)).catch((error: unknown) => {
      throw storeError(`could not write ${key}`, error);
    });
    this.#tell(key);
  }

  /** Replaces the entry of exactly this revision; false if there is a newer one. @throws TRELLIS_TRUST_STORE */
  async replace(entry: BucketEntry, text: string): Promise<boolean> {
    try {
      await this.#write((kv) => kv.update(entry.key, text, entry.revision));
      this.#tell(entry.key);
      return true;
    } catch (error) {
      if (isWrongSequence(error)) return false;
      throw storeError(`could not write ${entry.key}`, error);
    }
  }

  /** Deletes a key; nothing happens when it is not there. @throws TRELLIS_TRUST_STORE */
  async delete(key: string): Promise<void> {
    await this.#write((kv) => kv.delete(key)).catch((error: unknown) => {
      throw storeError(`could not delete ${key}`, error);
    });
  }

  /** The entries below `kind` (`issuers`, `revoked`, `delegation`), deleted ones left out, oldest first. @throws TRELLIS_TRUST_STORE */
  async list(kind: string): Promise<BucketEntry[]> {
    try {
      const { state } = await this.#info();
      const entries = await this.#read(kind, 1, state.last_seq);
      return entries.filter((entry) => entry.text !== undefined);
    } catch (error) {
      throw storeError(`could not read the entries below ${kind}`, error);
    }
  }

  /**
   * Hands over everything below `issuers` and `revoked`, then what is written there: at once, as it passes by, and again from
   * the store itself every `checkEveryMs` and after each reconnect, whenever that has more than was seen. Resolves after the
   * first complete reading, or its failure.
   */
  async follow(listener: BucketListener, checkEveryMs: number): Promise<BucketFollower> {
    const watch = new BucketWatch(
      {
        info: () => this.#info(),
        read: (kind, from, last) => this.#read(kind, from, last),
        remake: () =>
          this.#use(async (view) => {
            view.kv = openOrMake(view.client, this.#lattice, this.#place);
            await view.kv;
          }),
      },
      listener,
    );
    const prefix = `$KV.${bucketName(this.#lattice)}`;
    const live: BusSubscription[] = FOLLOWED.map((kind) =>
      this.#connection.subscribe(`${prefix}.${kind}.*`, {}, (message) => {
        const gone = message.header('KV-Operation') !== undefined;
        watch.passing(
          message.subject.slice(prefix.length + 1),
          gone ? undefined : Buffer.from(message.payload).toString('latin1'),
        );
      }),
    );
    if (this.#place.viaLeaf === true) {
      let waiting = false;
      live.push(
        this.#connection.subscribe(newsSubject(this.#lattice), {}, () => {
          if (waiting) return;
          waiting = true;
          void watch.check();
          // What was written while that round trip was under way is found by the one after the pause.
          setTimeout(() => {
            waiting = false;
            void watch.check();
          }, NEWS_EVERY_MS).unref();
        }),
      );
    }
    const timer = setInterval(() => void watch.check(), checkEveryMs);
    timer.unref();
    const unlisten = this.#connection.onStatus((event) => {
      if (event.type === 'reconnected' || event.type === 'moved') void watch.check();
    });
    await watch.check();
    return {
      check: () => watch.check(),
      end() {
        watch.end();
        clearInterval(timer);
        unlisten();
        for (const subscription of live) subscription.unsubscribe();
      },
    };
  }

  /** Tells members behind leaf nodes that there is something new. Nothing depends on it: they look by themselves every while. */
  #tell(key: string): void {
    if (!FOLLOWED.some((kind) => key.startsWith(`${kind}.`))) return;
    try {
      this.#connection.publish(newsSubject(this.#lattice), new Uint8Array(0));
    } catch {
      // Written is written; the connection is gone.
    }
  }

  /** Runs `work` with the bucket as the line in use sees it. */
  #use<T>(work: (view: BucketView) => Promise<T>): Promise<T> {
    return this.#connection.withClient(async (client) => {
      if (this.#view.client !== client) {
        // Not asked whether there is JetStream: there was.
        const manager = await jetstreamManager(client, { timeout: REQUEST_MS, checkAPI: false, ...inDomain(this.#place) });
        this.#view = { client, manager, kv: undefined };
      }
      return work(this.#view);
    });
  }

  #write<T>(work: (kv: KV) => Promise<T>): Promise<T> {
    return this.#use(async (view) => {
      view.kv ??= openOrMake(view.client, this.#lattice, this.#place);
      const kv = await view.kv.catch((error: unknown) => {
        view.kv = undefined;
        throw error;
      });
      return work(kv);
    });
  }

  #info(): Promise<StreamInfo> {
    return this.#use(({ manager }) => manager.streams.info(streamName(this.#lattice)));
  }

  /** The newest entry of each key below `kind` whose revision is in the range, oldest first. */
  async #read(kind: string, from: number, last: number): Promise<BucketEntry[]> {
    const subject = `$KV.${bucketName(this.#lattice)}.${kind}.*`;
    const entries: BucketEntry[] = [];
    for (let at = from; at <= last;) {
      // One request an entry, and no consumer that a deleted bucket would leave behind half alive.
      const query = { seq: at, next_by_subj: subject };
      const message = await this.#use(({ manager }) => manager.streams.getMessage(streamName(this.#lattice), query));
      if (message === null || message.seq > last) break;
      entries.push(entryOf(message));
      at = message.seq + 1;
    }
    return entries;
  }
}

/** The bucket through one client. */
interface BucketView {
  readonly client: NatsConnection;
  readonly manager: JetStreamManager;
  /** For writing; opened when it is first needed. */
  kv: Promise<KV> | undefined;
}

interface WatchedStore {
  info(): Promise<StreamInfo>;
  read(kind: string, from: number, last: number): Promise<BucketEntry[]>;
  remake(): Promise<void>;
}

/** How far the bucket has been read, and when it is a different one. */
class BucketWatch {
  readonly #store: WatchedStore;
  readonly #listener: BucketListener;
  #created: string | undefined;
  #seen = 0;
  #passed = 0;
  /** Something came before what it stands on; and since then, what it stands on may have come. */
  #early = false;
  #again = false;
  #checking: Promise<void> | undefined;
  #ended = false;

  constructor(store: WatchedStore, listener: BucketListener) {
    this.#store = store;
    this.#listener = listener;
  }

  /** Something was just written, or somebody says so: entries prove themselves, so it need not be known which. */
  passing(key: string, text: string | undefined): void {
    if (this.#ended || this.#passed++ >= MAX_LIVE_PER_CHECK) return;
    if (text === undefined || text.length <= MAX_VALUE_BYTES) this.#hand(key, text);
  }

  #hand(key: string, text: string | undefined): void {
    const what = this.#listener.entry(key, text);
    if (what === 'early') this.#early = true;
    if (what === 'moved') this.#again = this.#early;
  }

  /** One round trip, and whatever it shows to be missing. Never throws; checks do not overlap. */
  check(): Promise<void> {
    this.#checking ??= this.#check()
      .catch((reason: unknown) => this.#failed(reason))
      .finally(() => {
        this.#passed = 0;
        this.#checking = undefined;
      });
    return this.#checking;
  }

  end(): void {
    this.#ended = true;
  }

  async #check(): Promise<void> {
    const { created, state } = await this.#store.info();
    if (this.#ended) return;
    const before = this.#created;
    this.#created = created;
    const isAnother = before !== undefined && created !== before;
    if (isAnother || state.last_seq < this.#seen) {
      this.#seen = 0;
      this.#listener.rolledBack(isAnother ? 'it was deleted and made again' : 'it lost entries that it had');
    }
    // Whoever writes to the bucket chooses the order of its entries, and shall choose nothing by it.
    while (state.last_seq > this.#seen || this.#again) {
      const from = this.#again ? 1 : this.#seen + 1;
      this.#again = false;
      for (const kind of FOLLOWED) {
        for (const { key, text } of await this.#store.read(kind, from, state.last_seq)) {
          if (this.#ended) return;
          this.#hand(key, text);
        }
      }
      this.#seen = state.last_seq;
    }
    this.#listener.current();
  }

  async #failed(reason: unknown): Promise<void> {
    if (this.#ended) return;
    this.#again = this.#early;
    // Should that fail too, the next check finds it missing again.
    if (isNotFound(reason)) await this.#store.remake().catch(() => undefined);
    this.#listener.failed(storeError('could not be read', reason));
  }
}

const bucketName = (lattice: LatticeName): string => `LATTICETRUST_${lattice}`;
const streamName = (lattice: LatticeName): string => `KV_${bucketName(lattice)}`;

const newsSubject = (lattice: LatticeName): string => `wasmbus.ctl.v1.${lattice}.trust.changed`;
const inDomain = ({ domain }: BucketPlace): { domain: string } | undefined => (domain === undefined ? undefined : { domain });

async function openOrMake(client: NatsConnection, lattice: LatticeName, place: BucketPlace): Promise<KV> {
  // Two hosts that start together may both make it: the server takes the second for the same one.
  const kv = await new Kvm(jetstream(client, { timeout: REQUEST_MS, ...inDomain(place) })).create(bucketName(lattice), {
    history: 1,
    maxValueSize: MAX_VALUE_BYTES,
    max_bytes: MAX_BUCKET_BYTES,
    description: 'issuer sets, revocations and delegations of a Trellis lattice',
  });
  return kv;
}

function entryOf(message: StoredMsg): BucketEntry {
  const gone = message.header.get('KV-Operation') !== '';
  // `$KV.{bucket}.{key}`: bucket names hold no dot.
  const key = message.subject.split('.').slice(2).join('.');
  // Texts are printable ASCII; anything else is refused by whoever opens them.
  return { key, text: gone ? undefined : Buffer.from(message.data).toString('latin1'), revision: message.seq };
}

function isWrongSequence(error: unknown): boolean {
  return (
    error instanceof JetStreamApiError &&
    (error.code === JetStreamApiCodes.StreamWrongLastSequence || error.code === JetStreamApiCodes.StreamWrongLastSequenceUnknown)
  );
}

function isNotFound(error: unknown): boolean {
  return error instanceof JetStreamApiError && error.code === JetStreamApiCodes.StreamNotFound;
}

function storeError(what: string, cause: unknown): TrellisError {
  return new TrellisError('TRELLIS_TRUST_STORE', { message: `the trust bucket ${what}`, cause });
}
