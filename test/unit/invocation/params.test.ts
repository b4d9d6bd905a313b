import { afterEach, describe, expect, it, vi } from 'vitest';
import { type Gathered, ParamsCollector } from '../../../src/invocation/params.ts';

afterEach(() => vi.useRealTimers());

/** Collects `pieces` after `first` and gives back what came of them. */
function collect(
  first: string,
  pieces: readonly (string | undefined)[],
  expected: number,
  confirm = false,
): Gathered | 'nothing' {
  let result: Gathered | 'nothing' = 'nothing';
  const done = (gathered: Gathered): void => {
    expect(result).toBe('nothing');
    result = typeof gathered === 'string' ? gathered : Buffer.from(gathered);
  };
  const collector = new ParamsCollector({ first: Buffer.from(first), expected, confirm, timeoutMs: 60_000, done });
  for (const piece of pieces) collector.push(Buffer.from(piece ?? ''), piece === undefined);
  collector.cancel();
  return result;
}

describe('parameters in several messages', () => {
  it('come together in order, whatever their sizes', () => {
    const text = Array.from({ length: 40_000 }, (_, i) => `${i},`).join('');
    for (const size of [1, 7, 1_000, 70_000, 200_000]) {
      const pieces: string[] = [];
      for (let at = 3; at < text.length; at += size) pieces.push(text.slice(at, at + size));
      expect(String(collect(text.slice(0, 3), pieces, text.length))).toBe(text);
    }
  });

  it('are nothing when they end early, and all of it when there is more than was said', () => {
    expect(collect('ab', ['c', undefined, 'd'], 4)).toBe('incomplete');
    expect(String(collect('ab', ['cdef', 'g'], 4))).toBe('abcdef');
  });

  it('FRM-13 take no more memory than a small multiple, sent byte by byte', () => {
    const collector = new ParamsCollector({
      first: new Uint8Array(0),
      expected: 16 * 1024 * 1024,
      confirm: false,
      timeoutMs: 60_000,
      done: () => {},
    });
    const before = process.memoryUsage().rss;
    for (let sent = 0; sent < 500_000; sent++) collector.push(Uint8Array.of(7), false);
    // A list of the pieces took 140 MB.
    expect(process.memoryUsage().rss - before).toBeLessThan(60_000_000);
    collector.cancel();
  });

  it('FRM-12 lose their place when they take too long', () => {
    vi.useFakeTimers();
    const done = vi.fn<(gathered: Gathered) => void>();
    const collector = new ParamsCollector({ first: Buffer.from('a'), expected: 4, confirm: false, timeoutMs: 1_000, done });
    for (let piece = 0; piece < 2; piece++) {
      vi.advanceTimersByTime(600);
      collector.push(Buffer.from('b'), false);
    }
    expect(done.mock.calls).toEqual([['incomplete']]);
  });

  it('RPL-03 wait for their confirmation, and for nothing that only looks like the end', () => {
    expect(collect('abcd', [undefined, undefined], 4, true)).toBe('nothing');
    expect(collect('ab', [undefined, 'cd', undefined], 4, true)).toBe('nothing');
    vi.useFakeTimers();
    const begin = (expected: number, done: (gathered: Gathered) => void): ParamsCollector =>
      new ParamsCollector({ first: Buffer.from('abcd'), expected, confirm: true, timeoutMs: 1_000, done });
    const done = vi.fn<(gathered: Gathered) => void>();
    begin(4, done).confirm();
    begin(6, done).confirm();
    begin(4, done);
    begin(6, done);
    vi.advanceTimersByTime(1_001);
    expect(done.mock.calls.map(([gathered]) => String(gathered))).toEqual(['abcd', 'incomplete', 'unconfirmed', 'incomplete']);
  });
});
