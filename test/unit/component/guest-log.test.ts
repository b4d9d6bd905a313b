import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { GuestLog, printable } from '../../../src/component/guest-log.ts';
import { componentId } from '../../../src/ids.ts';

function logAt(): { log: GuestLog; lines: string[]; pass(ms: number): void } {
  let nowMs = 0;
  const lines: string[] = [];
  const clock = { wallMs: () => 0, monotonicMs: () => nowMs };
  const log = new GuestLog(componentId('c'), clock, (_component, level, line) => void lines.push(`${level} ${line}`));
  return { log, lines, pass: (ms) => void (nowMs += ms) };
}

describe('what a guest writes', () => {
  it('is one printable line, whatever it holds', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 6_000 }), (bytes) => {
        const { log, lines } = logAt();
        log.push(Buffer.concat([Buffer.from([1]), bytes]));
        expect(lines).toHaveLength(1);
        expect(lines[0]).toMatch(/^info [\x20-\x7e\u00a0-\u{10ffff}]*$/u);
      }),
      { numRuns: 200 },
    );
    expect(printable('a\r\n\x1b[31mb\u0085', 100)).toBe('a\\u000d\\u000a\\u001b[31mb\\u0085');
    expect(printable('x'.repeat(50), 10)).toBe('xxxxxxxxxx...');
  });

  it('GST-20 passes at one megabyte a second, and what was left out is said', () => {
    const { log, lines, pass } = logAt();
    const line = Buffer.alloc(1_000, 0x61);
    line[0] = 2;
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
