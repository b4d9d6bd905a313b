import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Lanes, Permits } from '../../src/lanes.ts';

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('lanes', () => {
  it('run what has one key in its order, also behind what failed, and other keys beside it', async () => {
    const lanes = new Lanes();
    const said: string[] = [];
    const gate = Promise.withResolvers<void>();
    const first = lanes.run('a', async () => {
      await gate.promise;
      said.push('a1');
      throw new Error('failed');
    });
    const second = lanes.run('a', () => Promise.resolve(void said.push('a2')));
    await lanes.run('b', () => Promise.resolve(void said.push('b1')));
    expect(said).toEqual(['b1']);
    expect(lanes.pending).toBe(2);
    gate.resolve();
    await expect(first).rejects.toThrow('failed');
    await second;
    await lanes.idle();
    expect(said).toEqual(['b1', 'a1', 'a2']);
    expect(lanes.pending).toBe(0);
  });

  it('never run two of one key at once, nor wait for each other in a circle, whatever is held', async () => {
    const keys = fc.uniqueArray(fc.constantFrom('a', 'b', 'c', 'd'), { minLength: 1 });
    await fc.assert(
      fc.asyncProperty(fc.array(keys, { maxLength: 12 }), async (jobs) => {
        const lanes = new Lanes();
        const running = new Set<string>();
        const order: number[] = [];
        await Promise.all(
          jobs.map((held, at) =>
            lanes.hold(held, async () => {
              for (const key of held) {
                expect(running.has(key)).toBe(false);
                running.add(key);
              }
              await turn();
              order.push(at);
              for (const key of held) running.delete(key);
            }),
          ),
        );
        for (const [at, held] of jobs.entries())
          for (const later of jobs.keys())
            if (later > at && jobs[later]!.some((key) => held.includes(key)))
              expect(order.indexOf(at)).toBeLessThan(order.indexOf(later));
      }),
      { numRuns: 40 },
    );
  });
});

describe('permits', () => {
  it('let so many run at once, the others in their order, also after one that failed', async () => {
    const permits = new Permits(2);
    let running = 0;
    let most = 0;
    const order: number[] = [];
    const outcomes = await Promise.allSettled(
      [0, 1, 2, 3, 4, 5].map((at) =>
        permits.run(async () => {
          order.push(at);
          most = Math.max(most, ++running);
          await turn();
          running -= 1;
          if (at % 2 === 0) throw new Error('failed');
        }),
      ),
    );
    expect(most).toBe(2);
    expect(order).toEqual([0, 1, 2, 3, 4, 5]);
    expect(outcomes.filter(({ status }) => status === 'rejected')).toHaveLength(3);
  });
});
