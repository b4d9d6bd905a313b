import { describe, expect, it } from 'vitest';
import { median, medianRow, type BenchRow } from '../../../src/bench/report.ts';

const row = (rps: number, hostCpuUs: number, failed = 0): BenchRow => ({
  case: 'tiny reuse, verified',
  payloadBytes: 256,
  inFlight: 64,
  rps,
  ratioToBare: rps / 1000,
  hostCpuUs,
  runnerCpuUs: 1,
  callerCpuUs: 2,
  p50Ms: 3,
  p99Ms: 4,
  failed,
});

describe('the rows of a case', () => {
  it('have the median of each column on its own', () => {
    const merged = medianRow([row(300, 10), row(100, 30), row(200, 20)]);
    expect(merged).toMatchObject({ rps: 200, ratioToBare: 0.2, hostCpuUs: 20 });
    expect(medianRow([row(300, 30), row(100, 10), row(200, 90)])).toMatchObject({ rps: 200, hostCpuUs: 30 });
  });

  it('keep every failure', () => {
    expect(medianRow([row(1, 1, 2), row(2, 2, 0), row(3, 3, 5)]).failed).toBe(7);
  });

  it('are at least one', () => {
    expect(() => medianRow([])).toThrow(RangeError);
  });

  it.each([
    [[5], 5],
    [[9, 1], 5],
    [[3, 1, 2], 2],
    [[4, 1, 3, 2], 2.5],
  ])('the median of %j is %d', (values, expected) => {
    expect(median(values)).toBe(expected);
  });
});
