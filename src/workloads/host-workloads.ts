import type { ComponentSet, Entry } from './component-set.ts';
import type { LatticeEvents } from '../control/lattice-events.ts';
import type { DelegatedScope } from './delegated-scope.ts';
import type { DesiredState } from './desired-state.ts';
import { type ErrorCode, TrellisError } from '../errors.ts';
import { isToken, quote } from '../ids.ts';
import { Lanes } from '../lanes.ts';
import { LatticeMemory, type MemoryData } from './lattice-memory.ts';
import type { DesiredWorkload } from '../lattice/desired-state.ts';
import { componentScaled, componentScaleFailed, errorAndRemedy } from '../lattice/events.ts';
import {
  annotationsAfter,
  type RunningWorkload,
  type ScaleRequest,
  type UpdateRequest,
  type WorkloadReply,
  type Workloads,
} from '../lattice/workloads.ts';
import type { ServeOptions } from './served-component.ts';
import { within } from '../within.ts';
import type { OpenConfig } from './config.ts';
import { PendingRequests } from './pending-requests.ts';
import { eventClaims } from './program.ts';
import { WorkloadStates } from './states.ts';

/** What {@link HostWorkloads} is made of. */
export interface HostWorkloadsOptions {
  /** Public key of this host. */
  readonly host: string;
  readonly components: ComponentSet;
  /** As the configuration is now. */
  readonly serving: () => ServeOptions;
  readonly scope: DelegatedScope;
  readonly data: MemoryData & { openConfig: OpenConfig };
  readonly events: LatticeEvents;
  /** False if the host's NATS user may not serve a component, as far as that is known. */
  readonly mayServe: (id: string) => boolean;
  readonly desired: DesiredState;
}

/** What may wait; a request costs little, but not nothing. */
const MAX_PENDING = 4_096;
/** How long an event waits for the state of this host to be on disk. */
const KEEP_MS = 1_000;

type Scaled = Pick<RunningWorkload, 'annotations' | 'imageRef' | 'maxInstances'> & Pick<Entry, 'claims'>;

/**
 * What the lattice has this host run: the state machine behind `component.scale` and `component.update`. Requests for one component are
 * carried out one after the other, in the order they came; those for different ones do not wait for each other. Each ends in an event.
 * A request that still waits for a registry is given up for a later one that is about something else.
 */
export class HostWorkloads implements Workloads {
  readonly #options: HostWorkloadsOptions;
  readonly #lanes = new Lanes();
  readonly #states: WorkloadStates;
  readonly #memory: LatticeMemory;
  readonly #pending = new PendingRequests();

  constructor(options: HostWorkloadsOptions) {
    const { components, serving, scope, data, mayServe } = options;
    this.#options = options;
    this.#memory = new LatticeMemory(data, serving().log);
    this.#states = new WorkloadStates({
      components,
      serving,
      scope,
      memory: this.#memory,
      mayServe,
      openConfig: (names) => data.openConfig(names),
      alone: (id, work) => this.#lanes.run(id, work),
    });
  }

  list(): readonly RunningWorkload[] {
    return this.#options.components.list().map(({ workload }) => workload);
  }

  has(id: string): boolean {
    return this.#options.components.get(id) !== undefined;
  }

  scale(request: ScaleRequest): WorkloadReply {
    const { componentId: id, componentRef: ref, count, annotations, limits, config, allowUpdate } = request;
    const refused = this.#refusal(id);
    if (refused !== undefined) return refused;
    const running = this.#options.components.get(id);
    const before = running?.workload;
    if (count === 0) this.#options.desired.delete(id);
    else if (running?.owner !== 'configuration')
      this.#options.desired.set({
        id,
        imageRef: allowUpdate ? ref : (before?.imageRef ?? ref),
        maxInstances: count,
        annotations: annotationsAfter(before?.annotations, annotations),
        limits: limits ?? before?.limits ?? null,
        config: config ?? running?.config?.names ?? [],
        known: before !== undefined && this.#memory.knows(id),
      });
    const about = count === 0 ? undefined : ref;
    this.#pending.overtake(id, about);
    void this.#inTurn(id, about, async (pulling) => {
      await this.#scale(request, pulling);
      return true;
    });
    return { success: true, message: scaleMessage(request, before) };
  }

  update(request: UpdateRequest): WorkloadReply {
    const { componentId: id, newComponentRef: ref, annotations } = request;
    const refused = this.#refusal(id);
    if (refused !== undefined) return refused;
    const running = this.#options.components.get(id);
    if (running === undefined) return { success: false, message: `component ${id} not found` };
    const { imageRef } = running.workload;
    if (imageRef === ref) return { success: true, message: `component ${id} already updated to ${ref}` };
    if (running.owner === 'configuration')
      return { success: false, message: new TrellisError('TRELLIS_COMPONENT_CONFIGURED').message };
    const wanted = this.#desiredOf(running);
    this.#options.desired.set({ ...wanted, imageRef: ref, annotations: annotationsAfter(wanted.annotations, annotations) });
    this.#pending.overtake(id, ref);
    void this.#inTurn(id, ref, async (pulling) => {
      try {
        await this.#update({ ...request, hostId: this.#options.host }, ref, pulling);
      } catch (err) {
        this.#log.error({ code: codeOf(err), component: id, ref, err }, 'a component was not updated, and runs on as it was');
        // Hosts of 1.x say nothing, and whoever waits for the update then waits in vain.
        const { workload } = this.#options.components.get(id) ?? running;
        const hostId = this.#options.host;
        const failed = { ...workload, componentId: id, hostId, imageRef: ref };
        this.#options.events.publish(componentScaleFailed(failed, errorAndRemedy(err)));
      }
      return true;
    });
    return { success: true, message: `component ${id} updating from ${imageRef} to ${ref}` };
  }

  /** True if this host could run one more component, and this one. */
  accepts(id: string): boolean {
    const { components, scope, serving, mayServe } = this.#options;
    const { config, stopping } = serving();
    return !stopping() && components.list().length < config.limits.maxComponents && mayServe(id) && scope.mayCover(id);
  }

  /**
   * Runs `work`, such as a reload, while no request for these components is carried out. Those that came before and wait for a registry are
   * given up: whoever may ask for components could else keep a reload waiting for as long as he likes.
   */
  hold<T>(ids: readonly string[], work: () => Promise<T>): Promise<T> {
    for (const id of ids) this.#pending.yieldToReload(id);
    return this.#lanes.hold(ids, work);
  }

  /** Starts what ran before. True if it runs, or something else was asked of it meanwhile. What fails stays wanted. */
  async restore(workload: DesiredWorkload): Promise<boolean> {
    const { id, imageRef, maxInstances, annotations, limits, config } = workload;
    const request: ScaleRequest = {
      componentId: id,
      componentRef: imageRef,
      count: maxInstances,
      annotations,
      ...(limits === null ? {} : { limits }),
      hostId: this.#options.host,
      config,
      allowUpdate: false,
    };
    if (this.#pending.has(id) || this.has(id)) return true;
    this.#options.desired.set(workload);
    return this.#inTurn(id, imageRef, (pulling) => this.#scale(request, pulling));
  }

  /** Resolves when no request is being carried out any more and what is wanted is on disk. */
  async close(): Promise<void> {
    this.#memory.close();
    await this.#lanes.idle();
    await this.#options.desired.saved();
  }

  get #log(): ServeOptions['log'] {
    return this.#options.serving().log;
  }

  #refusal(id: string): WorkloadReply | undefined {
    if (!isToken(id)) return { success: false, message: `component id ${quote(id)} is not allowed` };
    if (this.#options.serving().stopping()) return { success: false, message: 'the host is stopping' };
    if (this.#lanes.pending < MAX_PENDING) return undefined;
    return { success: false, message: 'too many components wait to be scaled here; try again later' };
  }

  /** `work` is given what ends a pull for it, and says whether what runs then is what is wanted. */
  async #inTurn(id: string, ref: string | undefined, work: (pulling: AbortSignal) => Promise<boolean>): Promise<boolean> {
    const request = this.#pending.add(id, ref);
    return this.#lanes.run(id, async () => {
      const isDone = await work(request.pulling.signal);
      this.#pending.delete(id, request);
      if (isDone && !this.#pending.has(id)) this.#settle(id);
      return isDone;
    });
  }

  /** What runs is what is wanted, where nobody wants something else already. A host that ends keeps what it was told. */
  #settle(id: string): void {
    if (this.#options.serving().stopping()) return;
    const running = this.#options.components.get(id);
    if (running?.owner === 'lattice') this.#options.desired.set(this.#desiredOf(running));
    else this.#options.desired.delete(id);
  }

  #desiredOf({ workload, config }: Entry): DesiredWorkload {
    const { id, imageRef, maxInstances, annotations, limits } = workload;
    return { id, imageRef, maxInstances, annotations, limits, config: config?.names ?? [], known: this.#memory.knows(id) };
  }

  /** One request, from its state to its event. True if it was carried out. Never rejects. */
  async #scale(request: ScaleRequest, pulling: AbortSignal): Promise<boolean> {
    const { componentId: id, componentRef: imageRef, count: maxInstances, annotations = {}, hostId } = request;
    const asked: Scaled = { imageRef, annotations, maxInstances };
    try {
      const running = this.#options.components.get(id);
      if (running === undefined) await this.#scaleNew(request, asked, pulling);
      else await this.#scaleRunning(request, running, pulling);
      return true;
    } catch (err) {
      const fields = { code: codeOf(err), component: id, ref: imageRef, count: maxInstances };
      this.#log.warn({ ...fields, err }, 'a component could not be scaled');
      this.#options.events.publish(componentScaleFailed({ componentId: id, hostId, ...asked }, errorAndRemedy(err)));
      return false;
    }
  }

  async #scaleNew(request: ScaleRequest, asked: Scaled, pulling: AbortSignal): Promise<void> {
    if (request.count === 0) return this.#tell(request, asked);
    const { claims } = await this.#states.start(request, pulling);
    // Once when it has started and once when the request is done, as hosts of wasmCloud 1.x do; whoever waits needs one.
    await this.#tell({ ...request, hostId: this.#options.host }, { ...asked, claims });
    await this.#tell(request, { ...asked, claims });
  }

  async #scaleRunning(request: ScaleRequest, running: Entry, pulling: AbortSignal): Promise<void> {
    const { workload, claims } = running;
    if (request.count === 0) await this.#states.stop(running);
    else await this.#states.rescale(request, running, pulling);
    // Of a component that ran already the event says the reference and annotations that it had, as in 1.x.
    await this.#tell(request, { ...workload, maxInstances: request.count, claims });
    if (request.count === 0 || !request.allowUpdate || workload.imageRef === request.componentRef) return;
    await this.#update(request, request.componentRef, pulling);
  }

  async #update(
    request: Pick<ScaleRequest, 'componentId' | 'hostId' | 'annotations'>,
    ref: string,
    pulling: AbortSignal,
  ): Promise<void> {
    const { componentId, annotations } = request;
    const running = this.#options.components.get(componentId);
    if (running === undefined)
      throw new TrellisError('TRELLIS_COMPONENT_NOT_FOUND', { message: `component ${componentId} not found` });
    if (running.workload.imageRef === ref) return;
    const { workload, claims } = await this.#states.update(running, ref, annotations, pulling);
    await this.#tell(request, { ...workload, claims });
  }

  /** The event that a request ends in. Who hears it can rely on it: by then what is wanted is on disk. */
  async #tell(request: Pick<ScaleRequest, 'componentId' | 'hostId'>, scaled: Scaled): Promise<void> {
    const { componentId, hostId } = request;
    const { annotations, imageRef, maxInstances, claims } = scaled;
    await within(KEEP_MS, this.#options.desired.saved());
    this.#log.info(
      { component: componentId, ref: imageRef, maxInstances },
      maxInstances === 0 ? 'component stopped' : 'component scaled',
    );
    this.#options.events.publish(
      componentScaled({ componentId, hostId, imageRef, annotations, maxInstances, claims: eventClaims(claims) }),
    );
  }
}

function scaleMessage({ componentRef, allowUpdate }: ScaleRequest, before: RunningWorkload | undefined): string {
  if (before === undefined || before.imageRef === componentRef) return '';
  const refs = `${before.imageRef} != ${componentRef}`;
  return allowUpdate
    ? `Requested to scale existing component, with a changed image reference: ${refs}. The component will be scaled, and the image reference will be updated afterwards.`
    : `Requested to scale existing component to a different image reference: ${refs}. The component will be scaled but the image reference will not be updated. If you meant to update this component to a new image ref, use the update command.`;
}

function codeOf(error: unknown): ErrorCode {
  return error instanceof TrellisError ? error.code : 'TRELLIS_INTERNAL';
}
