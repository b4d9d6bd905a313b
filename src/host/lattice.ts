import type { ComponentSet } from '../workloads/component-set.ts';
import { allowed } from '../config/allowances.ts';
import { latticeDataPlace } from '../config/bucket-places.ts';
import type { HostConfig } from '../config/schema.ts';
import { readVersions } from '../config/version.ts';
import { startHeartbeat } from '../control/heartbeat.ts';
import { HostFacts } from '../control/host-facts.ts';
import { serveControl, type ServedControl } from '../control/interface/serve.ts';
import { type LatticeData, openLatticeData } from '../control/lattice-data.ts';
import { type LatticeEvents, openLatticeEvents } from '../control/lattice-events.ts';
import { admitSigned } from '../control/signed-control.ts';
import type { DelegatedScope } from '../workloads/delegated-scope.ts';
import { DesiredState } from '../workloads/desired-state.ts';
import { hostStarted, hostStopped, labelsChanged } from '../lattice/events.ts';
import { hostInventory } from '../lattice/inventory.ts';
import { followServeRights, type ServeRights } from '../nats/serve-rights.ts';
import { fileLinks, followLatticeLinks } from './lattice-links.ts';
import { restoreWorkloads } from '../workloads/restore.ts';
import type { ServeOptions } from '../workloads/served-component.ts';
import { openDesiredStateFile } from '../state-dir.ts';
import type { Alarms } from '../telemetry/alarms.ts';
import { within } from '../within.ts';
import { HostWorkloads } from '../workloads/host-workloads.ts';

/** What {@link HostLattice} is made of. */
export interface HostLatticeOptions {
  /** Public key of the host. */
  readonly host: string;
  readonly components: ComponentSet;
  readonly scope: DelegatedScope;
  /** As the configuration is now. */
  readonly serving: () => ServeOptions;
  readonly alarms: Alarms;
  /** Ends the host because the lattice says so, in so many milliseconds if it says that as well. */
  readonly stopHost: (timeoutMs: number | undefined) => void;
}

interface Parts {
  readonly facts: HostFacts;
  readonly control: ServedControl;
  readonly data: LatticeData;
  readonly events: LatticeEvents & { close(): void };
  readonly desired: DesiredState;
  readonly workloads: HostWorkloads;
  readonly rights: ServeRights;
  /** From now on requests are answered. */
  readonly listen: () => void;
}

/** How long the start of a host waits for what ran before; the rest comes up beside it. */
const RESTORE_MS = 15_000;
/** Label that shows what an operator has accepted: schedulers can keep away from such a host. */
const ALLOW_LABEL = 'trellis.allow';

/** A host as a member of a wasmCloud lattice: what it is told, what it tells, and what it runs for it. */
export class HostLattice {
  readonly #options: HostLatticeOptions;
  readonly #parts: Parts;
  readonly #ending = new AbortController();
  #endHeartbeat: () => void = () => {};
  #begun = false;

  private constructor(options: HostLatticeOptions, parts: Parts) {
    this.#options = options;
    this.#parts = parts;
  }

  /** What the lattice has this host run. */
  get workloads(): HostWorkloads {
    return this.#parts.workloads;
  }

  /** Hears the lattice from now on; what it is told is carried out once it has {@link begin | begun}. */
  static async open(options: HostLatticeOptions): Promise<HostLattice> {
    const { host, serving, components, scope, alarms } = options;
    const { member, config, log, audit, links, registries, metrics } = serving();
    const { ctl, rpc, lattice, clock } = member;
    const facts = new HostFacts({
      id: host,
      lattice,
      version: readVersions().trellis,
      labels: labelsOf(config),
      clock,
      ctlServer: config.ctl.servers[0],
      rpcServer: config.rpc.servers[0],
      jsDomain: config.jsDomain,
    });
    const events = openLatticeEvents({ ctl, lattice, host, clock, log });
    const rights = followServeRights(rpc, { viaLeaf: config.rpc.viaLeaf });
    const { promise: ready, resolve: listen } = Promise.withResolvers<void>();
    // The subscriptions stand before anything is read, so that nothing falls between; what they take in waits for the rest.
    let data: LatticeData | undefined;
    let workloads: HostWorkloads | undefined;
    const control = serveControl({
      ctl,
      rpc,
      lattice,
      prefix: config.control.prefix,
      facts,
      get data() {
        return data!;
      },
      fileLinks: () => fileLinks(links),
      get workloads() {
        return workloads!;
      },
      events,
      registries,
      silentRegistries: config.control.silentRegistries,
      auctions: { component: config.control.componentAuction, provider: config.control.providerAuction },
      accepts: (id) => workloads!.accepts(id),
      stopHost: (timeoutMs) => options.stopHost(timeoutMs),
      ...(config.control.mode === 'signed' ? { admit: admitSigned({ verify: member.commands, audit, log, metrics }) } : {}),
      ready,
      log,
      audit,
      metrics,
      clock,
    });
    await ctl.flush();
    const place = latticeDataPlace(config);
    data = await openLatticeData({ ctl, lattice, log, alarms, clock, place, ctlPrefix: config.control.prefix });
    // The file's links are there already; what the lattice says is known before anything is served.
    followLatticeLinks(data, links, log);
    const identity = config.hostSeedFile === undefined ? undefined : host;
    const file = config.restore ? openDesiredStateFile(config.stateDir, lattice, identity) : undefined;
    const desired = new DesiredState(file, log);
    const mayServe = (id: string): boolean => rights.maySubscribe(`${lattice}.${id}.wrpc.0.0.1.any`);
    workloads = new HostWorkloads({ host, components, scope, serving, data, events, desired, mayServe });
    return new HostLattice(options, { facts, control, data, events, desired, workloads, rights, listen });
  }

  /** Brings back what ran before, and tells the lattice that the host is there. What its configuration names serves by now. */
  async begin(): Promise<void> {
    const { serving, alarms } = this.#options;
    const { config, member, log } = serving();
    const { facts, data, events, desired, workloads, listen } = this.#parts;
    listen();
    if (config.restore) {
      const restoring = restoreWorkloads({
        desired,
        workloads,
        data,
        configured: config.components.map(({ id }) => id),
        log,
        signal: this.#ending.signal,
      });
      await within(RESTORE_MS, restoring);
    }
    if (this.#ending.signal.aborted) return;
    const heartbeat = startHeartbeat({
      clock: member.clock,
      intervalMs: config.heartbeatIntervalMs,
      inventory: () => hostInventory(facts, workloads.list()),
      events,
      ctl: member.ctl,
      alarms,
      log,
    });
    this.#endHeartbeat = () => heartbeat.close();
    this.#begun = true;
    const { friendlyName, labels, version } = facts;
    events.publish(hostStarted({ friendly_name: friendlyName, labels: labels.all(), version }));
  }

  /** Takes over the labels of another configuration. */
  configure(config: HostConfig): void {
    const { facts, events } = this.#parts;
    const { labels, id } = facts;
    if (labels.configure(labelsOf(config))) events.publish(labelsChanged(id, labels.all()));
  }

  /** Leaves the lattice, before what runs has ended: whoever schedules needs no longer count on this host. */
  leave(): void {
    if (this.#ending.signal.aborted) return;
    this.#ending.abort();
    this.#endHeartbeat();
    const { control, events, facts } = this.#parts;
    void control.close();
    if (this.#begun) events.publish(hostStopped(facts.labels.all()));
  }

  /** Resolves when nothing is being started or stopped any more, and every request has its answer. */
  async close(): Promise<void> {
    this.leave();
    const { control, workloads, data, rights, events } = this.#parts;
    await Promise.all([control.close(), workloads.close()]);
    await data.close();
    rights.close();
    events.close();
  }
}

function labelsOf({ labels, allow }: HostConfig): Readonly<Record<string, string>> {
  const accepted = allowed(allow);
  return accepted.length === 0 ? labels : { ...labels, [ALLOW_LABEL]: accepted.join(',') };
}
