import { describe, expect, it } from 'vitest';
import { MAX_DELEGATION_LIFETIME_MS } from '../../../src/trust/delegation.ts';
import { WorkBudget } from '../../../src/trust/work-budget.ts';
import type { RevocationClaims } from '../../../src/trust/revocation.ts';
import { MAX_REVOCATIONS, RevocationList } from '../../../src/trust/revocations.ts';
import { TrustedTime } from '../../../src/trust/trusted-time.ts';
import { LATTICE, ManualClock } from '../../support/trust.ts';

const SKEW_MS = 5_000;

describe('a list of revocations', () => {
  const claims = (sub: string, frm: number, iss = 'Ca'): RevocationClaims => ({
    v: 2,
    iat: 0,
    lat: LATTICE,
    iss,
    sub,
    frm,
  });
  const everywhere = (): number => Number.POSITIVE_INFINITY;

  it('keeps the furthest word of each issuer about each key', () => {
    const list = new RevocationList(SKEW_MS);
    expect(list.add(claims('x', 10), 'x10', 0, everywhere)).toBe('taken');
    expect(list.add(claims('x', 10), 'x10', 0, everywhere)).toBe('known');
    expect(list.add(claims('x', 9), 'x9', 0, everywhere)).toBe('known');
    expect(list.add(claims('x', 11), 'x11', 0, everywhere)).toBe('taken');
    expect(list.add(claims('x', 5, 'Cb'), 'x5b', 0, everywhere)).toBe('taken');
    expect(list.texts()).toEqual(['x11', 'x5b']);
    expect([list.hits('x', 11, everywhere), list.hits('x', 12, everywhere), list.hits('y', 1, everywhere)]).toEqual([
      true,
      false,
      false,
    ]);
    const reach = (issuer: string): number => (issuer === 'Ca' ? 3 : 9);
    expect([3, 4, 5, 6].map((minted) => list.hits('x', minted, reach))).toEqual([true, true, true, false]);
  });

  it('is bounded, and forgets only what can hit nothing any more', () => {
    const list = new RevocationList(SKEW_MS);
    const spentMs = MAX_DELEGATION_LIFETIME_MS + 2 * SKEW_MS;
    for (let n = 0; n < MAX_REVOCATIONS; n++) list.add(claims(`${n}`, n < 2 ? 1 : 1_000), `${n}`, 0, everywhere);
    expect(list.add(claims('new', 5), 'new', 1 + spentMs, everywhere)).toBe('full');
    // What is known already needs no room.
    expect(list.add(claims('1', 2), '1 again', 1 + spentMs, everywhere)).toBe('taken');
    expect(list.add(claims('new', 5), 'new', 2 + spentMs, everywhere)).toBe('taken');
    expect(list.hits('0', 1, everywhere)).toBe(false);
    expect(list.hits('1', 2, everywhere)).toBe(true);
    expect(list.add(claims('newer', 5), 'newer', 2 + spentMs, everywhere)).toBe('full');
    expect(list.add(claims('newer', 5), 'newer', 3 + spentMs, everywhere)).toBe('taken');
    expect(list.texts()).toHaveLength(MAX_REVOCATIONS);
  });

  it('is not filled with the key of an issuer that has left', () => {
    const list = new RevocationList(SKEW_MS);
    const leftMs = 1_000;
    const reach = (issuer: string): number => (issuer === 'Ca' ? leftMs : Number.POSITIVE_INFINITY);
    expect(list.add(claims('banned', leftMs), 'banned', leftMs, reach)).toBe('taken');
    const fill = (): number => {
      let taken = 0;
      for (let n = 0; n < MAX_REVOCATIONS; n++)
        if (list.add(claims(`${n}`, Number.MAX_SAFE_INTEGER), `${n}`, 2_000, reach) === 'taken') taken++;
      return taken;
    };
    expect(fill()).toBe(MAX_REVOCATIONS - 1);
    expect(list.add(claims('thief', 3_000, 'Cb'), 'thief', 3_000, reach)).toBe('taken');
    expect([list.hits('thief', 3_000, reach), list.hits('banned', leftMs, reach), fill()]).toEqual([true, true, 0]);
    // When nothing is left that it could reach, it has no room at all.
    const spentMs = leftMs + MAX_DELEGATION_LIFETIME_MS + 2 * SKEW_MS + 1;
    expect(list.add(claims('late', Number.MAX_SAFE_INTEGER), 'late', spentMs, reach)).toBe('known');
    expect(list.add(claims('next', spentMs, 'Cb'), 'next', spentMs, reach)).toBe('taken');
    expect(list.texts()).toEqual(['thief', 'next']);
  });
});

describe('a budget of failures', () => {
  it('is open until so many have failed, and gets back so many in a second, never more than at first', () => {
    const clock = new ManualClock();
    const budget = new WorkBudget(new TrustedTime(clock), 10, 3);
    const fail = (count: number): void => {
      for (let n = 0; n < count; n++) budget.spend();
    };
    fail(2);
    expect(budget.open).toBe(true);
    fail(1);
    expect(budget.open).toBe(false);
    clock.pass(99);
    expect(budget.open).toBe(false);
    clock.pass(1);
    expect(budget.open).toBe(true);
    expect(budget.open).toBe(true);
    clock.pass(3_600_000);
    expect(budget.open).toBe(true);
    fail(3);
    expect(budget.open).toBe(false);
  });
});
