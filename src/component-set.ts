import { loadArtifact } from './component/artifact.ts';
import type { ComponentConfig, HostConfig } from './config/schema.ts';
import { TrellisError } from './errors.ts';
import { Deadline, drainInOrder, type Draining } from './invocation/drain.ts';
import type { Link } from './invocation/link-table.ts';
import { prepareComponent, type PreparedComponent, type ServedComponent, type ServeOptions } from './served-component.ts';

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
  finish(links: readonly Link[], limitMs: number): Promise<void>;
  /** Gives the change up before {@link begin}. */
  abandon(): Promise<void>;
}

interface Entry {
  readonly served: ServedComponent;
  /** What it was made of beside its file: while both are the same, it stays. */
  readonly recipe: string;
}

/** The components that a host runs: started together, replaced one revision by the next, drained in order. */
export class ComponentSet {
  #entries: Entry[] = [];

  /** All that run, also those that are being drained. */
  get served(): readonly ServedComponent[] {
    return this.#entries.map(({ served }) => served);
  }

  /** Starts and subscribes all of a configuration; gives up at the first that fails. @throws what preparing one throws */
  async start(options: ServeOptions): Promise<void> {
    const queue = [...options.config.components];
    const worker = async (): Promise<void> => {
      for (let next = queue.shift(); next !== undefined && !options.stopping(); next = queue.shift()) {
        const recipe = recipeOf(next, options.config);
        const prepared = await prepareComponent(next, options);
        if (prepared !== undefined) this.#entries.push({ served: prepared.serve(), recipe });
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
  }

  /** Starts what is new or different in a configuration, beside what runs. Returns every error there is, and then nothing runs on. */
  async prepare(options: ServeOptions): Promise<PreparedChange | { readonly errors: readonly TrellisError[] }> {
    const { config } = options;
    const before = new Map(this.#entries.map((entry) => [entry.served.id, entry]));
    const recipes = new Map(config.components.map((settings) => [settings.id, recipeOf(settings, config)]));
    const queue: ComponentConfig[] = [];
    for (const settings of config.components) {
      const known = before.get(settings.id);
      const isSame = known?.recipe === recipes.get(settings.id) && known?.served.digest === (await digestNow(settings, config));
      if (!isSame) queue.push(settings);
    }
    const added = queue.filter(({ id }) => !before.has(id)).map(({ id }) => id);
    const changed = queue.filter(({ id }) => before.has(id)).map(({ id }) => id);
    const removed = [...before.keys()].filter((id) => !recipes.has(id));
    const ready: PreparedComponent[] = [];
    const errors: TrellisError[] = [];
    const worker = async (): Promise<void> => {
      for (let next = queue.shift(); next !== undefined && !options.stopping(); next = queue.shift()) {
        try {
          const prepared = await prepareComponent(next, options);
          if (prepared !== undefined) ready.push(prepared);
        } catch (error) {
          errors.push(error instanceof TrellisError ? error : new TrellisError('TRELLIS_INTERNAL', { cause: error }));
        }
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
    const abandon = async (): Promise<void> => {
      await Promise.allSettled(ready.map(({ component }) => component.stop()));
    };
    if (errors.length > 0) {
      await abandon();
      return { errors };
    }
    const ending = [...changed, ...removed];
    const old = this.#entries.filter(({ served }) => ending.includes(served.id));
    return {
      added,
      changed,
      removed,
      ending,
      abandon,
      begin: () => {
        for (const prepared of ready) this.#entries.push({ served: prepared.serve(), recipe: recipes.get(prepared.id)! });
      },
      finish: async (links, limitMs) => {
        const deadline = new Deadline();
        deadline.shorten(limitMs);
        const draining = old.map(({ served }) => toDrain(served, options));
        await Promise.race([deadline.over, drainInOrder(draining, links, deadline)]);
        deadline.clear();
        await Promise.allSettled(old.map(({ served }) => served.component.stop()));
        this.#entries = this.#entries.filter((entry) => !old.includes(entry));
      },
    };
  }
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

/** Everything that a revision of a component is made of beside its file. */
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

/** Digest of its file now; `undefined` for one that cannot be loaded, which loading then says better. */
function digestNow({ file }: ComponentConfig, { limits }: HostConfig): Promise<string | undefined> {
  return loadArtifact(file, { maxBytes: limits.maxComponentSizeBytes }).then(
    ({ digest }) => digest,
    () => undefined,
  );
}
