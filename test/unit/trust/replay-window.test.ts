import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ReplayWindow } from '../../../src/trust/replay.ts';
import { newTokenId } from '../../../src/trust/signer.ts';
import { ManualClock } from '../../support/trust.ts';

const SKEW_MS = 5_000;

function windowOf(maxEntries = 1_000) {
  const clock = new ManualClock(0);
  return { clock, replay: new ReplayWindow({ clock, maxEntries, skewMs: SKEW_MS }) };
}

describe('replay window', () => {
  it('takes an id once for each issuer', () => {
    const { replay } = windowOf();
    const id = newTokenId();
    expect(replay.has('CA', id)).toBe(false);
    expect(replay.insert('CA', id, 30_000)).toBe('new');
    expect(replay.insert('CA', id, 30_000)).toBe('seen');
    expect(replay.insert('CA', id, 60_000)).toBe('seen');
    expect(replay.has('CA', id)).toBe(true);
    expect(replay.insert('CB', id, 30_000)).toBe('new');
    expect(replay.size).toBe(2);
  });

  it('takes ids of another form as well', () => {
    const { replay } = windowOf();
    const uuid = '018dbf3c-0a4b-7c00-8000-000000000001';
    expect(replay.insert('CA', uuid, 30_000)).toBe('new');
    expect(replay.insert('CA', uuid, 30_000)).toBe('seen');
    expect(replay.insert('CA', uuid.toUpperCase(), 30_000)).toBe('new');
    expect(replay.insert('CA', '', 30_000)).toBe('new');
  });

  it('sheds instead of forgetting, and has room again after expiry', () => {
    const { clock, replay } = windowOf(500);
    const ids = Array.from({ length: 500 }, newTokenId);
    for (const id of ids) expect(replay.insert('CA', id, 30_000)).toBe('new');
    expect(replay.insert('CA', newTokenId(), 30_000)).toBe('full');
    for (const id of ids) expect(replay.insert('CA', id, 30_000)).toBe('seen');
    clock.pass(34_000);
    expect(replay.insert('CA', newTokenId(), 64_000)).toBe('full');
    clock.pass(10_000);
    for (let n = 0; n < 500; n++) expect(replay.insert('CA', newTokenId(), 74_000)).toBe('new');
    expect(replay.size).toBeLessThanOrEqual(500);
  });

  it('remembers while a token could be accepted, whatever happens to the wall clock', () => {
    const { clock, replay } = windowOf();
    const id = newTokenId();
    replay.insert('CA', id, 30_000, 0);
    clock.setBy(3_600_000);
    expect(replay.has('CA', id)).toBe(true);
    clock.setBy(-7_200_000);
    clock.pass(35_000);
    expect(replay.has('CA', id)).toBe(true);
    clock.pass(3_000);
    expect(replay.has('CA', id)).toBe(false);
  });

  it('agrees with a plain map over any history', () => {
    const action = fc.record({ id: fc.nat(40), lifeMs: fc.nat(60_000), passMs: fc.nat(4_000) });
    const ids = Array.from({ length: 41 }, newTokenId);
    fc.assert(
      fc.property(fc.array(action, { maxLength: 200 }), (actions) => {
        const { clock, replay } = windowOf(10_000);
        const accepted = new Map<number, number>();
        for (const { id, lifeMs, passMs } of actions) {
          const now = clock.wallMs();
          const verdict = replay.insert('CA', ids[id]!, now + lifeMs);
          // Within its life plus skew an id must be refused; well after it (slow time, rounding) it must be free again.
          const until = accepted.get(id) ?? -1;
          if (now <= until) expect(verdict).toBe('seen');
          else if (now > until + 65_000 / 15 + 300) expect(verdict).toBe('new');
          if (verdict === 'new') accepted.set(id, now + lifeMs + SKEW_MS);
          clock.pass(passMs);
        }
      }),
    );
  });

  it('keeps every id through all its growing, and gives all of its room back', () => {
    const { clock, replay } = windowOf(20_000);
    const ids = Array.from({ length: 20_000 }, newTokenId);
    for (const id of ids) expect(replay.insert('CA', id, 30_000)).toBe('new');
    expect(replay.size).toBe(20_000);
    expect(ids.filter((id) => !replay.has('CA', id))).toEqual([]);
    clock.pass(60_000);
    expect(ids.filter((id) => replay.has('CA', id))).toEqual([]);
    for (const id of ids) expect(replay.insert('CA', id, 90_000)).toBe('new');
    expect(replay.size).toBe(20_000);
    expect(replay.insert('CA', newTokenId(), 90_000)).toBe('full');
  });

  it('gives the room of what has expired, and no other', () => {
    const { clock, replay } = windowOf(4_000);
    const ids = Array.from({ length: 4_000 }, newTokenId);
    const isShort = (_: string, n: number): boolean => n % 2 === 0;
    for (const [n, id] of ids.entries()) replay.insert('CA', id, isShort(id, n) ? 10_000 : 60_000);
    expect(replay.insert('CA', newTokenId(), 60_000)).toBe('full');
    clock.pass(20_000);
    const outcomes = Array.from({ length: 2_001 }, () => replay.insert('CA', newTokenId(), 60_000));
    expect(outcomes.filter((o) => o === 'new')).toHaveLength(2_000);
    expect(outcomes.at(-1)).toBe('full');
    expect(ids.filter((id, n) => replay.has('CA', id) === isShort(id, n))).toEqual([]);
  });

  it.each([0, 4, 8, 12])('tells ids apart that differ in nothing but the four bytes from %i on', (at) => {
    const { replay } = windowOf(5_000);
    const bytes = Buffer.alloc(16, 0xa5);
    const ids = Array.from({ length: 2_000 }, (_, n) => {
      bytes.writeUInt32LE(n, at);
      return bytes.toString('base64url');
    });
    for (const id of ids) expect(replay.insert('CA', id, 30_000)).toBe('new');
    expect(ids.filter((id) => !replay.has('CA', id))).toEqual([]);
  });

  it.each([
    [0, 100],
    // 960 ms are up to 1,024 ms on a clock that trusted time follows at its slowest; rounded up, and a tick for the rounding of now.
    [960, 1_200],
    [30_000, 32_100],
  ])('remembers what lives for %i ms more until %i ms have passed, and then has its room', (lifeMs, keptMs) => {
    const { clock, replay } = windowOf(1);
    const id = newTokenId();
    expect(replay.insert('CA', id, lifeMs - SKEW_MS)).toBe('new');
    clock.pass(keptMs - 1);
    expect(replay.has('CA', id)).toBe(true);
    expect(replay.insert('CA', id, 90_000)).toBe('seen');
    expect(replay.insert('CA', newTokenId(), 90_000)).toBe('full');
    clock.pass(1);
    expect(replay.has('CA', id)).toBe(false);
    // A full memory is searched for room every half second at the most.
    clock.pass(Math.max(0, 400 - keptMs));
    expect(replay.insert('CA', newTokenId(), 90_000)).toBe('new');
    expect(replay.size).toBe(1);
  });

  it('counts an id once that comes again after its time', () => {
    const { clock, replay } = windowOf();
    const id = newTokenId();
    for (let n = 0; n < 5; n++) {
      expect(replay.insert('CA', id, clock.wallMs())).toBe('new');
      expect(replay.size).toBe(1);
      clock.pass(6_000);
    }
  });

  it('shrinks again after a burst', () => {
    const { clock, replay } = windowOf(100_000);
    for (let n = 0; n < 50_000; n++) replay.insert('CA', newTokenId(), 10_000);
    clock.pass(20_000);
    for (let n = 0; n < 256; n++) replay.insert('CA', newTokenId(), 60_000);
    expect(replay.size).toBeLessThan(1_000);
  });
});
