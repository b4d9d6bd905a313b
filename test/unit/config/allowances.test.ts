import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ALLOWANCES, allowancesOf, allowed, NEVER_ALLOWED, type AllowanceName } from '../../../src/config/allowances.ts';
import { formatProblems, START_CODES, type StartCode } from '../../../src/config/problems.ts';
import { parseConfig } from '../../../src/config/schema.ts';
import type { HostConfigInput } from '../../../src/config/schema.ts';
import { checkStart } from '../../../src/config/start-checks.ts';
import { keyFacts } from '../../../src/daemon/key-facts.ts';

const names = Object.keys(ALLOWANCES) as AllowanceName[];
const check = (input: HostConfigInput) =>
  checkStart({
    config: parseConfig(input),
    sourceOf: () => 'a test',
    keys: keyFacts,
    process: { uid: 1000, inspectorOpen: true, dumpsCore: true, unconfined: undefined, nowMs: Date.now() },
  });
const remote: HostConfigInput = { rpc: { servers: ['nats://nats.example'] }, trust: { clusterSeedFile: '/nowhere' } };
const severities = (found: ReturnType<typeof check>): Record<string, string> =>
  Object.fromEntries(found.map(({ code, allowance, severity }) => [allowance ?? code, severity]));

describe('--allow', () => {
  it('has a name or a reason against one for every refusal, never both', () => {
    for (const code of Object.keys(START_CODES) as StartCode[]) {
      expect([code, allowancesOf(code).length > 0]).toEqual([code, NEVER_ALLOWED[code] === undefined]);
    }
  });

  it('overrides exactly the refusal that it names', () => {
    expect(severities(check(remote))).toEqual({
      anonymous: 'refused',
      plaintext: 'refused',
      debugger: 'refused',
      'core-dumps': 'refused',
      'START-06': 'refused',
    });
    expect(severities(check({ ...remote, allow: ['plaintext', 'core-dumps'] }))).toEqual({
      anonymous: 'refused',
      plaintext: 'allowed',
      debugger: 'refused',
      'core-dumps': 'allowed',
      'START-06': 'refused',
    });
  });

  it('takes a code in the place of a name where it stands for one', () => {
    expect(severities(check({ ...remote, allow: ['START-02'] }))).toMatchObject({ anonymous: 'allowed', plaintext: 'refused' });
    expect(allowed(['START-18', 'root', 'START-19', 'START-01', 'x'])).toEqual(['root']);
  });

  it('START-14 refuses names of nothing, of several refusals and of those that stand, with what to write', () => {
    const fixes = (allow: string[]): string[] =>
      check({ dev: true, allow }).map(({ code, severity, fix }) => `${code} ${severity} ${fix}`);
    expect(fixes(['plaintxt'])).toEqual(['START-14 refused Did you mean plaintext?']);
    expect(fixes(['START-19'])).toEqual(['START-14 refused Write debugger or core-dumps.']);
    expect(fixes(['START-01', 'START-14'])).toEqual(Array(2).fill('START-14 refused Correct what it reports.'));
    expect(fixes(['everything'])[0]).toContain('Write one of anonymous, ');
    expect(fixes(names)).toEqual([]);
  });

  it('never lets a secret that was put there be seen', () => {
    const seed = `SUA${'B'.repeat(55)}`;
    expect(formatProblems(check({ dev: true, allow: [seed] }))).not.toContain('BBBBB');
  });

  it('says for every refusal that may be overridden how, and for no other', () => {
    const text = formatProblems(check(remote).filter(({ code }) => code === 'START-03' || code === 'START-06'));
    expect(text.match(/--allow \S+/g)).toEqual(['--allow plaintext']);
  });

  it('reads any list without throwing, to names in order and once each', () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(fc.string(), fc.constantFrom(...names, ...Object.keys(START_CODES)))), (list) => {
        const found = allowed(list);
        expect(found).toEqual([...new Set(found)].toSorted());
        expect(found.every((name) => list.includes(name) || list.includes(ALLOWANCES[name].code))).toBe(true);
      }),
    );
  });
});
