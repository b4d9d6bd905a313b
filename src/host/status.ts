import type { Alarm } from '../telemetry/alarms.ts';

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

/** What a host is about: `degraded` serves as far as it can; `lame-duck` and `draining` take nothing new. */
export type HostState = 'starting' | 'serving' | 'degraded' | 'lame-duck' | 'draining' | 'stopped';

/** A snapshot for `/readyz`, logs and the command line. */
export interface HostStatus {
  readonly ready: boolean;
  readonly state: HostState;
  /** Why it is degraded, for people; empty if it is not. */
  readonly degraded: readonly string[];
  readonly lattice: string;
  /** The cluster issuer that signed this host's delegation. */
  readonly issuer: string;
  readonly inFlight: number;
  readonly components: readonly ComponentStatus[];
  readonly connections: { readonly ctl: boolean; readonly rpc: boolean };
  /** Refusals at start that an operator has accepted by name, see `config/allowances.ts`. */
  readonly allowed: readonly string[];
  /** What needs somebody, oldest first. */
  readonly alarms: readonly Alarm[];
}
