import { type ComponentSet, type Entry, namesOf, referenceOf } from './component-set.ts';
import { withConfigured } from '../component/artifact.ts';
import type { ComponentConfig, HostConfig } from '../config/schema.ts';
import type { DelegatedScope } from './delegated-scope.ts';
import { TrellisError } from '../errors.ts';
import { Permits } from '../lanes.ts';
import type { LatticeMemory } from './lattice-memory.ts';
import { annotationsAfter, type RunningWorkload, type ScaleRequest } from '../lattice/workloads.ts';
import type { PreparedComponent, ServedComponent, ServeOptions } from './served-component.ts';
import { within } from '../within.ts';
import { type OpenConfig, WorkloadConfig } from './config.ts';
import { type FetchedProgram, fetchOptions, instancesOf, settingsOf, withProgram } from './program.ts';

/** What {@link WorkloadStates} is made of. */
export interface WorkloadStatesOptions {
  readonly components: ComponentSet;
  /** As the configuration is now. */
  readonly serving: () => ServeOptions;
  readonly scope: DelegatedScope;
  readonly openConfig: OpenConfig;
  readonly memory: LatticeMemory;
  /** False if the host's NATS user may not serve a component, as far as that is known. */
  readonly mayServe: (id: string) => boolean;
  /** Runs what must not meet a request for the same component. */
  readonly alone: (id: string, work: () => Promise<void>) => Promise<void>;
}

/** What is started at the same time: each may take the memory of a component file. */
const STARTS_AT_ONCE = 8;
/** How long the server may take to confirm a subscription, or the end of one, before the rest goes on. */
const CONFIRM_MS = 5_000;
/** How long an event waits for the lattice's data to remember what runs; it goes on behind it. */
const REMEMBER_MS = 2_000;

type Strings = Readonly<Record<string, string>>;

/** The ways in which what runs for the lattice changes. Of one component only one at a time: the caller sees to that. */
export class WorkloadStates {
  readonly #options: WorkloadStatesOptions;
  readonly #turns = new Permits(STARTS_AT_ONCE);
  #starting = 0;

  constructor(options: WorkloadStatesOptions) {
    this.#options = options;
  }

  /**
   * From nothing to a component that serves.
   * @param pulling - Ends a pull for it.
   * @throws why it does not; then nothing is left of it
   */
  async start(request: ScaleRequest, pulling: AbortSignal): Promise<Entry> {
    const { componentId: id, componentRef: ref } = request;
    const { scope, mayServe } = this.#options;
    const serving = this.#options.serving();
    // The configuration's own component, stopped by the lattice before, comes back with all that its operator granted it.
    const own = serving.config.components.find((settings) => settings.id === id && referenceOf(settings) === ref);
    const work = async (program: FetchedProgram): Promise<Entry> => {
      this.#refuseWhenFull();
      this.#starting += 1;
      try {
        return await this.#startNow(request, own, program);
      } finally {
        this.#starting -= 1;
      }
    };
    try {
      // First whether it may run here at all, as far as nobody need be asked for that.
      this.#refuseWhenFull();
      if (!mayServe(id)) throw notServed(id);
      if (scope.isFixed) await scope.cover(id);
      if (own === undefined) return await withProgram(ref, serving, this.#turns, pulling, work);
      return await withConfigured(own, { ...fetchOptions(serving), signal: pulling }, this.#turns, work);
    } catch (error) {
      await this.#forget(id);
      throw error;
    }
  }

  #refuseWhenFull(): void {
    const { components, serving } = this.#options;
    const { maxComponents } = serving().config.limits;
    if (components.list().length + this.#starting < maxComponents) return;
    throw new TrellisError('TRELLIS_HOST_FULL', { message: `this host runs ${maxComponents} components, as many as it may` });
  }

  async #startNow(request: ScaleRequest, own: ComponentConfig | undefined, program: FetchedProgram): Promise<Entry> {
    const { components, scope, memory, openConfig } = this.#options;
    const { componentId: id, componentRef: imageRef, count: maxInstances, annotations = {}, limits = null } = request;
    const serving = this.#options.serving();
    const { limits: host } = serving.config;
    const asked = { id, imageRef, maxInstances, limits };
    const settings =
      own === undefined ? settingsOf(asked, serving.config) : { ...own, maxInstances: instancesOf(maxInstances, host) };
    await scope.cover(id);
    const config = await WorkloadConfig.open(request.config ?? [], settings.config, openConfig);
    try {
      const prepared = ready(await components.prepareOne({ ...settings, config: config.values() }, serving, program));
      const entry = await this.#serve(prepared, {
        workload: { ...asked, annotations, ...namesOf(program.claims) },
        owner: own === undefined ? 'lattice' : 'configuration',
        config,
        claims: program.claims,
      });
      await within(REMEMBER_MS, memory.remember({ id, ref: imageRef, claims: program.claims }));
      return entry;
    } catch (error) {
      config.close();
      throw error;
    }
  }

  /** Takes nothing new any more when this resolves; what runs is finished behind it. */
  async stop({ served }: Entry): Promise<void> {
    const { components, memory } = this.#options;
    components.take(served.id);
    memory.forget(served.id);
    await within(CONFIRM_MS, Promise.allSettled(served.subscriptions.map((subscription) => subscription.drain())));
    this.#leave(served);
  }

  /** Another number, other configurations; where limits change with them, another process. @throws why not; then all is as before */
  async rescale(request: ScaleRequest, entry: Entry, pulling: AbortSignal): Promise<void> {
    const { components, openConfig } = this.#options;
    const { served, workload, owner } = entry;
    const { config: all } = this.#options.serving();
    const names = request.config ?? entry.config?.names ?? [];
    const isSameConfig = entry.config?.isOf(names) ?? names.length === 0;
    if (request.count === workload.maxInstances && isSameConfig) return;
    const next: RunningWorkload = {
      ...workload,
      maxInstances: request.count,
      annotations: annotationsAfter(workload.annotations, request.annotations),
      limits: request.limits ?? workload.limits,
    };
    const ownValues = all.components.find((settings) => settings.id === next.id && owner === 'configuration')?.config ?? {};
    const config = isSameConfig ? entry.config : await WorkloadConfig.open(names, ownValues, openConfig);
    try {
      if (owner === 'lattice' && !sameLimits(settingsOf(next, all), served.settings)) {
        await this.#replace({ ...entry, workload: next, config }, pulling, (program) => {
          if (program.digest !== served.digest) throw new TrellisError('TRELLIS_COMPONENT_LIMITS');
        });
        return;
      }
      served.scale(instancesOf(request.count, all.limits));
      if (config !== undefined && !isSameConfig) served.component.setConfig(config.values());
      components.put({ ...entry, workload: next, config });
    } catch (error) {
      if (!isSameConfig) config?.close();
      throw error;
    }
  }

  /** Another reference in the place of the one that runs, with everything else as it was. @throws why not; then all is as before */
  async update(entry: Entry, imageRef: string, annotations: Strings | undefined, pulling: AbortSignal): Promise<Entry> {
    if (entry.owner === 'configuration') throw new TrellisError('TRELLIS_COMPONENT_CONFIGURED');
    const { id, maxInstances, limits } = entry.workload;
    const workload = {
      id,
      imageRef,
      maxInstances,
      limits,
      annotations: annotationsAfter(entry.workload.annotations, annotations),
      revision: 0,
    };
    return this.#replace({ ...entry, workload }, pulling);
  }

  /** First the next revision stands, then the old one leaves. */
  #replace(
    next: Pick<Entry, 'workload' | 'config'>,
    pulling: AbortSignal,
    check?: (program: FetchedProgram) => void,
  ): Promise<Entry> {
    const { components, memory } = this.#options;
    const { id, imageRef } = next.workload;
    return withProgram(imageRef, this.#options.serving(), this.#turns, pulling, async (program) => {
      check?.(program);
      const serving = this.#options.serving();
      const settings = { ...settingsOf(next.workload, serving.config), config: next.config?.values() ?? {} };
      const prepared = ready(await components.prepareOne(settings, serving, program));
      const workload = { ...next.workload, ...namesOf(program.claims) };
      const entry = await this.#serve(prepared, { workload, owner: 'lattice', config: next.config, claims: program.claims });
      // The entry of the lattice keeps the reference that it was made with, as in 1.x.
      await within(REMEMBER_MS, memory.remember({ id, claims: program.claims }));
      return entry;
    });
  }

  /** Lets it take calls, and whatever it replaces leave once the server has confirmed that. @throws TRELLIS_NATS_PERMISSION */
  async #serve(prepared: PreparedComponent, rest: Omit<Entry, 'served'>): Promise<Entry> {
    const { components } = this.#options;
    const { member, stopping } = this.#options.serving();
    const { id } = prepared;
    if (stopping()) {
      await prepared.component.stop();
      throw new TrellisError('TRELLIS_HOST_BUSY', { message: 'the host is stopping' });
    }
    let refused: TrellisError | undefined;
    const stopWatching = member.rpc.onStatus((event) => {
      if (event.type !== 'error' || event.error.code !== 'TRELLIS_NATS_PERMISSION') return;
      if (String(event.error.details['subject']).startsWith(`${member.lattice}.${id}.`)) refused = event.error;
    });
    const served = prepared.serve();
    const entry: Entry = { ...rest, served };
    const before = components.put(entry);
    await within(CONFIRM_MS, Promise.all([member.rpc.flush(), member.ctl.flush()]));
    stopWatching();
    if (before !== undefined) this.#leave(before);
    else if (refused !== undefined) {
      components.take(id);
      this.#leave(served);
      throw notServed(id, refused);
    }
    return entry;
  }

  /** Leaves a component out of the delegation, unless some revision of it still takes calls or answers those that it took. */
  async #forget(id: string): Promise<void> {
    const { components, scope, serving } = this.#options;
    if (serving().stopping() || components.served.some((each) => each.id === id)) return;
    await scope.drop([id]);
  }

  /** Finishes what a revision has begun, and ends it; with the last of a component goes its place in the delegation. */
  #leave(served: ServedComponent): void {
    const { components, alone } = this.#options;
    const { config, log } = this.#options.serving();
    void (async () => {
      await components.retire([served], this.#options.serving(), [], config.drainTimeoutMs);
      await alone(served.id, () => this.#forget(served.id));
    })().catch((err: unknown) =>
      log.error({ code: 'TRELLIS_INTERNAL', err, component: served.id }, 'a component did not end in order'),
    );
  }
}

function notServed(id: string, cause?: TrellisError): TrellisError {
  return new TrellisError('TRELLIS_NATS_PERMISSION', {
    message: `the rpc user of this host may not serve component ${id}`,
    remedy: 'Give it the right: a user whose permissions name the component (trellis auth).',
    details: { component: id },
    ...(cause === undefined ? {} : { cause }),
  });
}

/** What came of preparing: nothing comes of it on a host that is ending. */
function ready(prepared: PreparedComponent | undefined): PreparedComponent {
  if (prepared !== undefined) return prepared;
  throw new TrellisError('TRELLIS_HOST_BUSY', { message: 'the host is stopping' });
}

type Limited = Pick<HostConfig['components'][number], 'maxMemoryBytes' | 'timeoutMs'>;

function sameLimits(a: Limited, b: Limited): boolean {
  return a.maxMemoryBytes === b.maxMemoryBytes && a.timeoutMs === b.timeoutMs;
}
