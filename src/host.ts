import { joinAudit, openAudit } from './host/audit-trail.ts';
import { openAheadFile, openTrustFileIn } from './state-dir.ts';
import { systemClock, type Clock } from './clock.ts';
import { Deadline, drainInOrder } from './invocation/drain.ts';
import { allowed } from './config/allowances.ts';
import { Registries } from './component/oci/registries.ts';
import { planReload } from './config/reload-plan.ts';
import { startLeafCheck } from './control/leaf-check.ts';
import { reportConnection } from './control/connection-health.ts';
import { claimIdentity, type IdentityClaim } from './control/sole-instance.ts';
import type { HostConfig } from './config/schema.ts';
import { sayWhoTalks } from './control/trust-summary.ts';
import { TrellisError } from './errors.ts';
import { Admission } from './invocation/admit.ts';
import { LinkTable } from './invocation/link-table.ts';
import { latticeName } from './ids.ts';
import { joinLattice, type Member } from './member.ts';
import { ComponentSet, toDrain } from './workloads/component-set.ts';
import { DelegatedScope } from './workloads/delegated-scope.ts';
import { HostLattice } from './host/lattice.ts';
import type { HostState, HostStatus } from './host/status.ts';
import { ownTrust, tellOfTrust } from './host/trust.ts';
import { sayWhatIsUnusual } from './host/warnings.ts';
import { reloadHost, type ReloadOutcome, sayShares } from './host/reload.ts';
import type { ServeOptions } from './workloads/served-component.ts';
import { createObserver } from './invocation/observer.ts';
import { Health } from './telemetry/health.ts';
import { Alarms } from './telemetry/alarms.ts';
import type { LatticeConnection } from './nats/connection.ts';
import type { Audit } from './telemetry/audit.ts';
import type { Logger } from './telemetry/log.ts';
import type { Metrics } from './telemetry/metrics.ts';
import { memberKey } from './identity/member-key.ts';
import type { SigningKey } from './trust/nkey.ts';
import { refuseOpenDoors } from './startup/open-doors.ts';
import { openStartGate, type StartGate } from './startup/start-gate.ts';
import { within } from './within.ts';

/** What starting a host takes. */
export interface HostOptions {
  /** A seed from the environment is taken out of it: it serves one start. */
  readonly config: HostConfig;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly clock?: Clock;
  /** Gives the start up: what has been started ends, and {@link startHost} throws TRELLIS_HOST_START. */
  readonly signal?: AbortSignal;
}

/** Starts a host and resolves when every configured component is served. @throws TRELLIS_START_REFUSED, TRELLIS_NATS_*, TRELLIS_COMPONENT_*, TRELLIS_TRUST_* */
export async function startHost(options: HostOptions): Promise<Host> {
  const host = new Host(options, await memberKey(options.config));
  const { signal } = options;
  const giveUp = (): void => void host.stop();
  signal?.addEventListener('abort', giveUp);
  try {
    await host.start();
    if (signal?.aborted === true) throw new TrellisError('TRELLIS_HOST_START', { message: 'the start was given up' });
  } catch (error) {
    await host.stop();
    throw error;
  } finally {
    signal?.removeEventListener('abort', giveUp);
  }
  return host;
}

/** What a stop may take beyond its drain time. */
const DRAIN_SLACK_MS = 5_000;
/** How long the last replies may take to reach the server, once nothing is in flight or the drain time is over. */
const FLUSH_MS = 500;
/** A stop that waits for nothing still gives the server this long to confirm the end of the subscriptions. */
const STOP_NOW_MS = 200;

/** A running host: composes the floors, and stops in the order that loses nothing. */
export class Host implements AsyncDisposable {
  /** Public key (`N…`) that names this host. */
  readonly id: string;
  /** What needs somebody. */
  readonly alarms: Alarms;
  /** Resolves when the host is over: with the reason if it ended by itself. */
  readonly closed: Promise<TrellisError | undefined>;
  readonly #options: HostOptions;
  readonly #key: SigningKey;
  readonly #links: LinkTable;
  readonly #admission: Admission;
  readonly #health: Health;
  readonly #components = new ComponentSet();
  #config: HostConfig;
  #serving: ServeOptions | undefined;
  #reloading: Promise<unknown> = Promise.resolve();
  #member: Member | undefined;
  #audit: Audit | undefined;
  #gate: StartGate | undefined;
  #claim: IdentityClaim | undefined;
  #delegated: DelegatedScope | undefined;
  #lattice: HostLattice | undefined;
  /** Why it ends by itself, if it does. */
  #reason: TrellisError | undefined;
  #ready = false;
  #draining: Promise<void> | undefined;
  #lameDuck = false;
  #endLeafCheck: () => void = () => {};
  #ended = false;
  readonly #deadline = new Deadline();
  #over: (reason: TrellisError | undefined) => void = () => {};

  constructor(options: HostOptions, key: SigningKey) {
    this.#options = options;
    this.#config = options.config;
    this.#key = key;
    this.id = key.publicKey;
    this.#links = new LinkTable(options.config.links);
    this.#admission = new Admission(options.config.limits);
    const clock = options.clock ?? systemClock;
    this.#health = new Health(options.log, () => clock.monotonicMs());
    this.alarms = new Alarms(options.log, clock);
    this.closed = new Promise((resolve) => (this.#over = resolve));
  }

  /** @internal Use {@link startHost}. */
  async start(): Promise<void> {
    const { config, log, metrics, clock } = this.#options;
    refuseOpenDoors(config);
    const trail = { ...this.#options, host: this.id };
    const audit = (this.#audit = await openAudit(trail));
    const observer = createObserver(log, metrics, audit);
    const ids = config.components.map(({ id }) => id);
    const member = await joinLattice({
      config,
      key: this.#key,
      scope: { origins: ids, targets: ids },
      log,
      links: this.#links,
      observer,
      name: `trellis ${this.id.slice(0, 8)}`,
      connected: async (connections) => {
        this.#endLeafCheck = await startLeafCheck({ ...connections, config, log });
        await this.#claimIdentity(connections.ctl);
        this.#gate = await openStartGate({
          ...connections,
          lattice: latticeName(config.lattice),
          config,
          wallMs: () => (clock ?? systemClock).wallMs(),
          log,
          alarms: this.alarms,
          onRefused: (error) => this.#giveUp(error),
        });
      },
      ahead: openAheadFile(config.stateDir, config.lattice),
      trustFile: openTrustFileIn(config.stateDir, config.lattice),
      alarms: this.alarms,
      ...(clock === undefined ? {} : { clock }),
    });
    this.#member = member;
    if (this.#draining !== undefined) await member.close();
    this.#refuseStopped();
    joinAudit(audit, member.ctl, trail);
    member.trust.onChange(() => {
      const { epoch, issuers } = member.trust;
      audit.record({
        kind: 'control',
        code: 'ok',
        operation: 'trust.change',
        detail: `epoch ${epoch}, issuers ${issuers.join(' ')}`,
      });
    });
    metrics.inFlight(() => this.#admission.inFlight);
    metrics.health(() => this.status());
    metrics.alarms(() => this.alarms.list());
    for (const partition of ['ctl', 'rpc'] as const) {
      const connection = member[partition];
      reportConnection({
        connection,
        metrics,
        health: this.#health,
        clock: member.clock,
        stopping: () => this.#draining !== undefined,
      });
      void connection.closed.then((reason) => {
        if (this.#draining === undefined) this.#over(new TrellisError('TRELLIS_LATTICE_LOST', { cause: reason }));
      });
    }
    sayWhatIsUnusual(config, member, log);
    sayShares(config.trust.foreign, log);

    const serving: ServeOptions = {
      config,
      member,
      links: this.#links,
      registries: Registries.of(config, (warning) => log.warn(warning)),
      admission: this.#admission,
      observer,
      audit,
      log,
      metrics,
      stopping: () => this.#draining !== undefined,
    };
    this.#serving = serving;
    const delegated = (this.#delegated = new DelegatedScope(member, ids, config.trust.delegationFile !== undefined));
    const lattice = (this.#lattice = await HostLattice.open({
      host: this.id,
      components: this.#components,
      scope: delegated,
      serving: () => this.#serving!,
      alarms: this.alarms,
      stopHost: (timeoutMs) => this.#stopForLattice(timeoutMs),
    }));
    // What was stopped meanwhile knew nothing of it.
    if (this.#draining !== undefined) await lattice.close();
    this.#refuseStopped();
    await this.#components.start(serving).catch((error: unknown) => {
      // A pull that was given up because of a stop is no reason to start with.
      this.#refuseStopped();
      throw error;
    });
    this.#refuseStopped();
    await Promise.all([member.rpc.flush(), member.ctl.flush()]);
    await lattice.begin();
    this.#refuseStopped();
    await tellOfTrust({ host: this.id, config, member, audit, log });
    this.#ready = true;
    log.info({ host: this.id, lattice: member.lattice, components: this.#components.served.map(({ id }) => id) }, 'ready');
    void sayWhoTalks({ ctl: member.ctl, lattice: member.lattice, host: this.id, own: ownTrust(this.#config, member), log });
  }

  /** @throws TRELLIS_HOST_START once somebody has given the start up */
  #refuseStopped(): void {
    if (this.#draining !== undefined) throw new TrellisError('TRELLIS_HOST_START', { message: 'the start was given up' });
  }

  /** This host as a member of the lattice; `undefined` until it has joined. */
  get member(): Member | undefined {
    return this.#member;
  }

  /** A snapshot of what runs and how it is. */
  status(): HostStatus {
    const member = this.#member;
    const { degraded } = this.#health;
    const state = this.#state(degraded.length > 0);
    return {
      ready: state === 'serving',
      state,
      degraded,
      lattice: this.#config.lattice,
      issuer: member?.delegation.held.claims.iss ?? '',
      inFlight: this.#admission.inFlight,
      components: this.#components.served.map(({ id, digest, component }) => ({
        id,
        digest,
        inFlight: component.inFlight,
        calls: component.stats.calls,
        pids: component.pids,
      })),
      connections: { ctl: member?.ctl.state === 'connected', rpc: member?.rpc.state === 'connected' },
      allowed: allowed(this.#options.config.allow),
      alarms: this.alarms.list(),
    };
  }

  /**
   * Takes over a configuration while it runs: what can be taken over counts from now on, the rest is named and waits for a restart.
   * Everything that could fail is tried first; with an error nothing has changed. Resolves when replaced components have ended.
   * Reloads come one after the other. Never throws.
   */
  reload(next: HostConfig): Promise<ReloadOutcome> {
    const reloading = this.#reloading.then(() => this.#reload(next));
    this.#reloading = reloading;
    return reloading;
  }

  async #reload(next: HostConfig): Promise<ReloadOutcome> {
    const serving = this.#serving;
    if (!this.#ready || serving === undefined || serving.stopping()) return { errors: [new TrellisError('TRELLIS_HOST_BUSY')] };
    try {
      // As it will be in force, not as it is written: what waits for a restart stays as it was.
      const { config } = planReload(this.#config, next);
      refuseOpenDoors(config);
      // Before it moves: what it finds elsewhere counts there.
      this.#gate?.judgeBy(config);
    } catch (error) {
      return { errors: [error instanceof TrellisError ? error : new TrellisError('TRELLIS_INTERNAL', { cause: error })] };
    }
    const delegated = this.#delegated!;
    const concerned = [this.#config, next].flatMap(({ components }) => components.map(({ id }) => id));
    const outcome = await this.#lattice!.workloads.hold(concerned, () =>
      reloadHost({ before: this.#config, next, serving, components: this.#components, delegated }),
    );
    if ('errors' in outcome) {
      this.#gate?.judgeBy(this.#config);
      return outcome;
    }
    this.#config = outcome.config;
    this.#serving = { ...serving, config: outcome.config };
    this.#lattice!.configure(outcome.config);
    // Links and lists of trust are rights; whoever looks for when they changed finds it where their use is recorded.
    serving.audit.record({ kind: 'control', code: 'ok', operation: 'config.reload', detail: outcome.applied.join(' ') });
    return outcome;
  }

  #state(isDegraded: boolean): HostState {
    if (this.#ended) return 'stopped';
    if (this.#draining !== undefined) return this.#lameDuck ? 'lame-duck' : 'draining';
    if (!this.#ready) return 'starting';
    return isDegraded ? 'degraded' : 'serving';
  }

  /**
   * Stops in the order that loses nothing: no new messages, callers before those they call; then what is in flight (up to
   * `drainTimeoutMs`); then the replies are flushed; then runners and connections end. Later calls can only shorten the time.
   */
  drain(): Promise<void> {
    return this.#drainWithin(this.#config.drainTimeoutMs);
  }

  /**
   * The same in no hurry, up to `lameDuckMs`: for calls and streams that take long, when the lattice can do without this host. {@link drain}
   * ends the patience, {@link stop} the wait.
   */
  lameDuck(): Promise<void> {
    this.#lameDuck = this.#draining === undefined;
    return this.#drainWithin(this.#config.lameDuckMs);
  }

  /** Stops at once, in a second at most; what is in flight is given up, and its callers are told. */
  async stop(): Promise<void> {
    await this.#drainWithin(STOP_NOW_MS);
  }

  /** `host.stop`: as a drain, in the time that it gives, though in no more than this host would give itself. */
  #stopForLattice(timeoutMs: number | undefined): void {
    const { drainTimeoutMs, lameDuckMs } = this.#config;
    const limitMs = timeoutMs === undefined ? drainTimeoutMs : Math.min(timeoutMs, Math.max(drainTimeoutMs, lameDuckMs));
    this.#options.log.info({ host: this.id, limitMs }, 'the lattice stops this host');
    void this.#drainWithin(limitMs);
  }

  /** A key that was made for this run is nobody else's. @throws TRELLIS_HOST_DUPLICATE */
  async #claimIdentity(ctl: LatticeConnection): Promise<void> {
    const { config, log, clock = systemClock } = this.#options;
    if (config.hostSeedFile === undefined) return;
    this.#claim = await claimIdentity({
      ctl,
      lattice: latticeName(config.lattice),
      key: this.#key,
      clock,
      log,
      waitMs: config.drainTimeoutMs + DRAIN_SLACK_MS,
      onLost: (error) => this.#giveUp(error),
    });
  }

  /** What would have refused the start has come true while it serves: it ends what it has begun, and then itself. */
  #giveUp(error: TrellisError): void {
    this.#options.log.fatal({ err: error }, 'the host stops serving');
    this.#reason = error;
    void this.drain();
  }

  #drainWithin(limitMs: number): Promise<void> {
    const isShorter = limitMs < this.#deadline.leftMs;
    if (this.#draining !== undefined && isShorter) this.#lameDuck = false;
    this.#deadline.shorten(limitMs);
    this.#claim?.draining();
    this.#draining ??= this.#drain(limitMs);
    return this.#draining;
  }

  async #drain(limitMs: number): Promise<void> {
    const { log } = this.#options;
    const { inFlight: begun } = this.#admission;
    if (this.#ready) log.info({ inFlight: begun, limitMs, ...(this.#lameDuck ? { lameDuck: true } : {}) }, 'draining');
    this.#lattice?.leave();
    this.#serving?.registries.close();
    const { served: all } = this.#components;
    const draining = all.map((served) => toDrain(served, { admission: this.#admission }));
    // One limit for all of it: a server that has stopped answering confirms no subscription's end.
    await Promise.race([this.#deadline.over, drainInOrder(draining, this.#links.among(all.map(({ id }) => id)), this.#deadline)]);
    this.#deadline.clear();
    const { inFlight } = this.#admission;
    if (inFlight > 0) {
      log.warn({ inFlight }, 'the drain time is over; what is in flight is given up');
      // The path answers what its component gives up, so the callers hear of it instead of waiting.
      await within(FLUSH_MS, Promise.allSettled(this.#components.served.map(({ component }) => component.stop())));
    }
    const { rpc, ctl, sync } = this.#member ?? {};
    await within(FLUSH_MS, Promise.all([rpc?.flush(), sync?.withdraw(), this.#audit?.close().then(() => ctl?.flush())]));
    await this.#end();
  }

  async #end(): Promise<void> {
    this.#endLeafCheck();
    if (this.#lattice !== undefined) await within(FLUSH_MS, this.#lattice.close());
    await Promise.allSettled(this.#components.served.map(({ component }) => component.stop()));
    this.#gate?.close();
    this.#claim?.end();
    if (this.#audit !== undefined) await within(FLUSH_MS, this.#audit.close());
    await this.#member?.close();
    this.#ended = true;
    this.#over(this.#reason);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.drain();
  }
}
