import {
  type DirectBatchOptions,
  jetstream,
  type JetStreamManager,
  jetstreamManager,
  type StoredMsg,
  type StreamConfig,
  type StreamInfo,
} from '@nats-io/jetstream';
import { type KV, Kvm } from '@nats-io/kv';
import type { NatsConnection } from 'nats';
import { type ErrorCode, TrellisError } from '../errors.ts';
import type { BusSubscription } from '../wrpc/bus.ts';
import { isNameInUse, isNotFound, isWrongSequence } from './bucket-errors.ts';
import { type BucketEntry, BucketWatch, type WatchListener } from './bucket-watch.ts';
import type { LatticeConnection } from './connection.ts';

/** Where a bucket is, as seen from a connection. */
export interface BucketPlace {
  /** JetStream domain that holds it; that of the server if left out. */
  readonly domain?: string | undefined;
  /** True behind a leaf node. Its hub keeps `$KV.>` from it, so news come by a word of whoever wrote. */
  readonly viaLeaf?: boolean | undefined;
}

/** Which bucket, and how failures are told. */
export interface BucketKind {
  readonly name: string;
  /** How texts are bytes. */
  readonly encoding: 'latin1' | 'utf8';
  /** Where there is none, it is made so; what is there is taken as it is. */
  readonly settings: Partial<Omit<StreamConfig, 'name' | 'subjects'>>;
  readonly code: ErrorCode;
  /** What to call it in messages: `the trust bucket`. */
  readonly label: string;
  /** On it whoever writes says so, to those whom the entries themselves do not reach. */
  readonly newsSubject: string;
}

/** What following takes. */
export interface FollowOptions {
  /** The keys, with the wildcards of subjects. */
  readonly keys: readonly string[];
  /** How often the store is compared with what was seen, milliseconds. */
  readonly checkEveryMs: number;
  /** Whether what is there already is handed over; true if left out. */
  readonly fromStart?: boolean;
  /** Given what passes by, for whom that is enough; without it each such message is a reason to look. */
  readonly passing?: (key: string, text: string | undefined) => void;
  /** Behind a leaf node, subjects besides {@link BucketKind.newsSubject} on which a message means that something was written. */
  readonly news?: readonly string[];
}

/** A reader that stays. */
export interface BucketFollower {
  /** A round trip now, for who has just written; never throws. */
  check(): Promise<void>;
  /** The bucket had an entry of this revision, as who wrote or read it was told: it cannot end before that. */
  has(revision: number): void;
  end(): void;
}

/** What a write expects of the key: that it holds exactly this entry, or nothing. */
export type Expected = { readonly revision: number } | 'nothing';

const REQUEST_MS = 3_000;
/** Between two round trips for words that something was written, milliseconds: anybody on control can send them. */
const WORDS_EVERY_MS = 200;
/** How many readers a long range is divided among: they take as many round trips at once. */
const MAX_READERS = 16;
const MIN_RANGE = 32;
/** Entries asked for at once, and how many bytes of them at most; the client holds them all. */
const BATCH = 1_000;
const BATCH_BYTES = 4 * 1024 * 1024;
/** What the headers of a write may take of a message. */
const HEADERS_BYTES = 256;

/** A JetStream key-value bucket on one connection, read without consumers. It opens itself again on each line of the connection. */
export class KvBucket {
  readonly #connection: LatticeConnection;
  readonly #kind: BucketKind;
  readonly #place: BucketPlace;
  #view: BucketView | undefined;

  /** Nothing is asked yet. */
  constructor(connection: LatticeConnection, kind: BucketKind, place: BucketPlace = {}) {
    this.#connection = connection;
    this.#kind = kind;
    this.#place = place;
  }

  /** Finds the bucket, and makes it if there is none. @throws what JetStream says */
  async openOrMake(): Promise<void> {
    try {
      await this.info();
    } catch (error) {
      if (!isNotFound(error)) throw error;
      await this.#make();
    }
  }

  /** @throws what JetStream says */
  info(): Promise<StreamInfo> {
    return this.#use(({ manager }) => manager.streams.info(this.#stream));
  }

  /** The newest entry of a key, a deleted one too; `undefined` if there is none. Asks whoever leads the bucket. @throws what JetStream says */
  async get(key: string): Promise<BucketEntry | undefined> {
    const query = { last_by_subj: `$KV.${this.#kind.name}.${key}` };
    const message = await this.#use(({ manager }) => manager.streams.getMessage(this.#stream, query));
    return message === null ? undefined : this.#entryOf(message);
  }

  /** The newest entry of each key that matches and whose revision is in the range, oldest first. @throws what JetStream says */
  async read(keys: string, from: number, last: number): Promise<BucketEntry[]> {
    const entries = last - from < MIN_RANGE ? [] : await this.#readBatches(keys, from, last);
    // Whoever answered in batches may not have heard of the newest entries yet. The leader has, so that nothing is missing.
    const at = entries.length === 0 ? from : entries.at(-1)!.revision + 1;
    const size = Math.max(MIN_RANGE, Math.ceil((last - at + 1) / MAX_READERS));
    const ranges: Promise<BucketEntry[]>[] = [];
    for (let start = at; start <= last; start += size)
      ranges.push(this.#readRange(keys, start, Math.min(last, start + size - 1)));
    return [entries, ...(await Promise.all(ranges))].flat();
  }

  /**
   * Writes a key: whatever it holds, or only if that is what is expected; a text of `undefined` deletes, leaving a marker and nothing of what
   * was there before. Resolves to the revision, or `undefined` if the key holds something else. Where the bucket was deleted, nobody
   * answers: who may be the first to notice looks for it before. @throws the kind's code, TRELLIS_NATS_PAYLOAD_TOO_LARGE
   */
  async write(key: string, text: string | undefined, expected?: Expected): Promise<number | undefined> {
    const bytes = text === undefined ? 0 : Buffer.byteLength(text, this.#kind.encoding);
    const most = this.#connection.maxPayloadBytes - HEADERS_BYTES;
    if (bytes > most) {
      const message = `${this.#kind.label} cannot hold ${bytes} bytes at ${key}: the server takes ${most} (max_payload)`;
      throw new TrellisError('TRELLIS_NATS_PAYLOAD_TOO_LARGE', { message });
    }
    try {
      return await this.#write(key, text, expected);
    } catch (error) {
      if (isWrongSequence(error)) return undefined;
      throw this.failure(`could not ${text === undefined ? 'delete' : 'write'} ${key}`, error);
    }
  }

  /** Tells readers behind leaf nodes that there is something new. Nothing depends on it: they look by themselves every while. Never throws. */
  tell(): void {
    try {
      this.#connection.publish(this.#kind.newsSubject, new Uint8Array(0));
    } catch {
      // Written is written; the connection is gone.
    }
  }

  /**
   * Hands over what the bucket holds and what is written there: as it is heard of, and again from the store itself every `checkEveryMs`
   * and after each reconnect, whenever that has more than was seen. Resolves after the first complete reading, or its failure.
   */
  async follow(listener: WatchListener, options: FollowOptions): Promise<BucketFollower> {
    const { keys, passing, checkEveryMs, fromStart = true, news = [] } = options;
    const watch = new BucketWatch(
      {
        info: () => this.info(),
        newest: (key) => this.get(key),
        read: async (from, last, entry) => {
          for (const pattern of keys) for (const each of await this.read(pattern, from, last)) entry(each);
        },
      },
      listener,
      { fromStart },
    );
    const prefix = `$KV.${this.#kind.name}.`;
    const live: BusSubscription[] = keys.map((pattern) =>
      this.#connection.subscribe(`${prefix}${pattern}`, {}, (message) => {
        // What passes by may have been refused by the store.
        if (passing === undefined) return watch.news();
        const isGone = message.header('KV-Operation') !== undefined;
        passing(
          message.subject.slice(prefix.length),
          isGone ? undefined : Buffer.from(message.payload).toString(this.#kind.encoding),
        );
      }),
    );
    if (this.#place.viaLeaf === true) live.push(...this.#hearWords([this.#kind.newsSubject, ...news], watch));
    const timer = setInterval(() => void watch.check(), checkEveryMs);
    timer.unref();
    const unlisten = this.#connection.onStatus((event) => {
      if (event.type === 'reconnected') watch.interrupted();
      if (event.type === 'reconnected' || event.type === 'moved') void watch.check();
    });
    await watch.check();
    return {
      check: () => watch.check(),
      has: (revision) => watch.has(revision),
      end() {
        watch.end();
        clearInterval(timer);
        unlisten();
        for (const subscription of live) subscription.unsubscribe();
      },
    };
  }

  /** An error of the bucket's own code. */
  failure(what: string, cause: unknown): TrellisError {
    return new TrellisError(this.#kind.code, { message: `${this.#kind.label} ${what}`, cause });
  }

  get #stream(): string {
    return `KV_${this.#kind.name}`;
  }

  #hearWords(subjects: readonly string[], watch: BucketWatch): BusSubscription[] {
    let waiting = false;
    const heard = (): void => {
      if (waiting) return;
      waiting = true;
      void watch.check();
      // What was written while that round trip was under way is found by the one after the pause.
      setTimeout(() => {
        waiting = false;
        void watch.check();
      }, WORDS_EVERY_MS).unref();
    };
    return subjects.map((subject) => this.#connection.subscribe(subject, {}, heard));
  }

  /**
   * As many entries as come in one piece, a thousand a request. Servers before 2.11 know no such request, and any server may fail it or
   * lose a message of it: the rest is then read one by one. Never throws.
   */
  async #readBatches(keys: string, from: number, last: number): Promise<BucketEntry[]> {
    const entries: BucketEntry[] = [];
    try {
      for (let at = from; at <= last;) {
        const query = { seq: at, next_by_subj: `$KV.${this.#kind.name}.${keys}`, batch: BATCH, max_bytes: BATCH_BYTES };
        const batch = await this.#use(({ manager }) => batchOf(manager, this.#stream, query));
        if (batch.length === 0) return entries;
        let before = 0;
        for (const message of batch) {
          // Each names the one before it in the batch.
          if (message.seq < at || message.seq > last || message.lastSequence !== before) return entries;
          before = message.seq;
          at = message.seq + 1;
          entries.push(this.#entryOf(message));
        }
        // Who knows no batches answers with one entry; several readers are faster then.
        if (batch.length === 1) return entries;
      }
      return entries;
    } catch {
      return entries;
    }
  }

  async #readRange(keys: string, from: number, last: number): Promise<BucketEntry[]> {
    const entries: BucketEntry[] = [];
    for (let at = from; at <= last;) {
      // One request an entry, and no consumer that a deleted bucket would leave behind half alive.
      const query = { seq: at, next_by_subj: `$KV.${this.#kind.name}.${keys}` };
      const message = await this.#use(({ manager }) => manager.streams.getMessage(this.#stream, query));
      if (message === null || message.seq > last) break;
      entries.push(this.#entryOf(message));
      at = message.seq + 1;
    }
    return entries;
  }

  async #make(): Promise<void> {
    const { name, settings } = this.#kind;
    try {
      await this.#use(({ manager }) => manager.streams.add({ ...settings, name: this.#stream, subjects: [`$KV.${name}.>`] }));
    } catch (error) {
      // Somebody else was first, and wants other settings: theirs count.
      if (!isNameInUse(error)) throw error;
      await this.info();
    }
  }

  #write(key: string, text: string | undefined, expected: Expected | undefined): Promise<number | undefined> {
    return this.#use(async ({ kv }) => {
      const bytes = text === undefined ? undefined : Buffer.from(text, this.#kind.encoding);
      const previousSeq = expected === undefined ? undefined : expected === 'nothing' ? 0 : expected.revision;
      if (bytes !== undefined) {
        // `create` also writes over the marker of a deleted key.
        if (expected === 'nothing') return await kv.create(key, bytes);
        return await kv.put(key, bytes, previousSeq === undefined ? {} : { previousSeq });
      }
      await kv.purge(key, previousSeq === undefined ? {} : { previousSeq });
      return undefined;
    });
  }

  /** Runs `work` with the bucket as the line in use sees it. */
  #use<T>(work: (view: BucketView) => Promise<T>): Promise<T> {
    return this.#connection.withClient(async (client) => {
      if (this.#view?.client !== client) {
        const { domain } = this.#place;
        // Whether there is JetStream is found out by the first request.
        const options = { timeout: REQUEST_MS, checkAPI: false, ...(domain === undefined ? {} : { domain }) };
        const manager = await jetstreamManager(client, options);
        const kv = await new Kvm(jetstream(client, options)).open(this.#kind.name);
        this.#view = { client, manager, kv };
      }
      return await work(this.#view);
    });
  }

  #entryOf(message: StoredMsg): BucketEntry {
    const isGone = message.header.get('KV-Operation') !== '';
    return {
      // `$KV.{bucket}.{key}`: bucket names hold no dot.
      key: message.subject.split('.').slice(2).join('.'),
      text: isGone ? undefined : Buffer.from(message.data).toString(this.#kind.encoding),
      revision: message.seq,
      timeMs: message.time.getTime(),
    };
  }
}

/** One batch, whose end is a message of its own; it is not waited for longer than for any other. */
function batchOf(manager: JetStreamManager, stream: string, query: DirectBatchOptions): Promise<StoredMsg[]> {
  const { promise, resolve, reject } = Promise.withResolvers<StoredMsg[]>();
  const messages: StoredMsg[] = [];
  let stop = (): void => {};
  const timer = setTimeout(() => {
    reject(new Error('a batch did not end'));
    stop();
  }, REQUEST_MS);
  const callback: DirectBatchOptions['callback'] = (done, message) => {
    if (done === null) {
      messages.push(message);
      timer.refresh();
      return;
    }
    clearTimeout(timer);
    if (done.err === undefined) resolve(messages);
    else reject(done.err);
  };
  manager.direct.getBatch(stream, { ...query, callback }).then(
    (iterator) => (stop = () => iterator.stop()),
    (error: unknown) => {
      clearTimeout(timer);
      reject(error);
    },
  );
  return promise;
}

/** The bucket through one client. */
interface BucketView {
  readonly client: NatsConnection;
  readonly manager: JetStreamManager;
  readonly kv: KV;
}
