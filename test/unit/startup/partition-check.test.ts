import { describe, expect, it } from 'vitest';
import type { ProbeFinding } from '../../../src/nats/probe-finding.ts';
import { describeFinding, isAsExpected } from '../../../src/nats/probe-finding.ts';
import { parseConfig } from '../../../src/config/schema.ts';
import { isDevelopment } from '../../../src/startup/online-checks.ts';
import { partitionProblems } from '../../../src/startup/partition-check.ts';

const token = `probe${'0'.repeat(24)}`;
const finding = (more: Partial<ProbeFinding>): ProbeFinding => ({
  partition: 'rpc',
  action: 'publish',
  subject: `wasmbus.ctl.v1.lab.host.stop.${token}rpcpublish`,
  about: 'commands to hosts',
  expected: 'refused',
  verdict: 'refused',
  ...more,
});
const known = { ctl: false, rpc: false };
const nobody = { ctl: true, rpc: true };

describe('what the probe found', () => {
  it('is as expected when refused or isolated, or allowed where it must be', () => {
    const expectations = (expected: ProbeFinding['expected']): boolean[] =>
      (['refused', 'isolated', 'allowed', 'unknown'] as const).map((verdict) => isAsExpected(finding({ expected, verdict })));
    expect(expectations('refused')).toEqual([true, true, false, false]);
    expect(expectations('allowed')).toEqual([false, false, true, false]);
    expect(partitionProblems([finding({}), finding({ verdict: 'isolated' })], known)).toEqual([]);
  });

  it('START-07 is one refusal for each connection, with all that it may', () => {
    const found = [
      finding({ verdict: 'allowed' }),
      finding({ verdict: 'allowed', action: 'subscribe', about: 'events' }),
      finding({ verdict: 'allowed', partition: 'ctl', about: 'calls' }),
    ];
    expect(partitionProblems(found, known)).toMatchObject([
      {
        code: 'START-07',
        severity: 'refused',
        allowance: 'partition',
        setting: 'ctl.credsFile',
        summary: expect.stringContaining('publish calls') as string,
      },
      {
        setting: 'rpc.credsFile',
        summary: 'The rpc credentials reach more than they may: publish commands to hosts, subscribe events.',
      },
    ]);
  });

  it('is one sentence for a server without users', () => {
    const found = Array.from({ length: 40 }, (_, i) =>
      finding({ verdict: 'allowed', ...(i === 0 ? {} : { about: `thing ${i}` }) }),
    );
    expect(partitionProblems(found, nobody)).toMatchObject([
      { severity: 'refused', summary: expect.stringContaining('knows no users') as string },
    ]);
    expect(partitionProblems(found, known)[0]!.summary).toContain('and 28 more');
  });

  it('warns of what cannot be told, and names the rights that are missing as patterns', () => {
    const own = finding({
      action: 'subscribe',
      expected: 'allowed',
      subject: `lab.hello.wrpc.0.0.1.${token}`,
      about: 'calls of hello',
    });
    const inbox = finding({
      expected: 'allowed',
      verdict: 'unknown',
      subject: `_INBOX_RPC.lab.UABC.${'a'.repeat(22)}.${token}`,
      about: 'its own answers',
    });
    const problems = partitionProblems([finding({ verdict: 'unknown' }), own, inbox], nobody);
    expect(problems.map(({ severity }) => severity)).toEqual(['warning', 'warning']);
    expect(problems[1]!.fix).toBe('Let the rpc user subscribe lab.hello.wrpc.0.0.1.>, publish _INBOX_RPC.lab.UABC.>.');
  });

  it('reads as a line', () => {
    expect(describeFinding(finding({ verdict: 'isolated' }))).toContain(
      'rpc may, without effect, publish to wasmbus.ctl.v1.lab.',
    );
    expect(describeFinding(finding({ verdict: 'unknown' }))).toContain('rpc should not publish to');
  });
});

describe('isDevelopment', () => {
  it('is true only where dev is set and nothing leaves this computer', () => {
    const remote = { servers: ['tls://nats.example'] };
    expect(isDevelopment(parseConfig({ dev: true }))).toBe(true);
    expect(isDevelopment(parseConfig({}))).toBe(false);
    expect(isDevelopment(parseConfig({ dev: true, rpc: remote }))).toBe(false);
    expect(isDevelopment(parseConfig({ dev: true, ctl: remote }))).toBe(false);
  });
});
