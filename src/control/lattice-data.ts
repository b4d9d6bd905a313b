import { type Clock, systemClock } from '../clock.ts';
import type { LatticeName } from '../ids.ts';
import type { ClaimsEntry } from '../lattice/claims-entries.ts';
import type { ConfigValues } from '../lattice/config-values.ts';
import type { LatticeLink, LinkKey } from '../lattice/links.ts';
import type { LatticeConnection } from '../nats/connection.ts';
import { type BucketPlace, type FollowOptions, KvBucket } from '../nats/kv-bucket.ts';
import { latticeBucket } from '../nats/lattice-buckets.ts';
import { Alarms } from '../telemetry/alarms.ts';
import type { Logger } from '../telemetry/log.ts';
import { ConfigStore } from './config-store.ts';
import { FollowedBucket } from './followed-bucket.ts';
import { SpecStore } from './spec-store.ts';

/** What a lattice remembers: links, claims and named configurations, as all of its hosts see them. */
export interface LatticeData {
  /**
   * `absent` while JetStream has not answered: then there are no links and claims, and everything that asks the store rejects with
   * TRELLIS_LATTICE_DATA. `stale` while it does not answer any more, or holds less than this host knows: what is known counts on.
   */
  readonly state: 'current' | 'stale' | 'absent';
  /** All links of the lattice. */
  links(): readonly LatticeLink[];
  /** The links that stand with this source. */
  linksOf(source: string): readonly LatticeLink[];
  /** All links by source: the same map until something changes, and the same list until one of its links does. */
  linksBySource(): ReadonlyMap<string, readonly LatticeLink[]>;
  /**
   * Reads the links of one source now and takes them over, for who misses one that may be on its way here. True if there was something new.
   * Asks nobody unless the state is `current`. Never rejects.
   */
  lookUpLinks(source: string): Promise<boolean>;
  /** True if there is an entry of this component or provider. */
  hasSpec(id: string): boolean;
  /** All claims, as `claims.get` answers them. */
  claims(): readonly Readonly<Record<string, string>>[];
  /** Adds a link, or replaces the one of the same target. @throws TRELLIS_LATTICE_DATA, TRELLIS_LATTICE_ENTRY, TRELLIS_ID_INVALID */
  putLink(link: LatticeLink): Promise<'set' | 'conflict'>;
  /** Deletes the first link of this key; `spec` is false when nothing is known of the source. @throws as {@link putLink} */
  deleteLink(key: LinkKey): Promise<{ readonly spec: boolean; readonly deleted?: LatticeLink }>;
  /** @throws TRELLIS_LATTICE_DATA, TRELLIS_ID_INVALID */
  putClaims(entry: ClaimsEntry): Promise<void>;
  /** Makes the entry of a component or provider if there is none; else it is put back as it is, at which every host looks. @throws as {@link putLink} */
  ensureSpec(id: string, url: string): Promise<void>;
  /** A configuration as the store has it now; `undefined` if it has none. @throws TRELLIS_LATTICE_DATA, TRELLIS_LATTICE_ENTRY */
  getConfig(name: string): Promise<ConfigValues | undefined>;
  /** Writes a configuration, whatever was there. @throws TRELLIS_LATTICE_DATA, TRELLIS_ID_INVALID */
  putConfig(name: string, values: ConfigValues): Promise<void>;
  /** Deletes a configuration; nothing happens if there is none. @throws TRELLIS_LATTICE_DATA, TRELLIS_ID_INVALID */
  deleteConfig(name: string): Promise<void>;
  /** Those of the names under which the store has nothing, in order. @throws TRELLIS_LATTICE_DATA */
  missingConfig(names: readonly string[]): Promise<readonly string[]>;
  /**
   * Several configurations as one that follows the store. One that is deleted later is empty from then on.
   * @throws TRELLIS_CONFIG_MISSING naming what does not exist, TRELLIS_LATTICE_DATA, TRELLIS_LATTICE_ENTRY
   */
  openConfig(names: readonly string[]): Promise<ConfigBundle>;
  /** Calls `listener` with the sources whose links have changed; the returned function ends that. */
  onLinks(listener: (sources: ReadonlySet<string>) => void): () => void;
  close(): Promise<void>;
}

/** Configurations merged in order: of equal keys that of the later one counts. */
export interface ConfigBundle {
  values(): ConfigValues;
  /** Calls `listener` when the values have changed; the returned function ends that. */
  onChange(listener: () => void): () => void;
  close(): void;
}

/** What following the lattice's data takes. */
export interface LatticeDataOptions {
  readonly ctl: LatticeConnection;
  readonly lattice: LatticeName;
  readonly log: Logger;
  /** Where it raises alarms; the log alone if left out. */
  readonly alarms?: Alarms;
  readonly clock?: Clock;
  /** Where the buckets are, if not at the server of `ctl`. */
  readonly place?: BucketPlace;
  /** How often the buckets are compared with what was seen, milliseconds; 5,000 by default. */
  readonly checkEveryMs?: number;
  /** First tokens of the subjects of commands; `wasmbus.ctl` by default. */
  readonly ctlPrefix?: string;
}

const CHECK_EVERY_MS = 5_000;

/**
 * Opens the buckets of a lattice, makes them if there are none, reads the links and claims, and follows them until `close`. Never
 * fails: where JetStream does not answer it resolves with state `absent` and goes on trying.
 */
export async function openLatticeData(options: LatticeDataOptions): Promise<LatticeData> {
  const { ctl, lattice, log, clock = systemClock, place, ctlPrefix = 'wasmbus.ctl' } = options;
  const alarms = options.alarms ?? new Alarms(log, clock);
  const checkEveryMs = options.checkEveryMs ?? CHECK_EVERY_MS;
  const follow = (commands: readonly string[]): FollowOptions => ({
    keys: ['>'],
    checkEveryMs,
    // Other hosts write when they are told to, and say nothing of it to those behind a leaf node, who hear the command as well.
    news: commands.map((command) => `${ctlPrefix}.v1.${lattice}.${command}`),
  });
  const common = { log, alarms, isConnected: () => ctl.state === 'connected' };
  const specKind = latticeBucket('LATTICEDATA', lattice);
  const specBucket = new KvBucket(ctl, specKind, place);
  const specs: SpecStore = new SpecStore({
    bucket: specBucket,
    followed: new FollowedBucket({
      ...common,
      bucket: specBucket,
      name: specKind.name,
      follow: follow(['link.put', 'link.del']),
      changed: (keys) => specs.changed(keys),
    }),
    wallMs: () => clock.wallMs(),
    log,
  });
  const configKind = latticeBucket('CONFIGDATA', lattice);
  const configBucket = new KvBucket(ctl, configKind, place);
  const configs: ConfigStore = new ConfigStore({
    bucket: configBucket,
    follow: (only, changed) =>
      new FollowedBucket({
        ...common,
        bucket: configBucket,
        name: configKind.name,
        follow: follow(['config.put.*', 'config.del.*']),
        only,
        changed,
      }),
    wallMs: () => clock.wallMs(),
    log,
  });
  let isSaid = false;
  // Users that were made by older templates may not say it.
  const unwatch = ctl.watchRefusals(new Set([specKind.newsSubject]), () => {
    if (isSaid) return;
    isSaid = true;
    log.warn(
      { code: 'TRELLIS_NATS_PERMISSION', subject: specKind.newsSubject },
      'hosts behind leaf nodes learn only by looking what this host writes: its user may not tell them (trellis auth tenant update)',
    );
  });
  await Promise.all([specs.followed.start(), configs.followed.start()]);
  return {
    get state() {
      const states = [specs.followed.state, configs.followed.state];
      return states.includes('absent') ? 'absent' : states.includes('stale') ? 'stale' : 'current';
    },
    links: () => [...specs.links().values()].flat(),
    linksOf: (source) => specs.linksOf(source),
    linksBySource: () => specs.links(),
    lookUpLinks: (source) => specs.lookUp(source),
    hasSpec: (id) => specs.hasSpec(id),
    claims: () => specs.claims(),
    putLink: (link) => specs.putLink(link),
    deleteLink: (key) => specs.deleteLink(key),
    putClaims: (entry) => specs.putClaims(entry),
    ensureSpec: (id, url) => specs.ensureSpec(id, url),
    getConfig: (name) => configs.get(name),
    putConfig: (name, values) => configs.put(name, values),
    deleteConfig: (name) => configs.delete(name),
    missingConfig: (names) => configs.missing(names),
    openConfig: (names) => configs.open(names),
    onLinks: (listener) => specs.onLinks(listener),
    close() {
      unwatch();
      specs.followed.close();
      configs.followed.close();
      return Promise.resolve();
    },
  };
}
