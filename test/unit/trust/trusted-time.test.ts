import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BOOT_MS, RESERVE_MS, RestartFence } from '../../../src/trust/restart-fence.ts';
import { longestRealMs, TrustedTime } from '../../../src/trust/trusted-time.ts';
import { ManualClock, MemoryAheadStore } from '../../support/trust.ts';

describe('trusted time', () => {
  it('follows the wall clock, also over a jump ahead', () => {
    const clock = new ManualClock(1_000);
    const time = new TrustedTime(clock);
    clock.pass(500);
    expect(time.nowMs()).toBe(1_500);
    clock.setBy(3_600_000);
    expect(time.nowMs()).toBe(3_601_500);
    expect(time.startedMs).toBe(1_000);
  });

  it('goes on when the wall clock is set back an hour', () => {
    const clock = new ManualClock(10_000_000);
    const time = new TrustedTime(clock);
    clock.setBy(-3_600_000);
    clock.pass(30_000);
    expect(time.nowMs()).toBe(10_030_000);
    expect(time.leadMs()).toBe(3_600_000);
  });

  it.each([
    [5_000, 1_500],
    [5_001, 1_600],
  ])('after a step back of %i ms moves %i ms in 1,600', (backMs, movedMs) => {
    const clock = new ManualClock(1_000_000);
    const time = new TrustedTime(clock);
    clock.setBy(-backMs);
    clock.pass(1_600);
    expect(time.nowMs()).toBe(1_000_000 + movedMs);
  });

  it('gives small corrections back instead of adding them up', () => {
    const clock = new ManualClock();
    const time = new TrustedTime(clock);
    for (let n = 0; n < 1_000; n++) {
      clock.setBy(-10);
      for (let step = 0; step < 10; step++) {
        clock.pass(100);
        time.nowMs();
      }
    }
    expect(time.leadMs()).toBeLessThan(15);
  });

  it('never goes back and never runs slower than promised, whatever the clocks do', () => {
    const step = fc.record({ pass: fc.nat(20_000), set: fc.integer({ min: -10_000, max: 10_000 }) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 50 }), (steps) => {
        const clock = new ManualClock();
        const time = new TrustedTime(clock);
        let last = time.nowMs();
        for (const { pass, set } of steps) {
          clock.pass(pass);
          clock.setBy(set);
          const now = time.nowMs();
          expect(longestRealMs(now - last)).toBeGreaterThanOrEqual(pass - 0.01);
          expect(now).toBeGreaterThanOrEqual(clock.wallMs());
          last = now;
        }
      }),
    );
  });
});

describe('restart fence', () => {
  it('refuses what was issued before the start', () => {
    const clock = new ManualClock(1_000_000);
    const fence = new RestartFence(new TrustedTime(clock), 5_000);
    expect(fence.refuses(999_999)).toBe(true);
    expect(fence.refuses(1_000_000)).toBe(false);
  });

  it('without a store takes next to nothing from ahead', () => {
    const fence = new RestartFence(new TrustedTime(new ManualClock()), 5_000);
    expect(fence.aheadLimitMs).toBe(BOOT_MS);
    expect(() => fence.admit(9e15, 0)).not.toThrow();
  });

  it('with a store refuses after a restart what ran from ahead before it', () => {
    const clock = new ManualClock(1_000_000);
    const store = new MemoryAheadStore();
    const before = new RestartFence(new TrustedTime(clock), 5_000, store);
    expect(before.aheadLimitMs).toBe(5_000);
    before.admit(1_004_000, clock.wallMs());
    clock.pass(500);
    const after = new RestartFence(new TrustedTime(clock), 5_000, store);
    expect(after.refuses(1_004_000)).toBe(true);
    expect(after.refuses(1_004_000 + RESERVE_MS + 1)).toBe(false);
  });

  it('writes only for tokens from ahead, and at most once a reserve', () => {
    const clock = new ManualClock(1_000_000);
    const store = new MemoryAheadStore();
    const fence = new RestartFence(new TrustedTime(clock), 5_000, store);
    for (let n = 0; n < 100; n++) fence.admit(1_000_000 - n, 1_000_000);
    expect(store.writes).toBe(0);
    for (let n = 1; n <= 4_000; n++) fence.admit(1_000_000 + n, 1_000_000);
    expect(store.writes).toBeLessThanOrEqual(4_000 / RESERVE_MS + 1);
    expect(store.aheadMs).toBeGreaterThanOrEqual(1_004_000);
  });

  it('writes nothing for the last time that it has reserved, and the next one after that', () => {
    const clock = new ManualClock(1_000_000);
    const store = new MemoryAheadStore();
    const fence = new RestartFence(new TrustedTime(clock), 5_000, store);
    fence.admit(1_000_001, 1_000_000);
    expect([store.writes, store.aheadMs]).toEqual([1, 1_000_001 + RESERVE_MS]);
    fence.admit(1_000_001 + RESERVE_MS, 1_000_000);
    expect(store.writes).toBe(1);
    fence.admit(1_000_002 + RESERVE_MS, 1_000_000);
    expect([store.writes, store.aheadMs]).toEqual([2, 1_000_002 + 2 * RESERVE_MS]);
  });

  it('is not locked out by a damaged store', () => {
    const clock = new ManualClock(1_000_000);
    const store = new MemoryAheadStore();
    store.aheadMs = 9e15;
    const fence = new RestartFence(new TrustedTime(clock), 5_000, store);
    expect(fence.refuses(1_000_000 + 5_000 + RESERVE_MS)).toBe(true);
    expect(fence.refuses(1_000_001 + 5_000 + RESERVE_MS)).toBe(false);
  });
});
