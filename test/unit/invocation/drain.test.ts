import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { callersFirst, Deadline, drainInOrder, type Draining } from '../../../src/invocation/drain.ts';

/** Things that stop, and the order in which they did. */
function things(ids: readonly string[], stays: readonly string[] = []) {
  const order: string[] = [];
  const all = ids.map((id): Draining => ({
    id,
    quiet: async () => void order.push(id),
    idle: () => (stays.includes(id) ? new Promise(() => {}) : Promise.resolve()),
  }));
  return { all, order };
}
import { link } from '../../support/links.ts';

describe('the order of a drain', () => {
  it('ends callers before those they call', async () => {
    const { all, order } = things(['c', 'b', 'a', 'alone']);
    await drainInOrder(all, [link('a', 'b'), link('b', 'c'), link('elsewhere', 'a'), link('a', 'elsewhere')], new Deadline());
    expect(order.filter((id) => id !== 'alone')).toEqual(['a', 'b', 'c']);
    expect(order).toContain('alone');
  });

  it('ends every revision of a component before what it calls', async () => {
    const { all, order } = things(['b', 'a', 'a']);
    await drainInOrder(all, [link('a', 'b')], new Deadline());
    expect(order).toEqual(['a', 'a', 'b']);
  });

  it('waits for callers no longer than half of the time', async () => {
    const { all, order } = things(['b', 'a'], ['a']);
    const deadline = new Deadline();
    deadline.shorten(40);
    void drainInOrder(all, [link('a', 'b')], deadline);
    await deadline.half;
    await new Promise((resolve) => setTimeout(resolve, 0));
    expect(order).toEqual(['a', 'b']);
    await deadline.over;
  });

  it('makes a limit shorter and never longer', async () => {
    const deadline = new Deadline();
    expect(deadline.leftMs).toBe(Number.POSITIVE_INFINITY);
    deadline.shorten(60_000);
    deadline.shorten(5);
    deadline.shorten(60_000);
    expect(deadline.leftMs).toBeLessThanOrEqual(5);
    await deadline.over;
    expect(deadline.leftMs).toBe(0);
  });

  it('ends everything once, whatever the links', async () => {
    const id = fc.constantFrom('a', 'b', 'c', 'd', 'e');
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(id, id), { maxLength: 20 }), async (pairs) => {
        const ids = ['a', 'b', 'c', 'd', 'e'];
        const { all, order } = things(ids);
        const links = pairs.map(([source, target]) => link(source, target));
        await drainInOrder(all, links, new Deadline());
        expect(order.toSorted()).toEqual(ids);
        // Who waits for whom holds for all that wait.
        for (const [target, sources] of callersFirst(ids, links))
          for (const source of sources) expect(order.indexOf(source)).toBeLessThan(order.indexOf(target));
      }),
    );
  });
});
