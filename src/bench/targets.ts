import { BARE, type CaseName } from './cases.ts';
import type { BenchRow, IdleFigures } from './report.ts';

/** One thing the benchmark should show, and what it showed. */
export interface TargetVerdict {
  readonly target: string;
  readonly bound: 'at least' | 'at most';
  readonly wanted: number;
  readonly unit: string;
  /** `undefined` if the run did not measure it. */
  readonly measured: number | undefined;
  readonly met: boolean | undefined;
}

interface Figures {
  readonly rows: readonly BenchRow[];
  readonly idle: IdleFigures;
}

const MEGABYTE = 1e6;

/** Says which targets a run met. */
export function judgeTargets({ rows, idle }: Figures): TargetVerdict[] {
  const row = (name: CaseName | typeof BARE, inFlight: number): BenchRow | undefined =>
    rows.find((candidate) => candidate.case === name && candidate.payloadBytes === 256 && candidate.inFlight === inFlight);
  const aboveBare = (pick: (row: BenchRow) => number): number | undefined => {
    const bare = row(BARE, 1);
    const verified = row('tiny reuse, verified', 1);
    return bare === undefined || verified === undefined ? undefined : pick(verified) - pick(bare);
  };
  const fresh = row('tiny fresh, verify off', 64);
  return [
    atMost('host CPU a verified call, 1 in flight', 300, 'µs', row('tiny reuse, verified', 1)?.hostCpuUs),
    atMost('host CPU a verified call, 64 in flight', 70, 'µs', row('tiny reuse, verified', 64)?.hostCpuUs),
    atMost('host CPU a verified call, 256 in flight', 55, 'µs', row('tiny reuse, verified', 256)?.hostCpuUs),
    atLeast('verified throughput to bare, 64 in flight', 0.18, '', row('tiny reuse, verified', 64)?.ratioToBare),
    atMost(
      'verified p50 above bare, 1 in flight',
      0.6,
      'ms',
      aboveBare((r) => r.p50Ms),
    ),
    atMost(
      'verified p99 above bare, 1 in flight',
      2,
      'ms',
      aboveBare((r) => r.p99Ms),
    ),
    atLeast('throughput to bare, verify off, reuse, 64 in flight', 0.6, '', row('tiny reuse, verify off', 64)?.ratioToBare),
    atLeast(
      'fresh tiny guest, calls a second and core',
      2_500,
      '',
      fresh === undefined ? undefined : 1e6 / (fresh.runnerCpuUs + fresh.hostCpuUs),
    ),
    atMost('host at rest, resident', 90, 'MB', idle.hostRssBytes / MEGABYTE),
    atMost('runner at rest, resident', 60, 'MB', idle.runnerRssBytes / MEGABYTE),
    atMost('start to ready', 1_000, 'ms', idle.startToReadyMs),
  ];
}

function atMost(target: string, wanted: number, unit: string, measured: number | undefined): TargetVerdict {
  const met = measured === undefined ? undefined : measured <= wanted;
  return { target, bound: 'at most', wanted, unit, measured, met };
}

function atLeast(target: string, wanted: number, unit: string, measured: number | undefined): TargetVerdict {
  const met = measured === undefined ? undefined : measured >= wanted;
  return { target, bound: 'at least', wanted, unit, measured, met };
}
