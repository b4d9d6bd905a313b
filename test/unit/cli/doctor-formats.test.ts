import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Check, type Examination, verdictOf, worst } from '../../../src/cli/doctor/check.ts';
import { nagiosLine, prometheusText, tableText } from '../../../src/cli/doctor/formats.ts';

const check = (more: Partial<Check> = {}): Check => ({
  name: 'ctl-connection',
  verdict: 'ok',
  found: 'fine',
  problems: [],
  values: [],
  durationMs: 12,
  ...more,
});
const run = (...checks: Check[]): Examination => ({ lattice: 'lab', checks, startedMs: 1_700_000_000_500, durationMs: 1_250 });
const problem = {
  code: 'START-07',
  severity: 'refused',
  summary: 'Too much.',
  why: 'So.',
  fix: 'Do.',
  allowance: 'partition',
} as const;

describe('the verdict of a doctor', () => {
  it('is the worst of its parts', () => {
    expect(worst([])).toBe('ok');
    expect(worst(['ok', 'allowed', 'unknown'])).toBe('unknown');
    expect(worst(['warning', 'failed', 'ok'])).toBe('failed');
    expect(verdictOf([{ ...problem, severity: 'allowed' }])).toBe('allowed');
    expect(verdictOf([problem, { ...problem, severity: 'warning' }])).toBe('failed');
  });
});

describe('--format nagios', () => {
  it('ends with 0, 1, 2 or 3, and names what is not well', () => {
    expect(nagiosLine(run(check()))).toEqual({ line: 'TRELLIS OK - 1 ok', exitCode: 0 });
    for (const [verdict, exitCode, word] of [
      ['allowed', 1, 'WARNING'],
      ['warning', 1, 'WARNING'],
      ['failed', 2, 'CRITICAL'],
      ['unknown', 3, 'UNKNOWN'],
    ] as const) {
      const { line, exitCode: code } = nagiosLine(run(check(), check({ name: 'clock', verdict, found: 'off' })));
      expect([code, line]).toEqual([exitCode, `TRELLIS ${word} - 1 ok, 1 ${verdict}; clock ${verdict}: off`]);
    }
    // What is known to be wrong is worse than what is not known.
    expect(nagiosLine(run(check({ verdict: 'unknown' }), check({ verdict: 'warning' }))).exitCode).toBe(1);
  });

  it('writes performance data', () => {
    const latency = { name: 'latency', value: 0.0012345678, unit: 's' } as const;
    const offset = { name: 'clock_offset', value: -1.5, unit: 's' } as const;
    expect(nagiosLine(run(check({ values: [latency] }), check({ name: 'clock', values: [offset] }))).line).toBe(
      "TRELLIS OK - 2 ok | 'ctl_latency'=0.001235s 'clock_offset'=-1.5s",
    );
  });

  it('is one line with one bar, whatever was found', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary-ascii' }), fc.constantFrom('ok', 'warning', 'failed'), (found, verdict) => {
        const { line } = nagiosLine(run(check({ found, verdict, values: [{ name: 'latency', value: 1, unit: 's' }] })));
        expect(line).not.toMatch(/[\n\r]/);
        expect(line.split('|')).toHaveLength(2);
        expect(line.length).toBeLessThan(8_000);
      }),
    );
  });
});

describe('--format prometheus', () => {
  it('has a gauge for each check, its numbers, what is allowed, and when it ran', () => {
    const left = { name: 'credentials_left', value: -60, unit: 's' } as const;
    const text = prometheusText(run(check({ verdict: 'failed', values: [left] }), check({ name: 'clock', verdict: 'unknown' })), [
      'root',
    ]);
    expect(text).toContain('trellis_doctor_check{lattice="lab",check="ctl-connection"} 2\n');
    expect(text).toContain('trellis_doctor_check{lattice="lab",check="clock"} 3\n');
    expect(text).toContain('trellis_doctor_credentials_left_seconds{lattice="lab",check="ctl-connection"} -60\n');
    expect(text).toContain('trellis_doctor_allowed{lattice="lab",name="root",code="START-18"} 1\n');
    expect(text).toContain('trellis_doctor_last_run_timestamp_seconds{lattice="lab"} 1700000000.5\n');
    expect(text).toContain('trellis_doctor_duration_seconds{lattice="lab"} 1.25\n');
  });

  it('is well-formed for any names', () => {
    const line = /^(?:# (?:HELP|TYPE) [a-z_]+ .+|[a-z_]+\{(?:[a-z]+="(?:[^"\\\n]|\\["\\n])*",?)*\} -?[0-9.e+-]+)$/;
    fc.assert(
      fc.property(fc.string(), fc.string(), (name, lattice) => {
        const text = prometheusText({ ...run(check({ name })), lattice }, [name]);
        for (const each of text.trimEnd().split('\n')) expect(each).toMatch(line);
      }),
    );
  });
});

describe('the table', () => {
  it('has a row for each check, and reason and fix of what is wrong', () => {
    const text = tableText(run(check(), check({ name: 'partition', verdict: 'failed', problems: [problem] }))).join('\n');
    expect(text).toContain('What a host would not start with:');
    expect(text).toContain('fix      Do.');
    expect(text).toContain('--allow partition');
    expect(text).toContain('Lattice lab: 1 ok, 1 failed, a host would not start (1.3 s).');
    expect(tableText(run(check())).join('\n')).toContain('a host would start');
  });
});
