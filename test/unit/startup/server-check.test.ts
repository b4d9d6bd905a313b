import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { advisoriesFor, parseAdvisories, serverAdvisories } from '../../../src/config/server-advisories.ts';
import { timeIn } from '../../../src/nats/server-clock.ts';
import { clockProblems, serverProblems } from '../../../src/startup/server-check.ts';

const known = serverAdvisories();
const ids = (version: string): string[] => advisoriesFor(version, known).map(({ id }) => id);
const critical = (version: string): string[] =>
  advisoriesFor(version, known)
    .filter((advisory) => advisory.critical)
    .map(({ id }) => id);

describe('published faults of nats-server', () => {
  it('START-16 are those of the version and its release line', () => {
    expect(critical('2.9.10')).toEqual(['2023-01', '2025-01', '2026-16', '2026-17', '2026-18']);
    expect(critical('2.10.26')).toContain('2025-01');
    expect(critical('2.10.27')).not.toContain('2025-01');
    expect(critical('2.11.0')).toContain('2025-01');
    expect(critical('2.11.15')).toEqual(['2026-16', '2026-17', '2026-18']);
    for (const good of ['2.11.16', '2.12.7', '2.14.0', 'v2.14.0', '2.15.1', '3.0.0'])
      expect([good, critical(good)]).toEqual([good, []]);
    // A line between two that have a fix, and has none itself, is not taken for good.
    expect(critical('2.13.5')).toContain('2026-17');
    expect(ids('2.14.0')).toContain('2026-23');
    expect(ids('2.14.2')).not.toContain('2026-23');
    // The limits of no_auth_user are told apart from the line before: 2.12.12, not 2.12.2.
    expect(ids('2.12.2')).toContain('2026-24');
    expect(ids('2.14.3')).toEqual([]);
    expect(ids('2.1.0')).not.toContain('2025-01');
  });

  it('START-16 count all for a version that cannot be read', () => {
    expect(advisoriesFor('unknown', known)).toEqual(known.advisories);
  });

  it('START-16 are refused when critical and mentioned when not, each once, with what they are', () => {
    const [old] = serverProblems('ctl', '2.10.5', known);
    expect(old).toMatchObject({ code: 'START-16', severity: 'refused', allowance: 'vulnerable-server', value: '2.10.5' });
    expect(old!.summary).toContain('CVE-2025-30215');
    expect(serverProblems('rpc', '2.14.0', known)).toMatchObject([{ severity: 'warning', setting: 'rpc.servers' }]);
    expect(serverProblems('rpc', '2.14.3', known)).toEqual([]);
  });

  it('have fixes in order, a day, and one place of origin', () => {
    expect(() => parseAdvisories('asOf: x')).toThrow(/./);
    expect(readFileSync('config/nats-advisories.yaml', 'utf8')).toContain(`asOf: ${known.asOf}`);
    expect(new Set(known.advisories.map(({ id }) => id)).size).toBe(known.advisories.length);
  });

  it('never throw, and never come back once a newer patch of a good line is out', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        advisoriesFor(text, known);
      }),
    );
    fc.assert(
      fc.property(fc.nat(30), fc.nat(40), (minor, patch) => {
        const now = new Set(ids(`2.${minor}.${patch + 1}`));
        const before = new Set(ids(`2.${minor}.${patch}`));
        // A fault that a patch brings is one that begins there.
        for (const id of now)
          if (!before.has(id)) expect(known.advisories.find((one) => one.id === id)?.since).toBe(`2.${minor}.${patch + 1}`);
      }),
    );
  });
});

describe('the clock of a server', () => {
  const reading = (offsetMs: number, uncertaintyMs = 1) => ({ offsetMs, uncertaintyMs, via: '$SYS.REQ.USER.INFO' });

  it('START-15 may be 5 s off, and as much more as the answer took', () => {
    for (const offsetMs of [0, 4_999, -5_000, 5_000]) expect(clockProblems('ctl', reading(offsetMs))).toEqual([]);
    expect(clockProblems('ctl', reading(5_500, 600))).toEqual([]);
    expect(clockProblems('ctl', undefined)).toEqual([]);
    expect(clockProblems('ctl', reading(7_300))).toMatchObject([
      {
        code: 'START-15',
        allowance: 'clock-offset',
        summary: 'The clock of this computer is 7.3 s behind that of the ctl server.',
      },
    ]);
    expect(clockProblems('rpc', reading(-7_300))[0]!.summary).toContain('7.3 s ahead of that of the rpc server');
  });

  it('is read from what servers answer, and from nothing else', () => {
    const at = (value: unknown): number | undefined => timeIn(Buffer.from(JSON.stringify(value)));
    expect(at({ server: { time: '2026-11-26T08:36:20.1345704Z' }, data: {} })).toBe(Date.UTC(2026, 10, 26, 8, 36, 20, 134));
    expect(at({ type: 'io.nats.jetstream.api.v1.stream_info_response', ts: '2026-11-26T08:36:20Z' })).toBe(
      Date.UTC(2026, 10, 26, 8, 36, 20),
    );
    for (const value of [{}, null, 7, [], { server: null }, { server: { time: 7 } }, { ts: 'soon' }, { error: { code: 404 } }]) {
      expect(at(value)).toBeUndefined();
    }
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        const found = timeIn(bytes);
        expect(found === undefined || Number.isFinite(found)).toBe(true);
      }),
    );
  });
});
