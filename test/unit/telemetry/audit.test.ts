import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { Audit, type AuditEvent, type AuditSink } from '../../../src/telemetry/audit.ts';
import { openAuditFile } from '../../../src/telemetry/audit-file.ts';
import { Scrubber } from '../../../src/telemetry/scrub.ts';

const dir = mkdtempSync(join(tmpdir(), 'trellis-audit-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

type Line = Record<string, unknown>;
const parsed = (text: string): Line[] =>
  text
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Line);

/** An audit whose clock a test moves, with all that it wrote. */
function audited(maxPerSecond = 10) {
  let nowMs = 1_000_000;
  const scrubber = new Scrubber();
  const clock = { wallMs: () => nowMs, monotonicMs: () => nowMs };
  const audit = new Audit({ clock, host: 'N1', lattice: 'default', maxPerSecond, scrubber });
  const lines: Line[] = [];
  const sink: AuditSink = { write: (_kind, _time, json) => void lines.push(JSON.parse(json) as Line), close: async () => {} };
  audit.addSink(sink);
  return { audit, lines, scrubber, pass: (ms: number) => (nowMs += ms) };
}
const refusal = (changes: Partial<AuditEvent> = {}): AuditEvent => ({
  kind: 'refused',
  code: 'TRELLIS_VERIFY_ISSUER',
  ...changes,
});
/** How many events the lines stand for, by kind and code. */
function totals(lines: readonly Line[]): Record<string, number> {
  const sums: Record<string, number> = {};
  for (const { kind, of, code, count } of lines) {
    const key = `${String(kind === 'summary' ? of : kind)} ${String(code)}`;
    sums[key] = (sums[key] ?? 0) + (kind === 'summary' ? Number(count) : 1);
  }
  return sums;
}

describe('the audit', () => {
  it('writes one record per event, with time, host, lattice, who, what, code and id', () => {
    const { audit, lines } = audited();
    audit.record(refusal({ origin: 'a', proven: false, signer: 'C1', component: 'b', operation: 'x:y/z/f', correlation: 'id' }));
    audit.record({ kind: 'control', code: 'ok', operation: 'component.describe', component: 'b' });
    const common = { time: '1970-01-01T00:16:40.000Z', host: 'N1', lattice: 'default' };
    expect(lines).toEqual([
      {
        ...common,
        kind: 'refused',
        code: 'TRELLIS_VERIFY_ISSUER',
        origin: 'a',
        proven: false,
        signer: 'C1',
        component: 'b',
        operation: 'x:y/z/f',
        correlation: 'id',
      },
      { ...common, kind: 'control', code: 'ok', operation: 'component.describe', component: 'b' },
    ]);
  });

  it('counts exactly, whatever comes when', async () => {
    const events = fc.array(
      fc.record({
        kind: fc.constantFrom('refused' as const, 'dropped' as const, 'control' as const),
        code: fc.constantFrom('ok' as const, 'TRELLIS_VERIFY_ISSUER' as const, 'TRELLIS_PATH_BUSY' as const),
        waitMs: fc.constantFrom(0, 0, 0, 0, 400, 5_000),
      }),
      { maxLength: 200 },
    );
    await fc.assert(
      fc.asyncProperty(events, fc.integer({ min: 1, max: 20 }), async (list, maxPerSecond) => {
        const { audit, lines, pass } = audited(maxPerSecond);
        const expected: Record<string, number> = {};
        for (const { kind, code, waitMs } of list) {
          pass(waitMs);
          audit.record({ kind, code });
          expected[`${kind} ${code}`] = (expected[`${kind} ${code}`] ?? 0) + 1;
        }
        await audit.close();
        expect(totals(lines)).toEqual(expected);
      }),
    );
  });

  it('writes at most so many of a code in a second, and then their number', async () => {
    const { audit, lines } = audited(5);
    for (let i = 0; i < 20_000; i++) audit.record(refusal({ correlation: `${i}` }));
    await audit.close();
    expect(lines).toHaveLength(6);
    expect(lines.at(-1)).toMatchObject({ kind: 'summary', of: 'refused', code: 'TRELLIS_VERIFY_ISSUER', count: 19_995 });
  });

  it('shows no secret that somebody put where a name belongs', () => {
    const { audit, lines, scrubber } = audited();
    scrubber.register('correct-horse');
    audit.record(refusal({ origin: 'correct-horse', detail: 'SCAIYCZTW775GJYX3MVWLURALVC3PULW43PTEKGH72JBMA3A7LOLGLQ2JA' }));
    expect(lines).toMatchObject([{ origin: '[redacted]', detail: '[redacted]' }]);
  });

  it('remembers the last refusals for who asks, and a flood of one code does not push out the others', () => {
    const { audit } = audited(5);
    audit.record(refusal({ code: 'TRELLIS_VERIFY_LINK', correlation: 'rare' }));
    audit.record({ kind: 'control', code: 'ok', correlation: 'command' });
    for (let i = 0; i < 50_000; i++) audit.record(refusal({ correlation: `flood ${i}` }));
    expect(audit.find('rare')).toMatchObject([{ code: 'TRELLIS_VERIFY_LINK' }]);
    expect(audit.find('flood 0')).toHaveLength(1);
    expect(audit.find('flood 49999')).toHaveLength(1);
    expect(audit.find('flood 40000')).toEqual([]);
    expect(audit.find('command')).toEqual([]);
    // Only as many as there is room for.
    let known = 0;
    for (let i = 0; i < 50_000; i++) if (i % 100 === 0) known += audit.find(`flood ${i}`).length;
    expect(known).toBe(51);
  });
});

describe('the audit file', () => {
  const line = (i: number): string => JSON.stringify({ i, fill: 'x'.repeat(200) });

  it('has mode 0600, also if it was there before, and keeps its size and number', async () => {
    const path = join(dir, 'rotated');
    writeFileSync(path, '{"i":-1}\n', { mode: 0o644 });
    chmodSync(path, 0o644);
    let lost = 0;
    const file = await openAuditFile({ path, maxBytes: 4_096, maxFiles: 3, onLost: (count) => (lost += count) });
    for (let i = 0; i < 100; i++) {
      file.write('refused', '', line(i));
      if (i % 7 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    await file.close();
    const files = readdirSync(dir).filter((name) => name.startsWith('rotated'));
    expect(files.sort()).toEqual(['rotated', 'rotated.1', 'rotated.2']);
    const kept: unknown[] = [];
    for (const name of files.toReversed()) {
      const stat = statSync(join(dir, name));
      expect([stat.mode & 0o777, stat.size <= 4_096]).toEqual([0o600, true]);
      kept.push(...parsed(readFileSync(join(dir, name), 'utf8')).map(({ i }) => i));
    }
    // The newest, without a gap.
    expect(kept).toEqual(Array.from({ length: kept.length }, (_, at) => 100 - kept.length + at));
    expect(kept.length).toBeGreaterThan(30);
    expect(lost).toBe(0);
  });

  it('is only one file if so told', async () => {
    const path = join(dir, 'single');
    const file = await openAuditFile({ path, maxBytes: 1_000, maxFiles: 1, onLost: () => {} });
    for (let i = 0; i < 20; i++) file.write('refused', '', line(i));
    await file.close();
    expect(readdirSync(dir).filter((name) => name.startsWith('single'))).toEqual(['single']);
    expect(parsed(readFileSync(path, 'utf8')).at(-1)).toMatchObject({ i: 19 });
  });

  it('counts what a full disk costs, and nothing else happens', async () => {
    let lost = 0;
    const file = await openAuditFile({ path: '/dev/full', maxBytes: 65_536, maxFiles: 2, onLost: (count) => (lost += count) });
    for (let i = 0; i < 50; i++) file.write('refused', '', line(i));
    await file.close();
    expect(lost).toBe(50);
  });

  it('has no torn line when the disk becomes full in the middle of one, and goes on when there is room', () => {
    const path = join(dir, 'limited');
    const program = `
      import { openAuditFile } from ${JSON.stringify(fileURLToPath(new URL('../../../src/telemetry/audit-file.ts', import.meta.url)))};
      let lost = 0;
      const path = ${JSON.stringify(path)};
      const file = await openAuditFile({ path, maxBytes: 1e9, maxFiles: 1, onLost: (count) => (lost += count) });
      const settled = () => new Promise((resolve) => setTimeout(resolve, 50));
      for (let i = 0; i < 200; i++) { file.write('refused', '', JSON.stringify({ i, fill: 'x'.repeat(300) })); await new Promise(setImmediate); }
      await settled();
      const lostWhenFull = lost;
      file.write('refused', '', '{"i":"after"}');
      await file.close();
      console.log(JSON.stringify({ lostWhenFull }));`;
    // 32 blocks of 1,024 bytes, beyond which every write fails, as on a full disk.
    const script = join(dir, 'limited.mjs');
    writeFileSync(script, program);
    const out = execFileSync('/bin/bash', ['-c', `ulimit -f 32; exec "$0" "$1"`, process.execPath, script], { encoding: 'utf8' });
    const { lostWhenFull } = JSON.parse(out) as { lostWhenFull: number };
    const kept = parsed(readFileSync(path, 'utf8'));
    const single = kept.filter(({ i }) => typeof i === 'number').length;
    expect(lostWhenFull).toBeGreaterThan(0);
    expect(single + lostWhenFull).toBe(200);
    // The last one is short enough to fit what is left of the room.
    expect(kept.at(-1)).toEqual({ i: 'after' });
  });

  it('says at the start that it cannot be written', async () => {
    const options = { path: join(dir, 'no', 'such'), maxBytes: 65_536, maxFiles: 2, onLost: () => {} };
    await expect(openAuditFile(options)).rejects.toMatchObject({ code: 'TRELLIS_AUDIT_FILE' });
  });
});
