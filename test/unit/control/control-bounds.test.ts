import { describe, expect, it, vi } from 'vitest';
import { Lane } from '../../../src/control/interface/lane.ts';
import { RateLimit } from '../../../src/control/interface/rate-limit.ts';

/** A clock that stands still until it is moved. */
function handClock(): { now: number; monotonicMs(): number } {
  const clock = { now: 0, monotonicMs: () => clock.now };
  return clock;
}

const LIMITS = { maxRunning: 2, maxPerSecond: 100, maxWaiting: 3, maxWaitingBytes: 10 } as const;

/** Work that ends when it is told to. */
function held(): { readonly begun: () => number; readonly end: () => void; readonly work: () => Promise<void> } {
  const ends: (() => void)[] = [];
  return { begun: () => ends.length, end: () => ends.shift()?.(), work: () => new Promise((resolve) => ends.push(resolve)) };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('requests a second', () => {
  it('are carried out up to the limit, told so up to twice the limit, and then dropped, until the next second', () => {
    const clock = handClock();
    const rate = new RateLimit(clock, 3);
    const took = Array.from({ length: 8 }, () => rate.take());
    expect(took).toEqual(['ok', 'ok', 'ok', 'busy', 'busy', 'busy', 'drop', 'drop']);
    clock.now = 999;
    expect(rate.take()).toBe('drop');
    clock.now = 1_000;
    expect(rate.take()).toBe('ok');
  });

  it('cost more when their answers are large, but never let in what was dropped', () => {
    const rate = new RateLimit(handClock(), 3);
    expect(rate.take()).toBe('ok');
    rate.spend(100);
    expect(rate.take()).toBe('busy');
    for (let at = 0; at < 5; at++) rate.take();
    rate.spend(0);
    rate.spend(5);
    expect(rate.take()).toBe('drop');
  });
});

describe('a lane', () => {
  it('runs so much at once, lets so much wait in order, and takes no more', async () => {
    const lane = new Lane(LIMITS, handClock());
    lane.open();
    const order: number[] = [];
    const { end, work } = held();
    const taken = Array.from({ length: 6 }, (_, at) =>
      lane.add(1, () => {
        order.push(at);
        return work();
      }),
    );
    expect(taken).toEqual([true, true, true, true, true, false]);
    expect(order).toEqual([0, 1]);
    for (let at = 0; at < 5; at++) {
      end();
      await turn();
    }
    expect(order).toEqual([0, 1, 2, 3, 4]);
    await lane.idle();
  });

  it('keeps no more bytes than it may, and forgets those that run', () => {
    const lane = new Lane({ ...LIMITS, maxRunning: 1 }, handClock());
    lane.open();
    const { work } = held();
    expect([lane.add(10, work), lane.add(6, work), lane.add(5, work), lane.add(4, work)]).toEqual([true, true, false, true]);
  });

  it('begins nothing before it is opened, and is idle then', async () => {
    const lane = new Lane(LIMITS, handClock());
    const { begun, work } = held();
    lane.add(1, work);
    expect(begun()).toBe(0);
    await lane.idle();
    lane.open();
    expect(begun()).toBe(1);
  });

  it('begins no more than so much in a second, and goes on by itself', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    try {
      const clock = handClock();
      const lane = new Lane({ ...LIMITS, maxPerSecond: 2 }, clock);
      lane.open();
      let begun = 0;
      for (let at = 0; at < 5; at++) {
        lane.add(1, async () => void begun++);
        await turn();
      }
      const seen = [begun];
      for (let second = 0; second < 2; second++) {
        clock.now += 1_000;
        vi.advanceTimersByTime(1_000);
        await turn();
        seen.push(begun);
      }
      expect(seen).toEqual([2, 4, 5]);
      await lane.idle();
    } finally {
      vi.useRealTimers();
    }
  });
});
