import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { GuestLog, printable } from '../../../src/component/guest-log.ts';
import { componentId } from '../../../src/ids.ts';

function logAt(): { log: GuestLog; lines: string[]; pass(ms: number): void } {
  let nowMs = 0;
  const lines: string[] = [];
  const clock = { wallMs: () => 0, monotonicMs: () => nowMs };
  const log = new GuestLog(componentId('c'), clock, (_component, level, line, context) =>
    lines.push(`${level} ${context === undefined ? '' : `[${context}] `}${line}`),
  );
  return { log, lines, pass: (ms) => void (nowMs += ms) };
}

describe('what a guest writes', () => {
  it('is one printable line, whatever it holds', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 6_000 }), (bytes) => {
        const { log, lines } = logAt();
        expect(log.push(Buffer.concat([Buffer.from([0, 0, 0]), bytes]))).toBe(true);
        expect(lines).toHaveLength(1);
        expect(lines[0]).toMatch(/^info [\x20-\x7e\u00a0-\u{10ffff}]*$/u);
      }),
      { numRuns: 200 },
    );
    expect(printable('a\r\n\x1b[31mb\u0085', 100)).toBe('a\\u000d\\u000a\\u001b[31mb\\u0085');
    expect(printable('x'.repeat(50), 10)).toBe('xxxxxxxxxx...');
  });

  it('has the level and the context of wasi:logging, both bounded', () => {
    const { log, lines } = logAt();
    const frame = (kind: number, context: string, text: string): Buffer => {
      const head = Buffer.from([kind, Buffer.byteLength(context) & 0xff, Buffer.byteLength(context) >> 8]);
      return Buffer.concat([head, Buffer.from(context), Buffer.from(text)]);
    };
    for (let kind = 2; kind < 8; kind++) log.push(frame(kind, 'db', 'x'));
    expect(lines).toEqual(['trace [db] x', 'debug [db] x', 'info [db] x', 'warn [db] x', 'error [db] x', 'error [db] x']);
    log.push(frame(4, `\u001b[2J${'c'.repeat(9_000)}`, 'm'.repeat(9_000)));
    expect(lines[6]).toMatch(/^info \[\\u001b\[2Jc{252}\] m{4096}$/);
  });

  it('is malformed without a known kind, or with a context longer than the frame', () => {
    const { log, lines } = logAt();
    for (const bytes of [[], [0], [0, 0], [8, 0, 0], [2, 1, 0], [2, 0xff, 0xff, 0x61]])
      expect(log.push(Buffer.from(bytes))).toBe(false);
    expect(lines).toEqual([]);
    fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => void log.push(Buffer.from(bytes))));
  });

  it('GST-20 passes at one megabyte a second, and what was left out is said', () => {
    const { log, lines, pass } = logAt();
    const line = Buffer.alloc(1_000, 0x61);
    line.set([1, 0, 0]);
    for (let i = 0; i < 5_000; i++) log.push(line);
    expect(lines.length).toBeLessThan(1_000);
    expect(lines[0]).toMatch(/^warn aaa/);
    const before = lines.length;
    pass(100);
    for (let i = 0; i < 5_000; i++) log.push(line);
    expect(lines[before]).toMatch(/left out/);
    expect(lines.length - before).toBeLessThan(110);
  });
});
