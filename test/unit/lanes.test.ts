import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Lanes, Permits, unless } from '../../src/lanes.ts';

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

describe('shares of permits', () => {
  it('keep one key from keeping the others waiting, and each key in its order', async () => {
    const key = fc.constantFrom('a', 'b', 'c');
    await fc.assert(
      fc.asyncProperty(fc.array(key, { maxLength: 20 }), fc.integer({ min: 1, max: 4 }), async (keys, count) => {
        const share = Math.max(1, count - 1);
        const permits = new Permits(count, share);
        const dead = Promise.withResolvers<void>();
        const running = { a: 0, b: 0, c: 0 };
        const begun: Record<string, number[]> = { a: [], b: [], c: [] };
        const all = keys.map((each, at) =>
          permits.run(
            async () => {
              begun[each]!.push(at);
              running[each] += 1;
              expect(running[each]).toBeLessThanOrEqual(share);
              expect(running.a + running.b + running.c).toBeLessThanOrEqual(count);
              await (each === 'a' ? dead.promise : turn());
              running[each] -= 1;
            },
            { key: each },
          ),
        );
        // Those that say nothing hold their share; where there is room beside it, all others end without them.
        if (count > share) await Promise.all(all.filter((_, at) => keys[at] !== 'a'));
        dead.resolve();
        await Promise.all(all);
        for (const [each, order] of Object.entries(begun))
          expect(order).toEqual(keys.flatMap((other, at) => (other === each ? [at] : [])));
      }),
      { numRuns: 60 },
    );
  });
});

describe('whoever gives way', () => {
  it('leaves the queue for a permit with the reason, and nobody behind loses a place', async () => {
    const permits = new Permits(1);
    const gate = Promise.withResolvers<void>();
    const said: string[] = [];
    const first = permits.run(() => gate.promise);
    const going = new AbortController();
    const second = permits.run(() => Promise.resolve(void said.push('second')), going);
    const third = permits.run(() => Promise.resolve(void said.push('third')), new AbortController());
    going.abort(new Error('gave way'));
    await expect(second).rejects.toThrow('gave way');
    await expect(permits.run(() => Promise.resolve(), going)).rejects.toThrow('gave way');
    gate.resolve();
    await Promise.all([first, third]);
    expect(said).toEqual(['third']);
    // One that is free is taken, whoever asks; and it comes back.
    await permits.run(() => Promise.resolve(void said.push('free')), going);
    expect(said).toEqual(['third', 'free']);
  });

  it('does not wait for what may never come, and else has what came', async () => {
    const going = new AbortController();
    expect(await unless(going.signal, Promise.resolve(1))).toBe(1);
    await expect(unless(going.signal, Promise.reject(new Error('own')))).rejects.toThrow('own');
    const waiting = unless(going.signal, new Promise(() => {}));
    going.abort(new Error('gave way'));
    await expect(waiting).rejects.toThrow('gave way');
    await expect(unless(going.signal, new Promise(() => {}))).rejects.toThrow('gave way');
  });
});
