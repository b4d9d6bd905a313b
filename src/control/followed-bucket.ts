import type { Alarms } from '../telemetry/alarms.ts';
import type { Logger } from '../telemetry/log.ts';
import { isNotFound, isRefused, isWithoutJetStream } from '../nats/bucket-errors.ts';
import type { BucketEntry } from '../nats/bucket-watch.ts';
import { type BucketFollower, type FollowOptions, type KvBucket } from '../nats/kv-bucket.ts';
import { BucketMemory } from './bucket-memory.ts';

/** What following a bucket of the lattice takes. */
export interface FollowedBucketOptions {
  readonly bucket: KvBucket;
  /** Its name, for messages. */
  readonly name: string;
  readonly follow: Omit<FollowOptions, 'fromStart'>;
  readonly log: Logger;
  readonly alarms: Alarms;
  readonly isConnected: () => boolean;
  /** Only these keys are remembered, and each is read when it is first asked for; all if left out. */
  readonly only?: { has(key: string): boolean; keys(): Iterable<string> };
  /** The texts of these keys are others now. */
  changed(keys: ReadonlySet<string>): void;
}

const RETRY_MS = 1_000;
/** A server that refuses to make the bucket is not asked every second. */
const MAKE_AGAIN_MS = 30_000;

/**
 * A bucket of the lattice and what the host remembers of it: opened as soon as JetStream answers, followed until {@link close}, and
 * believed only forwards. Nothing that happens to it throws.
 */
export class FollowedBucket {
  readonly memory = new BucketMemory();
  readonly #options: FollowedBucketOptions;
  readonly #changed = new Set<string>();
  #follower: BucketFollower | undefined;
  #state: 'current' | 'stale' | 'absent' = 'absent';
  #failures = 0;
  #reason: string | undefined;
  /** The remembered keys have to be read again one by one. */
  #unread = false;
  /** Up to where the bucket was read from its beginning; `undefined` if it is not the one that it was. */
  #last: number | undefined;
  #makeAfterMs = 0;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  /** Nothing is asked yet. */
  constructor(options: FollowedBucketOptions) {
    this.#options = options;
  }

  /** `absent` until it has been read once; `stale` while it cannot be read, or holds less than is remembered. */
  get state(): 'current' | 'stale' | 'absent' {
    return this.#state === 'current' && this.memory.ahead.size > 0 ? 'stale' : this.#state;
  }

  /** Opens the bucket and reads it. Where that fails, it goes on trying by itself. */
  async start(): Promise<void> {
    try {
      await this.#open();
    } catch (error) {
      if (this.#closed) return;
      this.#failed(error);
      this.#retry(() => this.start());
    }
  }

  /** A round trip now, for who has just written; never throws. */
  async check(): Promise<void> {
    await this.#follower?.check();
  }

  /** Takes what this host has just written or read itself. */
  take(entry: BucketEntry): void {
    this.#follower?.has(entry.revision);
    if (this.memory.learn(entry)) this.#changed.add(entry.key);
    this.#tell();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#follower?.end();
  }

  async #open(): Promise<void> {
    const { bucket, follow, only } = this.#options;
    try {
      await bucket.info();
    } catch (error) {
      if (!isNotFound(error) || performance.now() < this.#makeAfterMs) throw error;
      await bucket.openOrMake().catch((refused: unknown) => {
        if (!isRefused(refused)) throw refused;
        this.#makeAfterMs = performance.now() + MAKE_AGAIN_MS;
        throw error;
      });
    }
    if (this.#closed) return;
    this.#follower = await bucket.follow(
      {
        begin: (reason, last) => this.#begin(reason, last),
        entry: (entry) => this.#entry(entry),
        end: () => this.#end(),
        current: () => void this.#current(),
        failed: (reason) => this.#failed(reason),
        ...(only === undefined ? { keys: () => this.memory.stored, unmet: () => this.memory.unmet } : {}),
      },
      { ...follow, fromStart: only === undefined },
    );
    if (this.#closed) this.#follower.end();
  }

  #begin(reason: string | undefined, last: number): void {
    const { log, name, only } = this.#options;
    if (reason !== undefined) {
      this.#reason = reason;
      const message = `the bucket ${name} went back: ${reason}. This host keeps what it knows`;
      log.error({ code: 'TRELLIS_ALARM_LATTICE_DATA_ROLLBACK', bucket: name }, message);
    }
    this.#last = reason === undefined ? last : undefined;
    if (only === undefined) this.memory.begin(last, reason !== undefined);
  }

  #entry(entry: BucketEntry): void {
    const { only } = this.#options;
    if (only?.has(entry.key) === false) return;
    if (this.memory.take(entry)) this.#changed.add(entry.key);
  }

  #end(): void {
    if (this.#options.only === undefined) this.memory.end();
    else this.#unread = true;
  }

  async #current(): Promise<void> {
    if (this.#unread) await this.#readAgain().catch((error: unknown) => this.#failed(error));
    if (this.#closed || this.#unread) return;
    const { alarms, name } = this.#options;
    this.#failures = 0;
    this.#state = 'current';
    alarms.clear('TRELLIS_ALARM_LATTICE_DATA', name);
    this.#tell();
  }

  async #readAgain(): Promise<void> {
    const { bucket, only } = this.#options;
    this.memory.begin(this.#last ?? 0, this.#last === undefined);
    for (const key of only?.keys() ?? []) {
      const entry = await bucket.get(key);
      if (entry !== undefined) this.#entry(entry);
    }
    this.memory.end();
    this.#unread = false;
  }

  #failed(reason: unknown): void {
    if (this.#closed) return;
    const { alarms, name, log, isConnected } = this.#options;
    const error = this.#options.bucket.failure('cannot be read', reason);
    this.#failures++;
    if (this.#state === 'current') {
      this.#state = 'stale';
      log.warn({ code: error.code, err: error }, `the bucket ${name} cannot be read; trying again`);
    }
    this.#retry(() => this.check());
    // Then there is an alarm of that.
    if (!isConnected()) return;
    // Where there never was any, a host does without.
    if (this.#state === 'absent' && isWithoutJetStream(reason)) {
      if (this.#failures === 1)
        log.warn({ code: error.code, err: error }, `there is no JetStream for the bucket ${name}; waiting for it`);
      return;
    }
    const isGone = isNotFound(reason);
    // One failure passes by itself.
    if (this.#state === 'absent' || isGone || this.#failures > 1) {
      const isNew = this.#state === 'absent';
      const why = reason instanceof Error ? reason.message : 'nobody knows why';
      const gone = isNew ? `${name} does not exist, and this user may not make it` : `${name} is gone`;
      alarms.raise('TRELLIS_ALARM_LATTICE_DATA', isGone ? gone : `${name} cannot be read: ${why}`, name);
    }
  }

  #retry(work: () => Promise<void>): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void work(), RETRY_MS);
    this.#timer.unref();
  }

  #tell(): void {
    const { alarms, name, changed } = this.#options;
    const { ahead } = this.memory;
    if (ahead.size === 0) {
      alarms.clear('TRELLIS_ALARM_LATTICE_DATA_ROLLBACK', name);
      this.#reason = undefined;
    } else {
      const some = [...ahead].slice(0, 3).join(', ');
      const reason = this.#reason ?? 'it lost entries that it had';
      const detail = `${name}: ${reason}; ${ahead.size} of the entries that this host knows are missing or older there: ${some}`;
      alarms.raise('TRELLIS_ALARM_LATTICE_DATA_ROLLBACK', detail, name);
    }
    if (this.#changed.size === 0) return;
    const keys = new Set(this.#changed);
    this.#changed.clear();
    changed(keys);
  }
}
