import { uptimeHuman } from './uptime.ts';
import type { RunningWorkload } from './workloads.ts';

/** The protocol that a host speaks: of wasmCloud hosts of this version. */
const PROTOCOL_VERSION = '1.9.2';

/** What a host is, besides what it runs. */
export interface HostFactsNow {
  /** Public key (`N…`). */
  readonly id: string;
  readonly friendlyName: string;
  readonly lattice: string;
  /** As {@link latticeVersion} gives it. */
  readonly version: string;
  /** URL of the control connection, such as `nats://127.0.0.1:4222`. */
  readonly ctlHost?: string | undefined;
  readonly rpcHost?: string | undefined;
  readonly jsDomain?: string | undefined;
  readonly labels: { all(): Readonly<Record<string, string>> };
  /** Whole seconds since the start. */
  uptimeSeconds(): number;
}

/** A host as it answers a ping. */
export interface HostDescription {
  readonly id: string;
  readonly friendly_name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly lattice: string;
  readonly uptime_seconds: number;
  readonly uptime_human: string;
  readonly version: string;
  readonly ctl_host?: string;
  readonly rpc_host?: string;
  readonly js_domain?: string;
}

/** A component in an inventory. */
export interface ComponentDescription {
  readonly id: string;
  /** As it was asked for. */
  readonly image_ref: string;
  /** Of the embedded claims. */
  readonly name?: string;
  readonly annotations: Readonly<Record<string, string>>;
  readonly revision: number;
  readonly max_instances: number;
  readonly limits: Readonly<Record<string, string>> | null;
}

/** A provider in an inventory. */
export interface ProviderDescription {
  readonly id: string;
  readonly image_ref?: string;
  readonly name?: string;
  readonly revision: number;
  readonly annotations: Readonly<Record<string, string>>;
}

/** What a host runs: the answer to `host.get`, and the heartbeat. */
export interface HostInventory {
  readonly components: readonly ComponentDescription[];
  readonly providers: readonly ProviderDescription[];
  readonly host_id: string;
  readonly friendly_name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly version: string;
  readonly uptime_human: string;
  readonly uptime_seconds: number;
}

/**
 * The version that a host tells the lattice. Schedulers insist on a semantic version and take it for that of a wasmCloud host, so it is
 * the one whose protocol is spoken; who speaks it stands behind the plus: `1.9.2+trellis.0.1.0`.
 */
export function latticeVersion(own: string): string {
  return `${PROTOCOL_VERSION}+trellis.${own.replace(/[^0-9A-Za-z.-]/g, '-')}`;
}

/** True if a host of this version is one of Trellis. */
export function isTrellis(version: string): boolean {
  return version.includes('+trellis.');
}

/** What a host answers to a ping. */
export function hostDescription(facts: HostFactsNow): HostDescription {
  const uptimeSeconds = facts.uptimeSeconds();
  const { ctlHost, rpcHost, jsDomain } = facts;
  return {
    id: facts.id,
    friendly_name: facts.friendlyName,
    labels: facts.labels.all(),
    lattice: facts.lattice,
    uptime_seconds: uptimeSeconds,
    uptime_human: uptimeHuman(uptimeSeconds),
    version: facts.version,
    ...(ctlHost === undefined ? {} : { ctl_host: ctlHost }),
    ...(rpcHost === undefined ? {} : { rpc_host: rpcHost }),
    ...(jsDomain === undefined ? {} : { js_domain: jsDomain }),
  };
}

/** What a host says it runs. */
export function hostInventory(
  facts: HostFactsNow,
  components: readonly RunningWorkload[],
  providers: readonly ProviderDescription[] = [],
): HostInventory {
  const uptimeSeconds = facts.uptimeSeconds();
  return {
    components: components.map(componentDescription),
    providers,
    host_id: facts.id,
    friendly_name: facts.friendlyName,
    labels: facts.labels.all(),
    version: facts.version,
    uptime_human: uptimeHuman(uptimeSeconds),
    uptime_seconds: uptimeSeconds,
  };
}

function componentDescription(workload: RunningWorkload): ComponentDescription {
  const { id, imageRef, name, annotations, revision, maxInstances, limits } = workload;
  return {
    id,
    image_ref: imageRef,
    ...(name === undefined ? {} : { name }),
    annotations,
    revision,
    max_instances: maxInstances,
    limits,
  };
}
