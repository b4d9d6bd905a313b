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
}

/** What the load process measured. */
export interface LoadResult {
  readonly calls: number;
  readonly failed: number;
  readonly firstFailure: string | undefined;
  readonly elapsedMs: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** What the load process is started with, as its one argument in JSON. */
export interface LoadSetup {
  readonly url: string;
  readonly clusterSeedFile: string;
  readonly bareSubject: string;
}
