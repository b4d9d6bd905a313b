import { setTimeout as sleep } from 'node:timers/promises';
import { TrellisError } from '../errors.ts';
import { componentId, quote } from '../ids.ts';
import { CLAIMS_PREFIX, claimsAnswer, type ClaimsEntry, claimsKey, readClaims, writeClaims } from '../lattice/claims-entries.ts';
import { isSameLink, type LatticeLink, type LinkKey } from '../lattice/links.ts';
import {
  EMPTY_SPEC,
  type LatticeSpec,
  readSpec,
  SPEC_PREFIX,
  specKey,
  withLink,
  withoutLink,
  writeSpec,
} from '../lattice/specs.ts';
import type { BucketEntry } from '../nats/bucket-watch.ts';
import type { KvBucket } from '../nats/kv-bucket.ts';
import type { Logger } from '../telemetry/log.ts';
import { within } from '../within.ts';
import type { FollowedBucket } from './followed-bucket.ts';

/** What the store of links and claims is made of. */
export interface SpecStoreOptions {
  readonly bucket: KvBucket;
  readonly followed: FollowedBucket;
  readonly wallMs: () => number;
  readonly log: Logger;
}

/** What a spec is to be; `undefined` where there is none and need be none. */
type SpecChange = (spec: LatticeSpec | undefined) => LatticeSpec | undefined;

/** Others write at the same time; each attempt loses against one who won. */
const MAX_ATTEMPTS = 32;
const MAX_BACKOFF_MS = 20;
/** How long a writer keeps the next one waiting, many times what a write takes: a bucket may answer one and not the other. */
const MAX_TURN_MS = 250;

/** The links and claims of a lattice, in memory, and how they are written. */
export class SpecStore {
  readonly followed: FollowedBucket;
  readonly #options: SpecStoreOptions;
  readonly #links = new Map<string, readonly LatticeLink[]>();
  readonly #claims = new Map<string, Readonly<Record<string, string>>>();
  readonly #listeners = new Set<(sources: ReadonlySet<string>) => void>();
  /** Of each key that this host writes to, when the next writer may begin. */
  readonly #turns = new Map<string, Promise<void>>();
  #all: ReadonlyMap<string, readonly LatticeLink[]> | undefined;

  constructor(options: SpecStoreOptions) {
    this.#options = options;
    this.followed = options.followed;
  }

  /** The links of each source that has any: the same map until something changes, and the same list until one of its links does. */
  links(): ReadonlyMap<string, readonly LatticeLink[]> {
    this.#all ??= new Map(this.#links);
    return this.#all;
  }

  /** The links of one source. */
  linksOf(source: string): readonly LatticeLink[] {
    return this.#links.get(source) ?? [];
  }

  /**
   * Takes over what the bucket has of one source now. True if that is later than what is known here. Never rejects: a bucket that does not
   * answer, or holds less than is known, says nothing.
   */
  async lookUp(source: string): Promise<boolean> {
    if (this.followed.state !== 'current') return false;
    try {
      const key = specKey(componentId(source));
      const stored = await this.#options.bucket.get(key);
      if (stored === undefined || stored.revision <= this.followed.memory.revision(key)) return false;
      this.followed.take(stored);
      return true;
    } catch {
      return false;
    }
  }

  /** True if there is an entry of this component or provider. */
  hasSpec(id: string): boolean {
    return this.followed.memory.text(specKey(id)) !== undefined;
  }

  /** All claims, as `claims.get` answers them. */
  claims(): readonly Readonly<Record<string, string>>[] {
    return [...this.#claims.values()];
  }

  onLinks(listener: (sources: ReadonlySet<string>) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** The texts of these keys are others now. */
  changed(keys: ReadonlySet<string>): void {
    const sources = new Set<string>();
    for (const key of keys) {
      if (key.startsWith(SPEC_PREFIX)) this.#takeSpec(key, sources);
      else if (key.startsWith(CLAIMS_PREFIX)) this.#takeClaims(key);
    }
    if (sources.size === 0) return;
    this.#all = undefined;
    for (const listener of this.#listeners) {
      try {
        listener(sources);
      } catch (err) {
        this.#options.log.error({ code: 'TRELLIS_INTERNAL', err }, 'who listens to links failed');
      }
    }
  }

  async putLink(link: LatticeLink): Promise<'set' | 'conflict'> {
    let isConflict = false;
    await this.#update(link.source_id, (spec) => {
      const known = spec ?? EMPTY_SPEC;
      isConflict = false;
      if (known.links.some((each) => isSameLink(each, link))) return known;
      const next = withLink(known, link);
      isConflict = next === undefined;
      return next ?? known;
    });
    return isConflict ? 'conflict' : 'set';
  }

  async deleteLink(key: LinkKey): Promise<{ readonly spec: boolean; readonly deleted?: LatticeLink }> {
    let outcome: { spec: boolean; deleted?: LatticeLink } = { spec: false };
    await this.#update(key.source_id, (spec) => {
      outcome = { spec: spec !== undefined };
      if (spec === undefined) return undefined;
      const { spec: next, deleted } = withoutLink(spec, key);
      if (deleted === undefined) return spec;
      outcome = { spec: true, deleted };
      return next;
    });
    return outcome;
  }

  /** Nothing is written where the same already stands. */
  async putClaims(entry: ClaimsEntry): Promise<void> {
    const key = claimsKey({ ...entry, subject: componentId(entry.subject) });
    const text = writeClaims(entry);
    const stored = await this.#stored(key);
    if (stored?.text !== text) this.#wrote(key, text, await this.#options.bucket.write(key, text));
  }

  async ensureSpec(id: string, url: string): Promise<void> {
    await this.#update(id, (spec) => spec ?? { ...EMPTY_SPEC, url }, { putBack: true });
  }

  /**
   * Changes a spec so that no change of somebody else's is lost: it is read, changed, and written only if it still is what was read.
   * What `change` gives back unchanged is not written, unless the bucket has less than this host knows, or it is to be put back. Who changes
   * the same spec here takes turns, for whoever loses against another has to begin again after a while.
   */
  async #update(id: string, change: SpecChange, { putBack = false } = {}): Promise<void> {
    const key = specKey(componentId(id));
    const before = this.#turns.get(key) ?? Promise.resolve();
    const work = before.then(() => this.#tryUpdate(key, change, putBack));
    const turn = before.then(() => within(MAX_TURN_MS, work));
    this.#turns.set(key, turn);
    await Promise.all([work, turn]).finally(() => {
      if (this.#turns.get(key) === turn) this.#turns.delete(key);
    });
  }

  async #tryUpdate(key: string, change: SpecChange, putBack: boolean): Promise<void> {
    const { bucket } = this.#options;
    for (let attempt = 1; attempt <= MAX_ATTEMPTS; attempt++) {
      const stored = await this.#stored(key);
      const { memory } = this.followed;
      // Then the bucket is not the one it was. What it lost is written again with the first change.
      const isAhead = memory.isAhead(key) || (stored === undefined && memory.text(key) !== undefined);
      const text = isAhead ? memory.text(key) : stored?.text;
      const spec = text === undefined ? undefined : readSpec(text);
      if (text !== undefined && spec === undefined) throw badEntry(key, 'a spec');
      const next = change(spec);
      if (next === undefined) return;
      if (next === spec && !putBack && !isAhead) return;
      const nextText = next === spec ? text! : writeSpec(next);
      const revision = await bucket.write(key, nextText, stored ?? 'nothing');
      if (revision !== undefined) return this.#wrote(key, nextText, revision);
      // Who only puts back what was there has nothing to say against somebody's change.
      if (next === spec && !isAhead) return;
      await sleep(Math.random() * MAX_BACKOFF_MS);
    }
    throw bucket.failure(`is written to all the time at ${key}`, undefined);
  }

  async #stored(key: string): Promise<BucketEntry | undefined> {
    const { bucket } = this.#options;
    try {
      await bucket.openOrMake();
      const stored = await bucket.get(key);
      if (stored !== undefined && stored.revision < this.followed.memory.revision(key)) await this.followed.check();
      return stored;
    } catch (error) {
      throw bucket.failure(`could not be read at ${key}`, error);
    }
  }

  #wrote(key: string, text: string, revision: number | undefined): void {
    const { bucket, wallMs } = this.#options;
    bucket.tell();
    if (revision !== undefined) this.followed.take({ key, text, revision, timeMs: wallMs() });
    void this.followed.check();
  }

  #takeSpec(key: string, sources: Set<string>): void {
    const source = key.slice(SPEC_PREFIX.length);
    const text = this.followed.memory.text(key);
    const spec = text === undefined ? EMPTY_SPEC : readSpec(text);
    if (spec === undefined) {
      this.#options.log.warn({ code: 'TRELLIS_LATTICE_ENTRY', key }, 'an entry is no spec; its links stay as they were');
      return;
    }
    const before = this.#links.get(source) ?? [];
    const isSame = before.length === spec.links.length && before.every((each, at) => isSameLink(each, spec.links[at]!));
    if (isSame) return;
    if (spec.links.length === 0) this.#links.delete(source);
    else this.#links.set(source, spec.links);
    sources.add(source);
  }

  #takeClaims(key: string): void {
    const text = this.followed.memory.text(key);
    if (text === undefined) {
      this.#claims.delete(key);
      return;
    }
    const entry = readClaims(text);
    if (entry === undefined || claimsKey(entry) !== key) {
      this.#options.log.warn(
        { code: 'TRELLIS_LATTICE_ENTRY', key },
        'an entry holds no claims of its subject; it does not count',
      );
      return;
    }
    this.#claims.set(key, claimsAnswer(entry));
  }
}

/** What an entry is not. */
export function badEntry(key: string, what: string): TrellisError {
  return new TrellisError('TRELLIS_LATTICE_ENTRY', { message: `${quote(key)} does not hold ${what}` });
}
