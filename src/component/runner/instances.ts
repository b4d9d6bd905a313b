import { systemClock } from '../../clock.ts';
import type { GuestLogKind } from './frames.ts';
import type { Handles } from './handles.ts';
import type { LoadedComponent, Namespace } from './loaded-component.ts';
import type { RunnerStart } from './start.ts';
import type { NetworkFactory } from './wasi/network/network.ts';
import type { HttpTwin } from './twins/http.ts';
import type { Twins, WireCalls } from './twins/twins.ts';
import type { Lifetime } from './wasi/poll.ts';
import { createWasi, type Wasi } from './wasi/wasi.ts';

/** Spare instances that `fresh` keeps ready. Few: the generated code gets slower the more instances are alive. */
const SPARES = 2;

/** What {@link InstancePool} is made of. */
export interface PoolOptions {
  readonly component: LoadedComponent;
  readonly start: RunnerStart;
  readonly handles: Handles;
  /** The network, if the component was granted some. */
  readonly network?: NetworkFactory | undefined;
  /** Makes the HTTP of an instance that has it along links. */
  readonly http?: ((lifetime: Lifetime, wire: WireCalls) => HttpTwin) | undefined;
  /** The imports that are links, for one instance. */
  linkImports(instance: Instance): Readonly<Record<string, unknown>>;
  /** Calls of interfaces in their form on the wire, for one instance. */
  wireCalls(instance: Instance): WireCalls;
  /** Chooses the link that further calls of some interfaces take; resolves with why not. */
  setLinkName(instance: Instance, name: string, interfaces: readonly string[]): Promise<string | undefined>;
  onLine(kind: GuestLogKind, line: Uint8Array, context?: Uint8Array): void;
}

/** One instance of the component. It serves one call at a time. */
export class Instance {
  readonly exports: Namespace;
  /** For interfaces that the wire has in another form. */
  readonly twins: Twins;
  readonly #wasi: Wasi;
  /** Links that the guest chose for interfaces (`ns:pkg/iface`), until the end of the call. */
  readonly linkNames = new Map<string, string>();
  /** What `wasi:config` says, from one call to the next. */
  #config: RunnerStart['config'];
  /** Number of the call it serves, which its imports belong to; 0 between calls. */
  callId = 0;
  calls = 0;
  /** Code the guest exited with. */
  exited: number | undefined;
  /** Keys of the handles to resources that live in it. */
  readonly handles = new Set<string>();
  /** Classes of other components' resources, as this instance was given them. */
  readonly foreign = new Map<string, { readonly prototype: object }>();

  constructor(options: PoolOptions, config: RunnerStart['config']) {
    const { start, component, onLine } = options;
    this.#config = config;
    const wire = options.wireCalls(this);
    this.#wasi = createWasi({
      imports: start.types.imports,
      env: start.env,
      args: start.args,
      config: () => this.#config,
      grants: { preopens: start.grants.preopens ?? [] },
      ...(options.network === undefined ? {} : { network: options.network }),
      ...(options.http === undefined ? {} : { http: (lifetime: Lifetime) => options.http!(lifetime, wire) }),
      clock: systemClock,
      stdout: (line) => onLine('stdout', line),
      stderr: (line) => onLine('stderr', line),
      log: (level, context, message) => onLine(level, Buffer.from(message), Buffer.from(context)),
      setLinkName: (name, interfaces) => options.setLinkName(this, name, interfaces),
      onExit: (code) => {
        this.exited = code;
      },
    });
    this.twins = { wire, http: this.#wasi.http };
    this.exports = component.instantiate({ ...this.#wasi.imports, ...options.linkImports(this) });
    // An initialiser has no deadline, so nothing that it opened may stay open.
    if (options.network !== undefined) this.flush();
  }

  /** Ends with it. */
  get lifetime(): Lifetime {
    return this.#wasi.lifetime;
  }

  /** Begins a call: its imports belong to it, and `wasi:config` says the same until its end. */
  begin(callId: number, config: RunnerStart['config']): void {
    this.callId = callId;
    this.calls += 1;
    this.linkNames.clear();
    this.#config = config;
  }

  /** Ends a call: writes out unfinished lines, closes what it left open on the network. */
  flush(): void {
    this.#wasi.flush();
  }

  /** Ends what the guest still waits for: a wait that never ends would never be freed. */
  stop(reason: Error): void {
    this.#wasi.stop(reason);
  }
}

/**
 * Instances by policy. `fresh` hands out each instance once, with a few made ahead while nothing else is to do; `reuse`
 * hands out the one used last, up to so many calls. What failed in any way but by a declared error is never used again.
 */
export class InstancePool {
  readonly #options: PoolOptions;
  readonly #fresh: boolean;
  #max: number;
  readonly #idle: Instance[] = [];
  #active = 0;
  #config: RunnerStart['config'];

  constructor(options: PoolOptions) {
    this.#options = options;
    this.#fresh = options.start.policy === 'fresh';
    this.#max = options.start.maxInstances;
    this.#config = options.start.config;
  }

  /**
   * Takes other values of `wasi:config`, for calls that begin from now on. Spare instances go: their initialisers may have read the old
   * ones. Under `reuse` instances stay, with whatever their guests keep.
   */
  setConfig(config: RunnerStart['config']): void {
    this.#config = config;
    if (!this.#fresh) return;
    for (const spare of this.#idle.splice(0)) this.#end(spare, 'the configuration has changed');
  }

  /** Lets so many calls have an instance at once from now on. */
  setMax(count: number): void {
    this.#max = count;
  }

  /** How many more calls could get an instance now. */
  get free(): number {
    return this.#max - this.#active;
  }

  /**
   * An instance for one call; throws what instantiating throws.
   * @param owner The instance that the call must have, because a resource of it is among the parameters.
   */
  take(callId: number, owner?: Instance): Instance {
    const instance = owner === undefined ? (this.#idle.pop() ?? this.#make()) : this.#takeIdle(owner);
    this.#active += 1;
    instance.begin(callId, this.#config);
    return instance;
  }

  /** Takes an instance back after a call that ended well. */
  giveBack(instance: Instance): void {
    this.#active -= 1;
    instance.callId = 0;
    instance.flush();
    const worn = instance.calls >= this.#options.start.callsPerInstance && instance.handles.size === 0;
    if (this.#fresh || worn) this.#end(instance, 'the call has ended');
    else this.#idle.push(instance);
  }

  /** Throws an instance away. */
  discard(instance: Instance, reason: string): void {
    this.#active -= 1;
    instance.callId = 0;
    instance.flush();
    this.#end(instance, reason);
  }

  #end(instance: Instance, reason: string): void {
    this.#options.handles.drop(instance);
    instance.stop(new Error(reason));
  }

  #make(): Instance {
    return new Instance(this.#options, this.#config);
  }

  #takeIdle(instance: Instance): Instance {
    const at = this.#idle.indexOf(instance);
    if (at < 0) throw new Error('the instance of the resource is busy');
    this.#idle.splice(at, 1);
    return instance;
  }

  /** Makes one instance ahead, if the policy wants one; true if more would be useful. Throws what instantiating throws. */
  prepare(): boolean {
    const wanted = this.#fresh ? Math.min(SPARES, this.#max) : 1;
    if (this.#idle.length >= wanted || (!this.#fresh && this.#active > 0)) return false;
    this.#idle.unshift(this.#make());
    return this.#idle.length < wanted;
  }
}
