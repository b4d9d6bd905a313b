import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ELSEWHERE } from '../../src/demo/attack/elsewhere.ts';
import { ATTACKS } from '../../src/demo/attack/list.ts';
import { judgeSummary } from '../../src/demo/attack/summary.ts';
import { findNatsServer } from '../../src/nats/server.ts';
import { runProgram, type ProgramEnd } from '../support/program.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** Runs `trellis` to its end. */
const run = (args: readonly string[]): Promise<ProgramEnd> =>
  runProgram('cli', args, { env: { NATS_SERVER: findNatsServer().path } });

interface Summary {
  readonly clusterKey: string;
  readonly counts: Record<string, number>;
  readonly rows: readonly { id: string; expected: boolean; guestRan: boolean; surprise?: string; genuine: { made: number } }[];
}

describe('trellis demo attacks', () => {
  const dir = mkdtempSync(join(tmpdir(), 'trellis-attacks-test-'));
  const file = join(dir, 'summary.json');
  let printed: Summary;

  beforeAll(async () => {
    const { code, stdout, stderr } = await run(['demo', 'attacks', '--output', 'json', '--summary', file]);
    printed = JSON.parse(stdout) as Summary;
    expect(printed.rows.flatMap(({ id, surprise }) => (surprise === undefined ? [] : [`${id}: ${surprise}`]))).toEqual([]);
    expect(code).toBe(0);
    expect(stderr).toBe('');
  });
  afterAll(() => rmSync(dir, { recursive: true, force: true }));

  it('carries out every attack of its list, and no guest runs for one', () => {
    const ids = printed.rows.map(({ id }) => id);
    for (const { id } of ATTACKS) expect(ids).toContain(id);
    expect(printed.rows.length).toBeGreaterThanOrEqual(60);
    expect(printed.rows.filter(({ guestRan, expected }) => guestRan || !expected)).toEqual([]);
    // The table would be as good if nothing ran at all: genuine calls did.
    expect(printed.counts['genuineCalls']).toBeGreaterThanOrEqual(25);
  });

  it('signs its summary, and says whether one is genuine', async () => {
    const [summary, signature] = [readFileSync(file), readFileSync(`${file}.sig`, 'latin1')];
    expect(judgeSummary(summary, signature)).toEqual({ valid: true, key: printed.clusterKey });
    const genuine = await run(['demo', 'verify', file, '--key', printed.clusterKey]);
    expect(genuine.stdout).toMatch(/^signature +valid$/m);
    expect(genuine.code).toBe(0);
    const altered = Buffer.from(summary);
    altered[altered.length >> 1]! ^= 1;
    writeFileSync(file, altered);
    const refused = await run(['demo', 'verify', file]);
    expect(refused.stdout).toMatch(/NOT valid: the signature does not fit the file/);
    expect(refused.code).toBe(1);
  });

  it('knows one spelling of a signature', () => {
    const summary = Buffer.from('{}');
    for (const text of ['', 'att1', `att1.${printed.clusterKey}.AAAA\n`, `att1.${printed.clusterKey}.${'A'.repeat(86)}`])
      expect(judgeSummary(summary, text).valid).toBe(false);
    expect(judgeSummary(summary, `att1.${printed.clusterKey}.${'A'.repeat(86)}\n`)).toMatchObject({
      valid: false,
      key: printed.clusterKey,
    });
  });
});

describe('the list of attacks', () => {
  const numbered = (area: string, last: number): string[] =>
    Array.from({ length: last }, (_, n) => `${area}-${String(n + 1).padStart(2, '0')}`);

  it('has each attack of the plan, or says where it is tested', () => {
    // ENV-33 is made of all other rows.
    const known = new Set([...ATTACKS.map(({ id }) => id), ...ELSEWHERE.map(({ id }) => id), 'ENV-33']);
    const plan = [
      ...numbered('ENV', 33),
      ...numbered('RPL', 9),
      ...numbered('RSP', 7),
      ...numbered('FRM', 16),
      ...numbered('INJ', 5),
      'CRD-09',
      'CRD-10',
      'CRD-12',
    ];
    expect(plan.filter((id) => !known.has(id))).toEqual([]);
  });

  it.each(ELSEWHERE.map(({ id, test }) => [id, test] as const))('%s is tested in %s', (id, test) => {
    expect(existsSync(join(ROOT, test))).toBe(true);
    expect(readFileSync(join(ROOT, test), 'utf8')).toContain(id);
  });
});
