import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LinkLookups } from '../../../src/invocation/link-lookups.ts';

/** Whoever keeps the links, and answers when told to. */
function keeper(nowMs = () => 0) {
  const asked: { readonly source: string; answer(isNew: boolean): void }[] = [];
  const lookups = new LinkLookups(nowMs);
  lookups.askBy((source) => {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    asked.push({ source, answer: resolve });
    return promise;
  });
  return { asked, lookups };
}

describe('look-ups of links', () => {
  it('are none until somebody keeps links, and none after', () => {
    const { asked, lookups } = keeper();
    lookups.askBy(undefined);
    expect([lookups.mayLookUp('a'), lookups.lookUp('a')]).toEqual([false, undefined]);
    expect(asked).toEqual([]);
  });

  it('share what was not begun before they came, source by source', async () => {
    const { asked, lookups } = keeper();
    const first = lookups.lookUp('a');
    const [second, third] = [lookups.lookUp('a'), lookups.lookUp('a')];
    const other = lookups.lookUp('b');
    expect(asked.map(({ source }) => source)).toEqual(['a', 'b']);
    asked[0]!.answer(true);
    await first;
    // What was read before they came may lack what they miss.
    await expect.poll(() => asked.length).toBe(3);
    expect(asked[2]!.source).toBe('a');
    for (const { answer } of asked) answer(false);
    await Promise.all([second, third, other]);
    expect(asked).toHaveLength(3);
    await expect.poll(() => lookups.lookUp('a') !== undefined && asked.length).toBe(4);
  });

  it('are so many at once and in a second, however many sources are made up', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.string(), { minLength: 300, maxLength: 400 }), (sources) => {
        let nowMs = 0;
        const { asked, lookups } = keeper(() => nowMs);
        const taken = sources.filter((source) => lookups.lookUp(source) !== undefined);
        expect(asked.map(({ source }) => source)).toEqual(sources.slice(0, 200));
        expect(taken).toHaveLength(200);
        // Who may not is told so beforehand; who waits for a look-up that runs may.
        expect([lookups.mayLookUp(sources[0]!), lookups.mayLookUp(sources[200]!)]).toEqual([true, false]);
        nowMs = 250;
        expect(sources.slice(200).filter((source) => lookups.lookUp(source) !== undefined)).toHaveLength(50);
      }),
      { numRuns: 5 },
    );
  });
});
