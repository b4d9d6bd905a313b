import { pathToFileURL } from 'node:url';
import { resolve } from 'node:path';
import { configuredArtifact, withConfigured } from '../component/artifact.ts';
import type { EmbeddedClaims } from '../component/claims.ts';
import type { ComponentConfig, HostConfig } from '../config/schema.ts';
import { TrellisError } from '../errors.ts';
import { Deadline, drainInOrder, type Draining } from '../invocation/drain.ts';
import type { CallPair } from '../invocation/link-table.ts';
import type { RunningWorkload } from '../lattice/workloads.ts';
import { Permits } from '../lanes.ts';
import {
  type ComponentProgram,
  ofComponent,
  prepareComponent,
  type PreparedComponent,
  type ServedComponent,
  type ServeOptions,
} from './served-component.ts';
import type { WorkloadConfig } from './config.ts';
import { fetchOptions } from './program.ts';

/** Two at a time: transpiling is CPU, and a host that starts must still answer its connections. */
const AT_ONCE = 2;

/** What a change of the components came to. */
export interface ComponentChange {
  readonly added: readonly string[];
  readonly changed: readonly string[];
  readonly removed: readonly string[];
}

/** A change that is ready: whatever could fail has not. */
export interface PreparedChange extends ComponentChange {
  /** Components that end with it: removed ones, and the old revisions of changed ones. */
  readonly ending: readonly string[];
  /** Subscribes what is new. Flush both connections, then {@link finish}. */
  begin(): void;
  /** Drains what has been replaced or removed, callers first, and ends it; `limitMs` at most. */
  finish(links: readonly CallPair[], limitMs: number): Promise<void>;
  /** Gives the change up before {@link begin}. */
  abandon(): Promise<void>;
}

/** A component that runs, as the lattice knows it. */
export interface Entry {
  readonly served: ServedComponent;
  readonly workload: RunningWorkload;
  /** Who says what it is: the host's configuration, or the lattice. */
  readonly owner: 'configuration' | 'lattice';
  /** What the lattice configures it with. The set has it follow the component, and closes it with the last revision that had it. */
  readonly config?: WorkloadConfig | undefined;
  /** Embedded in it, and verified. */
  readonly claims?: EmbeddedClaims | undefined;
}

/** The components that a host runs: started together, replaced one revision by the next, drained in order. */
export class ComponentSet {
  readonly #current = new Map<string, Entry>();
  /** Those that are being drained. */
  readonly #leaving = new Set<ServedComponent>();
  /** What the configuration says, and what its components were made of beside their files: while both are the same, they stay as they are. */
  readonly #configured = new Map<string, { readonly recipe: string; readonly digest: string }>();
  readonly #starts = new Permits(AT_ONCE);

  /** All that run, also those that are being drained. */
  get served(): readonly ServedComponent[] {
    return [...this.#current.values()].map(({ served }) => served).concat([...this.#leaving]);
  }

  /** Those that take calls, in the order of their ids. */
  list(): readonly Entry[] {
    return [...this.#current.values()].toSorted((a, b) => (a.served.id < b.served.id ? -1 : 1));
  }

  /** The one of this id that takes calls. */
  get(id: string): Entry | undefined {
    return this.#current.get(id);
  }

  /** Starts and subscribes all of a configuration; gives up at the first that fails. @throws what preparing one throws */
  async start(options: ServeOptions): Promise<void> {
    const { config } = options;
    let failed = false;
    const one = async (settings: ComponentConfig): Promise<void> => {
      try {
        const prepared = await this.#prepareConfigured(settings, { ...options, stopping: () => failed || options.stopping() });
        if (prepared === undefined) return;
        const served = prepared.serve();
        this.#current.set(served.id, configured(served));
        this.#configured.set(served.id, { recipe: recipeOf(settings, config), digest: served.digest });
      } catch (error) {
        failed = true;
        throw error;
      }
    };
    await Promise.all(config.components.map(one));
  }

  /**
   * Prepares one component, a few at a time. `undefined` if the host is ending.
   * @throws what {@link prepareComponent} throws; the message names the component
   */
  prepareOne(
    settings: ComponentConfig,
    options: ServeOptions,
    program: ComponentProgram,
  ): Promise<PreparedComponent | undefined> {
    return ofComponent(
      settings.id,
      this.#starts.run(() => prepareComponent(settings, options, program)),
    );
  }

  /** The same for one of the configuration. @throws also what fetching it throws */
  async #prepareConfigured(settings: ComponentConfig, options: ServeOptions): Promise<PreparedComponent | undefined> {
    if (options.stopping()) return undefined;
    const prepare = (program: ComponentProgram): ReturnType<typeof prepareComponent> =>
      prepareComponent(settings, options, program);
    return ofComponent(settings.id, withConfigured(settings, fetchOptions(options), this.#starts, prepare));
  }

  /** Lets a component take calls, in place of the revision before it, if there is one, which it gives back to be {@link retire}d. */
  put(entry: Entry): ServedComponent | undefined {
    const { id, component } = entry.served;
    const before = this.#current.get(id);
    this.#current.set(id, entry);
    if (before?.config !== entry.config) before?.config?.close();
    entry.config?.follow((values) => component.setConfig(values));
    if (before?.served === entry.served) return undefined;
    // They may have changed while it was started.
    if (entry.config !== undefined && entry.config.names.length > 0) component.setConfig(entry.config.values());
    if (before === undefined) return undefined;
    this.#leaving.add(before.served);
    return before.served;
  }

  /** Takes a component out of those that take calls; {@link retire} it. */
  take(id: string): ServedComponent | undefined {
    const entry = this.#current.get(id);
    if (entry === undefined) return undefined;
    this.#current.delete(id);
    entry.config?.close();
    this.#leaving.add(entry.served);
    return entry.served;
  }

  /** Drains revisions that take no more calls, callers first, and ends them; `limitMs` at most. */
  async retire(
    old: readonly ServedComponent[],
    { admission }: Pick<ServeOptions, 'admission'>,
    links: readonly CallPair[],
    limitMs: number,
  ): Promise<void> {
    const deadline = new Deadline();
    deadline.shorten(limitMs);
    const draining = old.map((served) => toDrain(served, { admission }));
    await Promise.race([deadline.over, drainInOrder(draining, links, deadline)]);
    deadline.clear();
    await Promise.allSettled(old.map(({ component }) => component.stop()));
    for (const served of old) this.#leaving.delete(served);
  }

  /**
   * Starts what is new or different in a configuration, beside what runs. Returns every error there is, and then nothing runs on. What the
   * lattice started, or stopped, stays so, unless the configuration says something new of it.
   */
  async prepare(options: ServeOptions): Promise<PreparedChange | { readonly errors: readonly TrellisError[] }> {
    const { config } = options;
    const queue: ComponentConfig[] = [];
    for (const settings of config.components) {
      const known = this.#configured.get(settings.id);
      const isSame = known?.recipe === recipeOf(settings, config) && known.digest === (await digestNow(settings, options));
      if (!isSame) queue.push(settings);
    }
    const ids = new Set(config.components.map(({ id }) => id));
    const removed = [...this.#configured.keys()].filter((id) => !ids.has(id) && this.get(id)?.owner === 'configuration');
    const ready: PreparedComponent[] = [];
    const errors: TrellisError[] = [];
    await Promise.all(
      queue.map(async (settings) => {
        try {
          const prepared = await this.#prepareConfigured(settings, options);
          if (prepared !== undefined) ready.push(prepared);
        } catch (error) {
          errors.push(error instanceof TrellisError ? error : new TrellisError('TRELLIS_INTERNAL', { cause: error }));
        }
      }),
    );
    const abandon = async (): Promise<void> => {
      await Promise.allSettled(ready.map(({ component }) => component.stop()));
    };
    if (errors.length > 0) {
      await abandon();
      return { errors };
    }
    const added = queue.filter(({ id }) => !this.#current.has(id)).map(({ id }) => id);
    const changed = queue.filter(({ id }) => this.#current.has(id)).map(({ id }) => id);
    const old: ServedComponent[] = [];
    return {
      added,
      changed,
      removed,
      ending: [...changed, ...removed],
      abandon,
      begin: () => {
        for (const id of this.#configured.keys()) if (!ids.has(id)) this.#configured.delete(id);
        for (const prepared of ready) {
          const served = prepared.serve();
          const before = this.put(configured(served));
          if (before !== undefined) old.push(before);
          this.#configured.set(served.id, { recipe: recipeOf(served.settings, config), digest: served.digest });
        }
        for (const id of removed) {
          const before = this.take(id);
          if (before !== undefined) old.push(before);
        }
      },
      finish: (links, limitMs) => this.retire(old, options, links, limitMs),
    };
  }
}

/** A component of the configuration, as the lattice is to know it. */
function configured(served: ServedComponent): Entry {
  const { id, maxInstances } = served.settings;
  return {
    served,
    owner: 'configuration',
    workload: {
      id,
      imageRef: referenceOf(served.settings),
      annotations: {},
      ...namesOf(served.claims),
      maxInstances,
      limits: null,
    },
    claims: served.claims,
  };
}

/** What the lattice shows of a component's claims. */
export function namesOf(claims: EmbeddedClaims | undefined): Pick<RunningWorkload, 'name' | 'revision'> {
  const { name, revision = 0 } = claims ?? {};
  return { ...(name === undefined ? {} : { name }), revision };
}

/** The reference under which the lattice knows a component of the configuration. */
export function referenceOf({ file = '', image }: ComponentConfig): string {
  if (image !== undefined) return image;
  return file.startsWith('file:') ? file : pathToFileURL(resolve(file)).href;
}

/** How one component stops. */
export function toDrain(
  { id, revision, subscriptions }: ServedComponent,
  { admission }: Pick<ServeOptions, 'admission'>,
): Draining {
  return {
    id,
    quiet: () => Promise.allSettled(subscriptions.map((subscription) => subscription.drain())),
    idle: () => admission.idle(revision),
  };
}

/** Everything that a revision of a component is made of beside its bytes. */
function recipeOf(settings: ComponentConfig, { limits, trust }: HostConfig): string {
  return JSON.stringify([
    settings,
    settings.maxMemoryBytes ?? limits.maxLinearMemoryBytes,
    settings.timeoutMs ?? limits.maxExecutionTimeMs,
    settings.replay ?? trust.replay,
    limits.maxParamsBytes,
    limits.maxCallDepth,
  ]);
}

/** Digest of its file or image now; `undefined` for one that cannot be loaded, which loading then says better. */
function digestNow(settings: ComponentConfig, options: ServeOptions): Promise<string | undefined> {
  return configuredArtifact(settings, fetchOptions(options)).then(
    ({ digest }) => digest,
    () => undefined,
  );
}
