import { afterEach, describe, expect, it, vi } from 'vitest';
import { ParamsCollector } from '../../../src/invocation/params.ts';

afterEach(() => vi.useRealTimers());

/** Collects `pieces` after `first` and gives back what came of them. */
function collect(first: string, pieces: readonly (string | undefined)[], expected: number): Buffer | undefined | 'nothing' {
  let result: Buffer | undefined | 'nothing' = 'nothing';
  const collector = new ParamsCollector(Buffer.from(first), expected, 60_000, (params) => {
    expect(result).toBe('nothing');
    result = params === undefined ? undefined : Buffer.from(params);
  });
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
    expect(collect('ab', ['c', undefined, 'd'], 4)).toBeUndefined();
    expect(String(collect('ab', ['cdef', 'g'], 4))).toBe('abcdef');
  });

  it('FRM-13 take no more memory than a small multiple, sent byte by byte', () => {
    const collector = new ParamsCollector(new Uint8Array(0), 16 * 1024 * 1024, 60_000, () => {});
    const before = process.memoryUsage().rss;
    for (let sent = 0; sent < 500_000; sent++) collector.push(Uint8Array.of(7), false);
    // A list of the pieces took 140 MB.
    expect(process.memoryUsage().rss - before).toBeLessThan(60_000_000);
    collector.cancel();
  });

  it('FRM-12 lose their place when they take too long', () => {
    vi.useFakeTimers();
    const done = vi.fn<(params: Uint8Array | undefined) => void>();
    const collector = new ParamsCollector(Buffer.from('a'), 4, 1_000, done);
    for (let piece = 0; piece < 2; piece++) {
      vi.advanceTimersByTime(600);
      collector.push(Buffer.from('b'), false);
    }
    expect(done.mock.calls).toEqual([[undefined]]);
  });
});
