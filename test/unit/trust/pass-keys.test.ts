import { inspect } from 'node:util';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { WorkBudget } from '../../../src/trust/work-budget.ts';
import { PassKeys } from '../../../src/trust/pass-keys.ts';
import { requestDigest } from '../../../src/trust/token.ts';
import { TrustedTime } from '../../../src/trust/trusted-time.ts';
import { ManualClock } from '../../support/trust.ts';

const TOKEN = 'inv2s.claims.proof';

function keysAt(clock: ManualClock): PassKeys {
  const keys = new PassKeys(() => clock.wallMs());
  keys.make();
  return keys;
}
const passOf = (keys: PassKeys, token = TOKEN): string => keys.passFor(requestDigest(token))!;

describe('admission passes', () => {
  it('are vouched for by whoever has the key, for their token alone', () => {
    const clock = new ManualClock();
    const ours = keysAt(clock);
    const theirs = new PassKeys(() => clock.wallMs());
    const pass = passOf(ours);
    expect(pass).toMatch(/^[A-Za-z0-9_-]{20}$/);
    expect(theirs.vouches(pass, TOKEN)).toBe(false);
    expect(theirs.merge(ours.text()!)).toBe('added');
    expect(theirs.vouches(pass, TOKEN)).toBe(true);
    expect(theirs.vouches(pass, `${TOKEN}.`)).toBe(false);
    expect(theirs.vouches(undefined, TOKEN)).toBe(false);
    for (let at = 0; at < pass.length; at++) {
      const other = pass[at] === 'A' ? 'B' : 'A';
      expect(theirs.vouches(pass.slice(0, at) + other + pass.slice(at + 1), TOKEN)).toBe(false);
    }
    expect(keysAt(clock).vouches(pass, TOKEN)).toBe(false);
  });

  it('are made with a new key only when the others can have heard of it, and the old ones stay good', () => {
    const clock = new ManualClock();
    const keys = keysAt(clock);
    const before = passOf(keys);
    clock.pass(3_600_000);
    expect(keys.ageMs).toBe(3_600_000);
    keys.make();
    expect(passOf(keys)).toBe(before);
    clock.pass(2_000);
    expect(passOf(keys)).not.toBe(before);
    expect(keys.vouches(before, TOKEN)).toBe(true);
    for (let n = 0; n < 4; n++) {
      clock.pass(3_600_000);
      keys.make();
    }
    expect(keys.vouches(before, TOKEN)).toBe(false);
  });

  it('need a key', () => {
    const none = new PassKeys(() => 0);
    expect([none.passFor(requestDigest(TOKEN)), none.text(), none.ageMs]).toEqual([undefined, undefined, undefined]);
  });
});

describe('pass keys', () => {
  it('become the same everywhere, whoever tells whom first', () => {
    const clock = new ManualClock();
    const a = keysAt(clock);
    const b = keysAt(clock);
    clock.pass(5_000);
    const c = keysAt(clock);
    expect(c.merge(a.text()!)).toBe('behind');
    expect(a.merge(c.text()!)).toBe('added');
    expect(a.merge(c.text()!)).toBe('same');
    a.merge(b.text()!);
    c.merge(b.text()!);
    b.merge(a.text()!);
    expect(new Set([a.text(), b.text(), c.text()]).size).toBe(1);
    clock.pass(2_000);
    expect(b.vouches(passOf(a), TOKEN)).toBe(true);
  });

  it('from the far future are not believed: they would stand for ever', () => {
    const ahead = new ManualClock(1_800_000_000_000 + 3_600_000);
    const keys = keysAt(new ManualClock());
    const before = keys.text();
    keys.merge(keysAt(ahead).text()!);
    expect(keys.text()).toBe(before);
  });

  it('have one spelling, and anything else is refused without a throw', () => {
    const keys = keysAt(new ManualClock());
    const text = keys.text()!;
    for (const wrong of ['', 'pk1', `${text} `, ` ${text}`, text.replace('pk1', 'pk2'), text.replace(':', ':='), `${text}=`]) {
      expect(keys.merge(wrong)).toBe('malformed');
    }
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.string().map((noise) => text + noise),
          fc.string().map((noise) => `pk1 ${noise}`),
        ),
        (noise) => {
          expect(['malformed', 'same']).toContain(keys.merge(noise));
          expect(keys.vouches(noise, TOKEN)).toBe(false);
        },
      ),
      { numRuns: 2_000 },
    );
    expect(keys.text()).toBe(text);
  });

  it('LEK-01 do not show when printed', () => {
    const keys = keysAt(new ManualClock());
    const secret = keys.text()!.split(':')[1]!;
    const bytes = Buffer.from(secret, 'base64url').toString('hex');
    for (const shown of [inspect(keys, { depth: 9, showHidden: true }), JSON.stringify(keys)]) {
      expect(shown).not.toContain(secret);
      expect(shown.replaceAll(' ', '')).not.toContain(bytes);
    }
  });
});

describe('the budget of failed checks', () => {
  it('fills up with time, no further than a burst, and its debt is over after one', () => {
    const clock = new ManualClock();
    const budget = new WorkBudget(new TrustedTime(clock), 10, 5);
    const failures = (): number => {
      let count = 0;
      for (; budget.open; count++) budget.spend();
      return count;
    };
    expect(failures()).toBe(5);
    clock.pass(200);
    expect(failures()).toBe(2);
    clock.pass(60_000);
    expect(failures()).toBe(5);
    for (let n = 0; n < 1_000; n++) budget.spend();
    clock.pass(600);
    expect(failures()).toBe(1);
    clock.pass(60_000);
    expect(budget.open).toBe(true);
    budget.spend(4.5);
    expect(budget.open).toBe(false);
  });
});
