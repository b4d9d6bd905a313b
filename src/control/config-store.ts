import { TrellisError } from '../errors.ts';
import { quote } from '../ids.ts';
import { type ConfigValues, isConfigName, mergedValues, readConfigValues } from '../lattice/config-values.ts';
import type { BucketEntry } from '../nats/bucket-watch.ts';
import type { KvBucket } from '../nats/kv-bucket.ts';
import type { Logger } from '../telemetry/log.ts';
import type { FollowedBucket, FollowedBucketOptions } from './followed-bucket.ts';
import type { ConfigBundle } from './lattice-data.ts';
import { badEntry } from './spec-store.ts';

/** What the store of configurations is made of. */
export interface ConfigStoreOptions {
  readonly bucket: KvBucket;
  /** Follows the bucket for the names in use. */
  readonly follow: (
    only: NonNullable<FollowedBucketOptions['only']>,
    changed: FollowedBucketOptions['changed'],
  ) => FollowedBucket;
  readonly wallMs: () => number;
  readonly log: Logger;
}

/** Of one request. */
const READS_AT_ONCE = 8;

/** A name that bundles use. */
interface UsedName {
  bundles: number;
  values: ConfigValues;
}

/** The named configurations of a lattice: read when they are asked for, followed while they are used. */
export class ConfigStore {
  readonly followed: FollowedBucket;
  readonly #options: ConfigStoreOptions;
  readonly #used = new Map<string, UsedName>();
  readonly #bundles = new Set<(names: ReadonlySet<string>) => void>();

  constructor(options: ConfigStoreOptions) {
    this.#options = options;
    this.followed = options.follow(this.#used, (names) => this.#changed(names));
  }

  async get(name: string): Promise<ConfigValues | undefined> {
    if (!isConfigName(name)) return undefined;
    return valuesOf(name, (await this.#read(name))?.text);
  }

  async put(name: string, values: ConfigValues): Promise<void> {
    await this.#write(name, JSON.stringify(values));
  }

  async delete(name: string): Promise<void> {
    await this.#write(name, undefined);
  }

  async missing(names: readonly string[]): Promise<readonly string[]> {
    const missing = new Set<string>();
    await someAtOnce(new Set(names), async (name) => {
      if (!isConfigName(name) || (await this.#read(name))?.text === undefined) missing.add(name);
    });
    return names.filter((name) => missing.has(name));
  }

  async open(names: readonly string[]): Promise<ConfigBundle> {
    const distinct = [...new Set(names)];
    // From now on changes of them are heard of, also those while they are read.
    for (const name of distinct) this.#use(name);
    try {
      await someAtOnce(distinct, (name) => this.#load(name));
    } catch (error) {
      for (const name of distinct) this.#letGo(name);
      throw error;
    }
    return this.#bundle(names, distinct);
  }

  #bundle(names: readonly string[], distinct: readonly string[]): ConfigBundle {
    const listeners = new Set<() => void>();
    const merge = (): ConfigValues => mergedValues(names.map((name) => this.#used.get(name)?.values ?? {}));
    let merged = merge();
    let isOpen = true;
    const changed = (now: ReadonlySet<string>): void => {
      if (!distinct.some((name) => now.has(name))) return;
      merged = merge();
      for (const listener of listeners) listener();
    };
    this.#bundles.add(changed);
    return {
      values: () => merged,
      onChange(listener) {
        listeners.add(listener);
        return () => listeners.delete(listener);
      },
      close: () => {
        if (!isOpen) return;
        isOpen = false;
        this.#bundles.delete(changed);
        listeners.clear();
        for (const name of distinct) this.#letGo(name);
      },
    };
  }

  #use(name: string): void {
    const used = this.#used.get(name);
    if (used === undefined) this.#used.set(name, { bundles: 1, values: {} });
    else used.bundles++;
  }

  #letGo(name: string): void {
    const used = this.#used.get(name);
    if (used === undefined || --used.bundles > 0) return;
    this.#used.delete(name);
    this.followed.memory.forget(name);
  }

  /** Reads a name for the first bundle that uses it; what is in use already is known, also while the store is away. */
  async #load(name: string): Promise<void> {
    if (this.followed.memory.text(name) !== undefined) return;
    if (!isConfigName(name)) throw missing(name);
    const entry = await this.#read(name);
    if (entry?.text === undefined) throw missing(name);
    const values = valuesOf(name, entry.text);
    const used = this.#used.get(name);
    if (used === undefined || values === undefined) return;
    used.values = values;
    this.followed.take(entry);
  }

  async #read(name: string): Promise<BucketEntry | undefined> {
    const { bucket } = this.#options;
    return await bucket.get(name).catch((error: unknown) => {
      throw bucket.failure(`could not be read at ${name}`, error);
    });
  }

  async #write(name: string, text: string | undefined): Promise<void> {
    const { bucket, wallMs } = this.#options;
    if (!isConfigName(name))
      throw new TrellisError('TRELLIS_ID_INVALID', { message: `configuration name ${quote(name)} is not allowed` });
    // Where it was deleted, nobody would answer.
    await bucket.openOrMake().catch((error: unknown) => {
      throw bucket.failure(`could not ${text === undefined ? 'delete' : 'write'} ${name}`, error);
    });
    const revision = await bucket.write(name, text);
    bucket.tell();
    if (revision !== undefined && this.#used.has(name)) this.followed.take({ key: name, text, revision, timeMs: wallMs() });
    void this.followed.check();
  }

  #changed(names: ReadonlySet<string>): void {
    const { log } = this.#options;
    const changed = new Set<string>();
    for (const name of names) {
      const used = this.#used.get(name);
      if (used === undefined) continue;
      const text = this.followed.memory.text(name);
      const values = text === undefined ? {} : readConfigValues(text);
      if (values === undefined) {
        log.warn(
          { code: 'TRELLIS_LATTICE_ENTRY', key: name },
          'a configuration is no map of texts; what it was before counts on',
        );
        continue;
      }
      used.values = values;
      changed.add(name);
    }
    for (const bundle of this.#bundles) {
      try {
        bundle(changed);
      } catch (err) {
        log.error({ code: 'TRELLIS_INTERNAL', err }, 'who listens to a configuration failed');
      }
    }
  }
}

/** Does it for each of the names, a few at a time: whoever names many shall not keep the store from everybody else. */
async function someAtOnce(names: Iterable<string>, work: (name: string) => Promise<void>): Promise<void> {
  const left = names[Symbol.iterator]();
  const reader = async (): Promise<void> => {
    for (let next = left.next(); next.done !== true; next = left.next()) await work(next.value);
  };
  await Promise.all(Array.from({ length: READS_AT_ONCE }, reader));
}

function missing(name: string): TrellisError {
  return new TrellisError('TRELLIS_CONFIG_MISSING', { message: `Config ${name} does not exist` });
}

function valuesOf(name: string, text: string | undefined): ConfigValues | undefined {
  if (text === undefined) return undefined;
  const values = readConfigValues(text);
  if (values === undefined) throw badEntry(name, 'a map of texts');
  return values;
}
