/** One row of the table. Rates are calls a second; CPU is microseconds a call; ratios are to the bare handler of the same round. */
export interface BenchRow {
  readonly case: string;
  readonly payloadBytes: number;
  readonly inFlight: number;
  readonly rps: number;
  readonly ratioToBare: number;
  /** CPU time of the host process (of the bare handler in its rows), all threads. */
  readonly hostCpuUs: number;
  /** CPU time of the host's runners, all threads. */
  readonly runnerCpuUs: number;
  /** CPU time of the process that makes the calls, all threads. */
  readonly callerCpuUs: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly failed: number;
}

/** A host with nothing to do. */
export interface IdleFigures {
  readonly hostRssBytes: number;
  /** The largest runner. */
  readonly runnerRssBytes: number;
  /** From the start of the process to its word that it is ready, component cache warm, server running. */
  readonly startToReadyMs: number;
}

/** A row of `rounds` rows of one case: the median of each column on its own; failures are added up. */
export function medianRow(rows: readonly BenchRow[]): BenchRow {
  const [first] = rows;
  if (first === undefined) throw new RangeError('no rows');
  const of = (pick: (row: BenchRow) => number): number => median(rows.map(pick));
  return {
    case: first.case,
    payloadBytes: first.payloadBytes,
    inFlight: first.inFlight,
    rps: of((row) => row.rps),
    ratioToBare: of((row) => row.ratioToBare),
    hostCpuUs: of((row) => row.hostCpuUs),
    runnerCpuUs: of((row) => row.runnerCpuUs),
    callerCpuUs: of((row) => row.callerCpuUs),
    p50Ms: of((row) => row.p50Ms),
    p99Ms: of((row) => row.p99Ms),
    failed: rows.reduce((sum, row) => sum + row.failed, 0),
  };
}

/** The middle of `values`, or the mean of the two in the middle; NaN without values. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const upper = sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
  const lower = sorted[Math.floor((sorted.length - 1) / 2)] ?? Number.NaN;
  return (lower + upper) / 2;
}
