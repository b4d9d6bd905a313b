/** One measurement for the load process: a closed loop of `inFlight` calls. */
export interface LoadCase {
  /** `bare`: request and reply on a plain subject. `lattice`: invocations of a component. */
  readonly kind: 'bare' | 'lattice';
  readonly payloadBytes: number;
  readonly inFlight: number;
  readonly warmupMs: number;
  readonly durationMs: number;
  /** Lattice to call in; one caller a lattice is kept. */
  readonly lattice: string;
  readonly verify: 'enforce' | 'off';
  readonly target: string;
  readonly instance: string;
  readonly func: string;
  /** `bytes`: `list<u8>` of the payload's size. `string`: a text of that size. */
  readonly param: 'bytes' | 'string';
  /** Processes whose CPU time is read at both ends of the measured time. */
  readonly watch: { readonly host: readonly number[]; readonly runners: readonly number[] };
}

/** What the load process measured, after the warm-up. */
export interface LoadResult {
  /** Calls that ended well. */
  readonly calls: number;
  readonly failed: number;
  readonly firstFailure: string | undefined;
  readonly elapsedMs: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** CPU time of the watched processes, all of it, microseconds. */
  readonly hostCpuUs: number;
  readonly runnerCpuUs: number;
  /** The load process's own. */
  readonly callerCpuUs: number;
}

/** What the load process is started with, as its one argument in JSON. */
export interface LoadSetup {
  readonly url: string;
  readonly clusterSeedFile: string;
  readonly bareSubject: string;
}
