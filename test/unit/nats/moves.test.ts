import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { TrellisError } from '../../../src/errors.ts';
import { Moves } from '../../../src/nats/moves.ts';

function moving() {
  const seen: string[] = [];
  const state = { where: undefined as string | undefined, fails: false };
  const moves = new Moves({
    async move(reason) {
      seen.push(`move ${reason}`);
      await nextTurn();
      if (state.fails) throw new TrellisError('TRELLIS_NATS_UNREACHABLE');
      state.where = undefined;
    },
    wanted: () => (state.where === undefined ? undefined : { reason: 'new', where: state.where }),
    failed: (reason, { code }) => seen.push(`failed ${reason} ${code}`),
    settled: () => seen.push('settled'),
  });
  return { moves, seen, state };
}

const turns = async (): Promise<void> => {
  for (let n = 0; n < 5; n++) await nextTurn();
};

describe('moves of a connection', () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] }));
  afterEach(() => void vi.useRealTimers());

  it('are one at a time, and who asks while one runs gets the next', async () => {
    const { moves, seen } = moving();
    const first = moves.now('a');
    const same = moves.now('b');
    expect(same).toBe(first);
    await nextTurn();
    const next = moves.now('c');
    expect(moves.now('d')).toBe(next);
    await Promise.all([first, next]);
    expect(seen).toEqual(['move a', 'move c']);
  });

  it('that failed are tried again ever more slowly, at once when they should go elsewhere, and no more when nobody wants them', async () => {
    const { moves, seen, state } = moving();
    state.where = 'x';
    state.fails = true;
    moves.look();
    await turns();
    expect(seen.splice(0)).toEqual(['move new', 'failed new TRELLIS_NATS_UNREACHABLE']);
    moves.look();
    await turns();
    expect(seen).toEqual([]);
    await vi.advanceTimersByTimeAsync(1_300);
    await turns();
    expect(seen.splice(0).length).toBe(2);
    await vi.advanceTimersByTimeAsync(1_300);
    await turns();
    expect(seen).toEqual([]);
    state.where = 'y';
    moves.look();
    await turns();
    expect(seen.splice(0).length).toBe(2);
    state.where = undefined;
    moves.look();
    await turns();
    expect(seen.splice(0)).toEqual(['settled']);
    await vi.advanceTimersByTimeAsync(600_000);
    await turns();
    expect(seen).toEqual([]);
  });

  it('that worked at last are said to be settled, once', async () => {
    const { moves, seen, state } = moving();
    state.where = 'x';
    state.fails = true;
    moves.look();
    await turns();
    state.fails = false;
    await vi.advanceTimersByTimeAsync(1_300);
    await turns();
    moves.look();
    await turns();
    expect(seen).toEqual(['move new', 'failed new TRELLIS_NATS_UNREACHABLE', 'move new', 'settled']);
  });

  it('end with the connection', async () => {
    const { moves, seen, state } = moving();
    state.where = 'x';
    state.fails = true;
    moves.look();
    await turns();
    moves.end();
    await vi.advanceTimersByTimeAsync(600_000);
    await turns();
    moves.look();
    await expect(moves.now('late')).rejects.toMatchObject({ code: 'TRELLIS_NATS_CLOSED' });
    expect(seen.length).toBe(2);
  });
});
