import type { Clock } from '../clock.ts';
import { type HostFactsNow, latticeVersion } from '../lattice/inventory.ts';
import { HostLabels, hostcoreLabels } from '../lattice/labels.ts';
import { friendlyName } from './friendly-name.ts';

/** What {@link HostFacts} takes. */
export interface HostFactsOptions {
  /** Public key of the host (`N…`). */
  readonly id: string;
  readonly lattice: string;
  /** Version of this package. */
  readonly version: string;
  /** Labels of the configuration. */
  readonly labels: Readonly<Record<string, string>>;
  readonly clock: Clock;
  /** The first configured servers of the two connections. */
  readonly ctlServer?: string | undefined;
  readonly rpcServer?: string | undefined;
  readonly jsDomain?: string | undefined;
}

/** What a host is on the lattice: who, since when, with which labels. One for each run of a host. */
export class HostFacts implements HostFactsNow {
  readonly id: string;
  readonly friendlyName = friendlyName();
  readonly lattice: string;
  readonly version: string;
  readonly labels: HostLabels;
  readonly ctlHost: string | undefined;
  readonly rpcHost: string | undefined;
  readonly jsDomain: string | undefined;
  /** When it started, milliseconds since the Unix epoch. */
  readonly startedMs: number;
  readonly #clock: Clock;
  readonly #startedMonotonicMs: number;

  constructor(options: HostFactsOptions) {
    const { id, lattice, version, labels, clock, ctlServer, rpcServer, jsDomain } = options;
    this.id = id;
    this.lattice = lattice;
    this.version = latticeVersion(version);
    this.labels = new HostLabels(hostcoreLabels(process.arch, process.platform), labels);
    this.ctlHost = ctlServer;
    this.rpcHost = rpcServer;
    this.jsDomain = jsDomain;
    this.#clock = clock;
    this.startedMs = clock.wallMs();
    this.#startedMonotonicMs = clock.monotonicMs();
  }

  /** Whole seconds since the start; a clock that is set does not change it. */
  uptimeSeconds(): number {
    return Math.floor((this.#clock.monotonicMs() - this.#startedMonotonicMs) / 1_000);
  }
}
