import { describe, expect, it } from 'vitest';
import { BARE, CASES } from '../../../src/bench/cases.ts';
import type { BenchRow } from '../../../src/bench/report.ts';
import { judgeTargets, type TargetVerdict } from '../../../src/bench/targets.ts';
import { benchLines } from '../../../src/cli/commands/bench.ts';

const IDLE = { hostRssBytes: 84e6, runnerRssBytes: 61e6, startToReadyMs: 400 };

const row = (name: string, inFlight: number, values: Partial<BenchRow> = {}): BenchRow => ({
  case: name,
  payloadBytes: 256,
  inFlight,
  rps: 1000,
  ratioToBare: 1,
  hostCpuUs: 50,
  runnerCpuUs: 10,
  callerCpuUs: 20,
  p50Ms: 0.1,
  p99Ms: 0.2,
  failed: 0,
  ...values,
});

const verdictOf = (verdicts: readonly TargetVerdict[], text: string): TargetVerdict => {
  const found = verdicts.filter(({ target }) => target.includes(text));
  expect(found, text).toHaveLength(1);
  return found[0]!;
};

describe('the targets', () => {
  const rows = [
    row(BARE, 1, { p50Ms: 0.06, p99Ms: 0.2 }),
    row(BARE, 64),
    row('tiny reuse, verified', 1, { hostCpuUs: 300, p50Ms: 0.7, p99Ms: 2.1 }),
    row('tiny reuse, verified', 64, { hostCpuUs: 71, ratioToBare: 0.18 }),
    row('tiny reuse, verify off', 64, { ratioToBare: 0.59 }),
    row('tiny fresh, verify off', 64, { hostCpuUs: 20, runnerCpuUs: 380 }),
  ];
  const verdicts = judgeTargets({ rows, idle: IDLE });

  it('are met at their bound and missed beyond it', () => {
    expect(verdictOf(verdicts, 'verified call, 1 in flight')).toMatchObject({ measured: 300, met: true });
    expect(verdictOf(verdicts, 'verified call, 64')).toMatchObject({ measured: 71, met: false });
    expect(verdictOf(verdicts, 'verified throughput')).toMatchObject({ measured: 0.18, met: true });
    expect(verdictOf(verdicts, 'verify off, reuse')).toMatchObject({ measured: 0.59, met: false });
    expect(verdictOf(verdicts, 'host at rest')).toMatchObject({ measured: 84, met: true });
    expect(verdictOf(verdicts, 'runner at rest')).toMatchObject({ measured: 61, met: false });
  });

  it('compare latencies with the bare handler', () => {
    const p50 = verdictOf(verdicts, 'p50');
    expect(p50.measured).toBeCloseTo(0.64);
    expect(p50.met).toBe(false);
    expect(verdictOf(verdicts, 'p99')).toMatchObject({ met: true });
  });

  it('count the CPU of host and runner for calls a second and core', () => {
    expect(verdictOf(verdicts, 'fresh')).toMatchObject({ measured: 2_500, met: true });
  });

  it('say nothing about what was not measured', () => {
    expect(verdictOf(verdicts, '256 in flight')).toMatchObject({ measured: undefined, met: undefined });
    expect(judgeTargets({ rows: [], idle: IDLE }).filter(({ met }) => met !== undefined)).toHaveLength(3);
  });

  it('ignore other payloads', () => {
    const large = row('tiny reuse, verified', 64, { payloadBytes: 4096 });
    expect(verdictOf(judgeTargets({ rows: [large], idle: IDLE }), 'verified call, 64').met).toBeUndefined();
  });

  it('close the table, with their figures', () => {
    const lines = benchLines({
      machine: { cpu: 'Some CPU', cores: 2, memoryBytes: 8e9, platform: 'linux x64' },
      versions: { node: '26.10.0', v8: '14', openssl: '3', natsServer: '2.14.0', form: 'build' },
      idle: IDLE,
      rows,
      targets: verdicts,
    });
    expect(lines[0]).toBe('Some CPU, 2 cores, 8000 MB, linux x64');
    expect(lines.find((line) => line.startsWith('host CPU a verified call, 64'))).toMatch(/at most 70 µs +71\.00 µs +MISSED$/);
    expect(lines.find((line) => line.startsWith('host CPU a verified call, 256'))).toMatch(/not in this run$/);
    expect(lines.at(-1)).toBe('6 targets met, 4 missed, 1 not in this run');
  });
});

describe('the cases', () => {
  it('have names of their own', () => {
    expect(new Set(CASES.map(({ name }) => name)).size).toBe(CASES.length);
  });
});
