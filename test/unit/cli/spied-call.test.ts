import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { concernsAny, payloadLines, spiedCall } from '../../../src/cli/lattice/spied-call.ts';
import type { BusMessage } from '../../../src/wrpc/bus.ts';

const message = (subject: string, headers: Record<string, string> = {}): BusMessage =>
  ({
    subject,
    payload: Buffer.from('secret'),
    header: (name: string) => headers[name],
  }) as unknown as BusMessage;

describe('a call that is overheard', () => {
  it('is told by its subject and headers, without what is in it', () => {
    const call = spiedCall(
      message('lab.echo.wrpc.0.0.1.samples:echo/bytes@0.1.0.counter.up', { 'source-id': 'web', 'Lattice-Depth': '2' }),
      undefined,
      { state: 'unsigned' },
      0,
    );
    expect(call).toEqual({
      time: '1970-01-01T00:00:00.000Z',
      subject: 'lab.echo.wrpc.0.0.1.samples:echo/bytes@0.1.0.counter.up',
      target: 'echo',
      operation: 'samples:echo/bytes@0.1.0.counter.up',
      source: 'web',
      link: 'default',
      bytes: 6,
      depth: 2,
      verdict: { state: 'unsigned' },
    });
    expect(JSON.stringify(call)).not.toContain('secret');
    expect(concernsAny(call, [])).toBe(true);
    expect(concernsAny(call, ['web'])).toBe(true);
    expect(concernsAny(call, ['echo', 'x'])).toBe(true);
    expect(concernsAny(call, ['x'])).toBe(false);
  });
});

describe('a payload that is shown', () => {
  it('is bytes and printable characters, cut where it is long', () => {
    expect(payloadLines(Buffer.from('A\u001B[2J'))).toEqual([`  0000  41 1b 5b 32 4a${' '.repeat(33)}  A.[2J`]);
    expect(payloadLines(Buffer.alloc(600)).at(-1)).toBe('  … 88 bytes more');
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        expect(payloadLines(bytes).join('')).toMatch(/^\P{Cc}*$/u);
      }),
    );
  });
});
