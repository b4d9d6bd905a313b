import type { LatticeName } from '../../ids.ts';
import type { RegistryCredentials } from '../../lattice/control-messages.ts';
import type { ControlOperation } from '../../lattice/control-subjects.ts';
import type { LatticeLink, LinkKey } from '../../lattice/links.ts';
import type { Workloads } from '../../lattice/workloads.ts';
import type { Audit } from '../../telemetry/audit.ts';
import type { Logger } from '../../telemetry/log.ts';
import type { Metrics } from '../../telemetry/metrics.ts';
import type { Bus, BusMessage } from '../../wrpc/bus.ts';
import type { HostFacts } from '../host-facts.ts';
import type { LatticeEvents } from '../lattice-events.ts';
import type { ProviderBus } from './provider-links.ts';

type Strings = Readonly<Record<string, string>>;

/** The data of the lattice, as far as the control interface reads and writes it. What cannot be done for want of JetStream rejects. */
export interface ControlData {
  /** `absent` while nothing of it has been read: then there is nothing to answer from. */
  readonly state: 'current' | 'stale' | 'absent';
  /** Links by source: the same map until something changes, and the same list until one of its links does. */
  linksBySource(): ReadonlyMap<string, readonly LatticeLink[]>;
  claims(): readonly Strings[];
  putLink(link: LatticeLink): Promise<'set' | 'conflict'>;
  /** `spec`: whether the source has an entry at all. */
  deleteLink(key: LinkKey): Promise<{ readonly spec: boolean; readonly deleted?: LatticeLink | undefined }>;
  getConfig(name: string): Promise<Strings | undefined>;
  putConfig(name: string, values: Strings): Promise<void>;
  deleteConfig(name: string): Promise<void>;
  /** Those of the names that are not there. */
  missingConfig(names: readonly string[]): Promise<readonly string[]>;
}

/** What a request is, for who decides whether it may be carried out. */
export interface AdmittedRequest {
  readonly operation: ControlOperation;
  /** False for requests that only read. */
  readonly changes: boolean;
  /** True if it went to one of several hosts, whichever took it. */
  readonly shared: boolean;
}

/** Whether a request may be carried out; with a signer, who vouched for it. */
export type Admission = 'ok' | { readonly signer: string } | Refusal;

/** A request that is not carried out. Whoever refuses has said so in log and audit. */
export interface Refusal {
  /** What the answer says. */
  readonly refused: string;
}

/** What {@link serveControl} takes. */
export interface ControlOptions {
  /** The control connection: requests, answers. */
  readonly ctl: Bus;
  /** The calling connection: providers of other hosts hear of links on it. */
  readonly rpc: ProviderBus;
  readonly lattice: LatticeName;
  /** First tokens of all control subjects, such as `wasmbus.ctl`. */
  readonly prefix: string;
  readonly facts: HostFacts;
  readonly data: ControlData;
  /** Links of the host's own configuration, by source. */
  readonly fileLinks: () => ReadonlyMap<string, readonly LatticeLink[]>;
  readonly workloads: Workloads;
  readonly events: LatticeEvents;
  /** Where registry credentials go. Secret. Gives back what was not taken as it came. */
  readonly registries: { put(credentials: Readonly<Record<string, RegistryCredentials>>): readonly string[] };
  /** Whether auctions are heard at all. */
  readonly auctions: { readonly component: boolean; readonly provider: boolean };
  /** Takes `registry.put` without an inbox for the answer. Off unless somebody wants it. */
  readonly silentRegistries?: boolean;
  /**
   * False for a component that this host could not run: outside what its delegation or its NATS user names, or when it is full. It
   * then does not bid for it.
   */
  readonly accepts?: (componentId: string, componentRef: string) => boolean;
  /** Ends the host, in so many milliseconds if the request says so. Called when the answer has been sent; more than once, maybe. */
  readonly stopHost: (timeoutMs: number | undefined) => void;
  /** Decides over every request; all are admitted without it. */
  readonly admit?: (message: BusMessage, request: AdmittedRequest) => Admission;
  /** Requests that come before this resolves are answered then. */
  readonly ready?: Promise<unknown>;
  readonly log: Logger;
  readonly audit: Audit;
  readonly metrics: Pick<Metrics, 'control'>;
  readonly clock: { monotonicMs(): number };
}
