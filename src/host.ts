import { openAheadFile } from './state-dir.ts';
import type { Clock } from './clock.ts';
import { loadArtifact } from './component/artifact.ts';
import type { ComponentPorts, RunningComponent } from './component/component.ts';
import { startComponent } from './component/component-host.ts';
import { preflight } from './component/preflight.ts';
import { transpileComponent } from './component/transpile.ts';
import { remoteServers } from './config/check-context.ts';
import type { ComponentConfig, HostConfig } from './config/schema.ts';
import { serveDescription } from './control/describe.ts';
import { TrellisError, type ErrorCode } from './errors.ts';
import { componentId, functionName, instanceName, linkName } from './ids.ts';
import { Admission } from './invocation/admit.ts';
import { createGate } from './invocation/gate.ts';
import { LinkTable } from './invocation/link-table.ts';
import { createPath } from './invocation/path.ts';
import { isEngineFunction, subscribeComponent } from './invocation/subscribe.ts';
import { joinLattice, type Member } from './member.ts';
import { createObserver } from './invocation/observer.ts';
import type { Logger } from './telemetry/log.ts';
import type { Metrics } from './telemetry/metrics.ts';
import { childTraceparent } from './telemetry/trace.ts';
import { SigningKey } from './trust/nkey.ts';
import type { ComponentTypes } from './wit/types.ts';
import { hasAsync } from './wit/types.ts';
import type { BusSubscription } from './wrpc/bus.ts';

/** What starting a host takes. */
export interface HostOptions {
  readonly config: HostConfig;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly clock?: Clock;
}

/** One component as the host reports it. */
export interface ComponentStatus {
  readonly id: string;
  readonly digest: string;
  readonly inFlight: number;
  /** Calls its runner has taken since the start: each is guest code that ran. */
  readonly calls: number;
  /** Process ids of its runners. */
  readonly pids: readonly number[];
}

/** A snapshot for `/readyz`, logs and the command line. */
export interface HostStatus {
  readonly ready: boolean;
  readonly draining: boolean;
  readonly lattice: string;
  readonly issuer: string;
  readonly inFlight: number;
  readonly components: readonly ComponentStatus[];
  readonly connections: { readonly ctl: boolean; readonly rpc: boolean };
}

interface Served {
  readonly id: string;
  readonly digest: string;
  readonly component: RunningComponent;
  readonly subscriptions: readonly BusSubscription[];
}

/** Starts a host and resolves when every configured component is served. @throws TRELLIS_NATS_*, TRELLIS_COMPONENT_*, TRELLIS_TRUST_* */
export async function startHost(options: HostOptions): Promise<Host> {
  const host = new Host(options, await identity(options.config));
  try {
    await host.start();
  } catch (error) {
    await host.stop();
    throw error;
  }
  return host;
}

async function identity(config: HostConfig): Promise<string> {
  if (config.hostSeedFile === undefined) return SigningKey.generate('server').publicKey;
  const { readFile } = await import('node:fs/promises');
  return SigningKey.fromSeed((await readFile(config.hostSeedFile, 'utf8')).trim(), 'server').publicKey;
}

/** The types as the lattice may use them: without what the guest's language engine exports for itself. */
function offered(types: ComponentTypes): ComponentTypes {
  const exports = types.exports
    .map((wit) => ({ ...wit, functions: wit.functions.filter((fn) => !isEngineFunction(wit.name, fn.wireName)) }))
    .filter((wit) => wit.functions.length > 0);
  return { ...types, exports };
}

/** The same error, saying which component it is about. */
function ofComponent(id: string, error: unknown): unknown {
  if (!(error instanceof TrellisError)) return error;
  return new TrellisError(error.code, {
    message: `component ${id}: ${error.message}`,
    remedy: error.remedy,
    details: { ...error.details, component: id },
    cause: error.cause,
  });
}

/**
 * What no host may do beyond this computer, however it is started; `config/start-checks.ts` says it, and more, to those who
 * start one from a configuration. @throws TRELLIS_CONFIG_INVALID
 */
function refuseOpenDoors(config: HostConfig): void {
  if (remoteServers(config).length === 0) return;
  const { clusterSeed, clusterSeedFile, verify } = config.trust;
  if (verify === 'off') {
    throw new TrellisError('TRELLIS_CONFIG_INVALID', {
      message: 'verification is switched off on a lattice beyond this computer',
      remedy: 'Set trust.verify to enforce, or to observe while a lattice migrates.',
    });
  }
  if (clusterSeed === undefined && clusterSeedFile === undefined) {
    throw new TrellisError('TRELLIS_CONFIG_INVALID', {
      message: 'without a cluster seed this host would sign with an ad hoc key on a lattice beyond this computer',
      remedy: 'Set trust.clusterSeedFile (make one with: trellis keys gen cluster --out FILE).',
    });
  }
}

/** How long the last replies may take to reach the server, once nothing is in flight or the drain time is over. */
const FLUSH_MS = 500;

/** Resolves when `work` ends, either way, or after `timeoutMs`. */
async function within(timeoutMs: number, work: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, timeoutMs)));
  await Promise.race([work.catch(() => {}), late]);
  clearTimeout(timer);
}

/** A running host: composes the floors, and stops in the order that loses nothing. */
export class Host implements AsyncDisposable {
  /** Public key (`N…`) that names this host. */
  readonly id: string;
  /** Resolves when the host is over: with the reason if it ended by itself. */
  readonly closed: Promise<TrellisError | undefined>;
  readonly #options: HostOptions;
  readonly #links: LinkTable;
  readonly #admission: Admission;
  readonly #served: Served[] = [];
  #member: Member | undefined;
  #ready = false;
  #draining: Promise<void> | undefined;
  #over: (reason: TrellisError | undefined) => void = () => {};

  constructor(options: HostOptions, id: string) {
    this.#options = options;
    this.id = id;
    this.#links = new LinkTable(options.config.links);
    this.#admission = new Admission(options.config.limits);
    this.closed = new Promise((resolve) => (this.#over = resolve));
  }

  /** @internal Use {@link startHost}. */
  async start(): Promise<void> {
    const { config, log, metrics, clock } = this.#options;
    refuseOpenDoors(config);
    const observer = createObserver(log, metrics);
    const member = await joinLattice({
      config,
      log,
      links: this.#links,
      observer,
      name: `trellis ${this.id.slice(0, 8)}`,
      ahead: openAheadFile(config.stateDir, config.lattice),
      ...(clock === undefined ? {} : { clock }),
    });
    this.#member = member;
    metrics.inFlight(() => this.#admission.inFlight);
    for (const partition of ['ctl', 'rpc'] as const) {
      const connection = member[partition];
      connection.onStatus((event) => {
        if (event.type === 'reconnected') metrics.natsReconnected(partition);
      });
      void connection.closed.then((reason) => {
        if (this.#draining === undefined) this.#over(new TrellisError('TRELLIS_LATTICE_LOST', { cause: reason }));
      });
    }
    if (member.adHoc)
      log.warn(
        { issuer: member.issuer },
        'no cluster seed is configured: this host signs with an ad hoc key and believes no other host',
      );
    if (config.trust.verify !== 'enforce')
      log.warn({ verify: config.trust.verify }, 'invocations that are not properly signed are NOT refused');

    // Two at a time: transpiling is CPU, and a host that starts must still answer its connections.
    const queue = config.components.map((component) => component);
    const worker = async (): Promise<void> => {
      for (let next = queue.shift(); next !== undefined && this.#draining === undefined; next = queue.shift()) {
        const { id } = next;
        await this.#serve(member, next, observer).catch((error: unknown) => {
          throw ofComponent(id, error);
        });
      }
    };
    await Promise.all([worker(), worker()]);
    await Promise.all([member.rpc.flush(), member.ctl.flush()]);
    this.#ready = true;
    log.info({ host: this.id, lattice: member.lattice, components: this.#served.map((served) => served.id) }, 'ready');
  }

  async #serve(member: Member, settings: ComponentConfig, observer: ReturnType<typeof createObserver>): Promise<void> {
    const { config, log } = this.#options;
    const id = componentId(settings.id);
    const maxMemoryBytes = settings.maxMemoryBytes ?? config.limits.maxLinearMemoryBytes;
    const timeoutMs = settings.timeoutMs ?? config.limits.maxExecutionTimeMs;
    const artifact = await loadArtifact(settings.file, { maxBytes: config.limits.maxComponentSizeBytes });
    const checked = preflight(artifact.bytes, { maxBytes: config.limits.maxComponentSizeBytes });
    const transpiled = await transpileComponent(artifact.bytes, checked, {
      cacheDir: config.cacheDir,
      limits: { maxMemoryBytes },
      timeoutMs: 60_000,
    });
    // Another component may have failed the start, or somebody stopped it, while this one was being translated.
    if (this.#draining !== undefined) return;
    const component = await startComponent(
      {
        id,
        transpiled,
        types: checked.types,
        policy: settings.policy,
        maxInstances: settings.maxInstances,
        maxQueue: settings.maxQueue,
        maxMemoryBytes,
        maxParamsBytes: config.limits.maxParamsBytes,
        maxResultBytes: config.limits.maxResultBytes,
        timeoutMs,
        pendingImports: config.trust.verify === 'enforce' ? 'refuse' : 'allow',
        env: settings.env,
        args: settings.args,
        config: settings.config,
        grants: settings.grants,
      },
      this.#ports(member, checked.types),
    );
    if (this.#draining !== undefined) {
      await component.stop();
      return;
    }
    const path = createPath({
      id,
      component,
      timeoutMs,
      maxInFlight: settings.maxInstances + settings.maxQueue,
      admission: this.#admission,
      gate: createGate(config.trust.verify, member.requests),
      signer: member.signer,
      limits: {
        maxParamsBytes: config.limits.maxParamsBytes,
        maxCallDepth: config.limits.maxCallDepth,
        paramsTimeoutMs: Math.min(timeoutMs, 10_000),
      },
      observer,
      clock: member.clock,
    });
    const subscriptions = subscribeComponent({
      bus: member.rpc,
      inbox: member.inbox,
      lattice: member.lattice,
      id,
      component,
      ...(settings.world === undefined ? {} : { worldName: settings.world }),
      handler: path,
    });
    subscriptions.push(
      serveDescription(member.ctl, member.lattice, id, { id, digest: artifact.digest, types: offered(checked.types) }),
    );
    this.#served.push({ id, digest: artifact.digest, component, subscriptions });
    log.info(
      { component: id, digest: artifact.digest, functions: component.exports.length, policy: settings.policy },
      'component served',
    );
  }

  /** What a component's runner may ask of this host: outbound calls along links, and the log. */
  #ports(member: Member, types: ComponentTypes): ComponentPorts {
    const { log, metrics } = this.#options;
    const asyncResults = new Set<string>();
    for (const wit of types.imports) {
      for (const fn of wit.functions) if (hasAsync(fn.result)) asyncResults.add(`${wit.name} ${fn.wireName}`);
    }
    return {
      log,
      clock: member.clock,
      onRunnerLost: (component) => metrics.runnerRestarted(component),
      onGuestLog: (component, level, line) => log[level]({ component, guest: line }, 'guest'),
      invokeImport: (call, events) => {
        const link = call.link ?? 'default';
        const target = this.#links.resolve(call.component, link, call.instance);
        // The guest learns that its import failed, and what its language makes of that; the code is for the operator.
        const failed = (code: ErrorCode, detail: string): void => {
          const operation = `${call.instance}/${call.func}`;
          log.warn(
            { code, detail, component: call.component, operation, ...(target === undefined ? {} : { target }) },
            'import failed',
          );
          events.fail(`${code}: ${detail}`);
        };
        if (target === undefined) {
          failed('TRELLIS_LINK_MISSING', `no link ${link} of ${call.component} serves ${call.instance}`);
          return { sendPath() {}, cancel() {} };
        }
        const traceparent = childTraceparent(call.trace);
        return member.invoker.invoke(
          {
            origin: call.component,
            link: linkName(link),
            target,
            instance: instanceName(call.instance),
            func: functionName(call.func),
            // The runner's buffer is only ours until this returns, and the token is signed at the end of the turn.
            params: new Uint8Array(call.params),
            timeoutMs: Math.max(1, call.deadlineMs - member.clock.monotonicMs()),
            depth: call.depth,
            asyncResult: asyncResults.has(`${call.instance} ${call.func}`),
            ...(traceparent === undefined ? {} : { traceparent }),
          },
          {
            done: (result) => events.result(result),
            path: (path, bytes, eof) => events.path(path, bytes, eof),
            fail: failed,
            cut: failed,
          },
        );
      },
    };
  }

  /** A snapshot of what runs and how it is. */
  status(): HostStatus {
    const member = this.#member;
    return {
      ready: this.#ready && this.#draining === undefined && member?.rpc.state === 'connected' && member.ctl.state === 'connected',
      draining: this.#draining !== undefined,
      lattice: this.#options.config.lattice,
      issuer: member?.issuer ?? '',
      inFlight: this.#admission.inFlight,
      components: this.#served.map(({ id, digest, component }) => ({
        id,
        digest,
        inFlight: component.inFlight,
        calls: component.stats.calls,
        pids: component.pids,
      })),
      connections: { ctl: member?.ctl.state === 'connected', rpc: member?.rpc.state === 'connected' },
    };
  }

  /**
   * Stops in the order that loses nothing: no new messages, then what is in flight (up to `drainTimeoutMs`), then the
   * replies are flushed, then runners and connections end. Later calls return the same promise.
   */
  drain(): Promise<void> {
    this.#draining ??= this.#drain();
    return this.#draining;
  }

  async #drain(): Promise<void> {
    const { config, log } = this.#options;
    log.info({ inFlight: this.#admission.inFlight }, 'draining');
    const subscriptions = this.#served.flatMap((served) => served.subscriptions);
    const quiet = Promise.allSettled(subscriptions.map((subscription) => subscription.drain()));
    // One limit for both: a server that has stopped answering confirms no subscription's end.
    await within(
      config.drainTimeoutMs,
      quiet.then(() => this.#admission.idle()),
    );
    if (this.#admission.inFlight > 0)
      log.warn({ inFlight: this.#admission.inFlight }, 'the drain time is over; what is in flight is given up');
    if (this.#member !== undefined) await within(FLUSH_MS, this.#member.rpc.flush());
    await this.#end();
  }

  /** Stops at once; what is in flight is given up. */
  async stop(): Promise<void> {
    this.#draining ??= Promise.resolve();
    await this.#end();
  }

  async #end(): Promise<void> {
    await Promise.allSettled(this.#served.map((served) => served.component.stop()));
    await this.#member?.close();
    this.#over(undefined);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.drain();
  }
}
