import { describe, expect, it } from 'vitest';
import { DelegatedScope } from '../../../src/workloads/delegated-scope.ts';
import type { WantedScope } from '../../../src/identity/delegation-source.ts';
import { scopeOf } from '../../../src/trust/scope.ts';

/** A member whose issuer allows what `allows` says; renewals take until `release` where `slow`. */
function memberOf(allows: (id: string) => boolean, first: readonly string[]) {
  let wanted: WantedScope = { origins: first, targets: first };
  let renewing: Promise<void> | undefined;
  let failure: unknown;
  const claimsOf = (ids: readonly string[]) => ({ org: scopeOf(ids), tgt: scopeOf(ids), iss: 'CISSUER' });
  const state = { claims: claimsOf(first), renewals: 0 };
  const clock = { nowMs: 0, monotonicMs: () => clock.nowMs };
  const member = {
    clock,
    wants: (next: WantedScope) => void (wanted = next),
    delegation: {
      get held() {
        return { claims: state.claims } as never;
      },
      get failure() {
        return failure;
      },
      renew: () => {
        renewing ??= (async () => {
          state.renewals += 1;
          // What is asked for is what is wanted when it is asked.
          const asked = wanted.targets;
          await new Promise((resolve) => setImmediate(resolve));
          if (failure === undefined) state.claims = claimsOf(asked.filter(allows));
        })().finally(() => (renewing = undefined));
        return renewing;
      },
    },
  };
  return { member, state, clock, fail: (error: unknown) => void (failure = error) };
}

describe('a delegated scope', () => {
  it('names what is covered, together where many come at once, and no longer what was dropped', async () => {
    const { member, state } = memberOf(() => true, ['own']);
    const scope = new DelegatedScope(member, ['own']);
    await Promise.all(['a', 'b', 'c', 'd'].map((id) => scope.cover(id)));
    expect(state.claims.tgt).toBe('a,b,c,d,own');
    expect(state.renewals).toBeLessThan(5);
    await Promise.all([scope.drop(['b', 'never']), scope.drop(['c'])]);
    expect(state.claims.tgt).toBe('a,d,own');
    const { renewals } = state;
    await scope.drop(['never']);
    await scope.cover('a');
    expect(state.renewals).toBe(renewals);
  });

  it('refuses what nobody lets it name, says why, and does not ask for it again', async () => {
    const { member, state, fail } = memberOf((id) => id !== 'b', ['own']);
    const scope = new DelegatedScope(member, ['own']);
    await expect(scope.cover('b')).rejects.toMatchObject({
      code: 'TRELLIS_DELEGATION_SCOPE',
      message: expect.stringContaining('component b'),
    });
    expect(scope.covers('b')).toBe(false);
    await scope.cover('a');
    expect(state.claims.tgt).toBe('a,own');
    const away = new Error('nobody answers');
    fail(away);
    await expect(scope.cover('c')).rejects.toMatchObject({ cause: away });
  });

  it('offers what it might be let name, but not what has just been refused, nor anything new under a fixed delegation', async () => {
    const { member, clock } = memberOf((id) => id !== 'b', ['own']);
    const scope = new DelegatedScope(member, ['own']);
    expect([scope.mayCover('own'), scope.mayCover('a'), scope.mayCover('b')]).toEqual([true, true, true]);
    await expect(scope.cover('b')).rejects.toThrow('component b');
    expect([scope.mayCover('a'), scope.mayCover('b')]).toEqual([true, false]);
    clock.nowMs = 60_001;
    expect(scope.mayCover('b')).toBe(true);
    const fixed = new DelegatedScope(member, ['own'], true);
    expect([fixed.mayCover('own'), fixed.mayCover('a')]).toEqual([true, false]);
  });

  it('needs nothing new under a delegation that names everybody', async () => {
    const { member, state } = memberOf(() => true, ['*']);
    await new DelegatedScope(member, ['own']).cover('a');
    expect(state.renewals).toBe(0);
  });
});
