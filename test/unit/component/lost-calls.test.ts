import { describe, expect, it } from 'vitest';
import { isStuck } from '../../../src/component/deadlines.ts';
import { sortLost, type LostCall } from '../../../src/component/lost-calls.ts';

const root = new Uint8Array(1);
const call = (id: number, over: Partial<LostCall> = {}): LostCall => ({ id, complete: true, over: false, root, ...over });
const ids = (calls: readonly LostCall[], runner: Parameters<typeof sortLost>[1]): number[][] => {
  const { trapped, begun, unbegun } = sortLost(calls, runner);
  return [trapped, begun, unbegun].map((some) => some.map((one) => one.id));
};
const runner = { began: 0, sync: true, byGuest: false };

describe('calls of a lost runner', () => {
  it('move on, except the first, which may have begun unannounced', () => {
    expect(ids([call(4), call(5), call(6)], runner)).toEqual([[], [4], [5, 6]]);
  });

  it('fail up to the last announced number, and the one after it', () => {
    expect(ids([call(4), call(5), call(6), call(7)], { ...runner, began: 5 })).toEqual([[], [4, 5, 6], [7]]);
  });

  it('keep their order across the end of the numbers', () => {
    const late = 0xffff_ffff;
    expect(ids([call(late), call(1), call(2), call(3)], { ...runner, began: late })).toEqual([[], [late, 1], [2, 3]]);
    expect(ids([call(late), call(1), call(2), call(3)], { ...runner, began: 1 })).toEqual([[], [late, 1, 2], [3]]);
  });

  it('fail when incomplete, and do not stand for the one in doubt', () => {
    expect(ids([call(1, { complete: false }), call(2), call(3)], runner)).toEqual([[], [1, 2], [3]]);
  });

  it('that are over stand for the one in doubt, and get no second end', () => {
    expect(ids([call(1, { over: true }), call(2)], runner)).toEqual([[], [], [2]]);
  });

  it('fail when their parameters were not kept', () => {
    expect(ids([call(1), call(2, { root: undefined })], runner)).toEqual([[], [1, 2], []]);
  });

  it('blame the first when its guest ended the runner and calls ran in order', () => {
    expect(ids([call(1), call(2)], { ...runner, byGuest: true })).toEqual([[1], [], [2]]);
    expect(ids([call(1), call(2)], { ...runner, byGuest: true, sync: false })).toEqual([[], [1], [2]]);
    expect(ids([call(1, { over: true }), call(2)], { ...runner, byGuest: true })).toEqual([[], [], [2]]);
  });
});

describe('a runner is stuck', () => {
  const held = (abandonedMs: number, complete = true): { abandonedMs: number; complete: boolean } => ({ abandonedMs, complete });

  it('when it does not let go of a call that is over', () => {
    expect(isStuck([held(1_000)], true, 1_100)).toBe(false);
    expect(isStuck([held(1_000)], true, 1_200)).toBe(true);
    expect(isStuck([], true, 1_200)).toBe(false);
    expect(isStuck([held(0), held(0)], true, 1_200)).toBe(false);
  });

  it('but not while code that runs in order is at a call within its time', () => {
    expect(isStuck([held(0), held(1_000)], true, 9_000)).toBe(false);
    expect(isStuck([held(1_000), held(0)], true, 1_200)).toBe(true);
  });

  it('later, when others that may be computing are in their time', () => {
    expect(isStuck([held(0), held(1_000)], false, 1_200)).toBe(false);
    expect(isStuck([held(0), held(1_000)], false, 2_100)).toBe(true);
    expect(isStuck([held(1_000)], false, 1_200)).toBe(true);
  });
});
