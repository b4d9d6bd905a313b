import { DiscardPolicy, RetentionPolicy, StorageType } from '@nats-io/jetstream';
import type { LatticeName } from '../ids.ts';
import type { TrellisError } from '../errors.ts';
import { isNotFound } from './bucket-errors.ts';
import type { BucketEntry } from './bucket-watch.ts';
import type { LatticeConnection } from './connection.ts';
import { type BucketFollower, type BucketKind, type BucketPlace, KvBucket } from './kv-bucket.ts';

/** Who hears of the trust bucket. A text is signed or it is nothing: the bucket itself proves no claim. */
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

/** Longest text a key may hold, bytes; more than any delegation or issuer set has. */
const MAX_VALUE_BYTES = 8 * 1024;
const MAX_BUCKET_BYTES = 64 * 1024 * 1024;
/** The kinds of keys that every member follows; `delegation.…` is read only by those who ask who is there. */
const FOLLOWED = ['issuers', 'revoked'] as const;
/** Texts taken at once as they are written. What comes faster waits for the next round trip. */
const MAX_LIVE_PER_CHECK = 200;

/**
 * The trust bucket of a lattice: the JetStream key-value bucket `LATTICETRUST_{lattice}`. Its keys are `issuers.{epoch}`,
 * `revoked.{subject}` and `delegation.{host key}`.
 */
export class TrustBucket {
  readonly #bucket: KvBucket;

  private constructor(bucket: KvBucket) {
    this.#bucket = bucket;
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
    const bucket = new KvBucket(connection, trustBucket(lattice), place);
    try {
      await bucket.openOrMake();
      return new TrustBucket(bucket);
    } catch {
      // Which of the many reasons it was changes nothing for the caller, who says what follows from it.
      return undefined;
    }
  }

  /** Writes a key that must not exist; false if it does. @throws TRELLIS_TRUST_STORE */
  async create(key: string, text: string): Promise<boolean> {
    return await this.#write(key, text, 'nothing');
  }

  /** Writes a key, whatever it held. @throws TRELLIS_TRUST_STORE */
  async put(key: string, text: string): Promise<void> {
    await this.#write(key, text);
  }

  /** Replaces the entry of exactly this revision; false if there is a newer one. @throws TRELLIS_TRUST_STORE */
  async replace(entry: BucketEntry, text: string): Promise<boolean> {
    return await this.#write(entry.key, text, entry);
  }

  /** Deletes a key; nothing happens when it is not there. @throws TRELLIS_TRUST_STORE */
  async delete(key: string): Promise<void> {
    await this.#bucket.write(key, undefined);
  }

  /** The entries below `kind` (`issuers`, `revoked`, `delegation`), deleted ones left out, oldest first. @throws TRELLIS_TRUST_STORE */
  async list(kind: string): Promise<BucketEntry[]> {
    try {
      const { state } = await this.#bucket.info();
      const entries = await this.#bucket.read(`${kind}.*`, 1, state.last_seq);
      return entries.filter((entry) => entry.text !== undefined);
    } catch (error) {
      throw this.#bucket.failure(`could not be read below ${kind}`, error);
    }
  }

  /**
   * Hands over everything below `issuers` and `revoked`, then what is written there: at once, as it passes by, and again from
   * the store itself every `checkEveryMs` and after each reconnect, whenever that has more than was seen. Resolves after the
   * first complete reading, or its failure.
   */
  async follow(listener: BucketListener, checkEveryMs: number): Promise<BucketFollower> {
    /** Something came before what it stands on; and since then, what it stands on may have come. */
    let [early, again, passed] = [false, false, 0];
    const hand = (key: string, text: string | undefined): void => {
      const what = listener.entry(key, text);
      if (what === 'early') early = true;
      if (what === 'moved') again = early;
    };
    return await this.#bucket.follow(
      {
        begin: (reason) => {
          if (reason !== undefined) listener.rolledBack(reason);
        },
        entry: ({ key, text }) => hand(key, text),
        end: () => {},
        again: () => {
          const wanted = again;
          again = false;
          return wanted;
        },
        current: () => {
          passed = 0;
          listener.current();
        },
        failed: (reason) => {
          passed = 0;
          again = early;
          // Should that fail too, the next check finds it missing again.
          if (isNotFound(reason)) void this.#bucket.openOrMake().catch(() => undefined);
          listener.failed(this.#bucket.failure('could not be read', reason));
        },
      },
      {
        keys: FOLLOWED.map((kind) => `${kind}.*`),
        checkEveryMs,
        // Entries prove themselves, so it need not be known whether the store took them.
        passing: (key, text) => {
          if (passed++ < MAX_LIVE_PER_CHECK && (text === undefined || text.length <= MAX_VALUE_BYTES)) hand(key, text);
        },
      },
    );
  }

  async #write(key: string, text: string, expected?: BucketEntry | 'nothing'): Promise<boolean> {
    const revision = await this.#bucket.write(key, text, expected);
    if (revision !== undefined && FOLLOWED.some((kind) => key.startsWith(`${kind}.`))) this.#bucket.tell();
    return revision !== undefined;
  }
}

/** `LATTICETRUST_{lattice}`. */
export function trustBucket(lattice: LatticeName): BucketKind {
  return {
    name: `LATTICETRUST_${lattice}`,
    // Texts are printable ASCII; anything else is refused by whoever opens them.
    encoding: 'latin1',
    settings: {
      description: 'issuer sets, revocations and delegations of a Trellis lattice',
      retention: RetentionPolicy.Limits,
      storage: StorageType.File,
      discard: DiscardPolicy.New,
      max_msgs_per_subject: 1,
      max_msg_size: MAX_VALUE_BYTES,
      max_bytes: MAX_BUCKET_BYTES,
      num_replicas: 1,
      allow_direct: true,
      allow_rollup_hdrs: true,
    },
    code: 'TRELLIS_TRUST_STORE',
    label: 'the trust bucket',
    newsSubject: `wasmbus.ctl.v1.${lattice}.trust.changed`,
  };
}
