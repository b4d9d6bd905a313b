import { describe, expect, it } from 'vitest';
import { accountChanges } from '../../../src/auth/account-changes.ts';
import { accountClaims, scopedKey } from '../../../src/auth/claims.ts';
import type { AccountClaims, ScopedKey } from '../../../src/auth/claims-shape.ts';

const scope = (key: string, role: string, publish = 'a'): ScopedKey =>
  scopedKey(key, role, { publish: { allow: [publish] }, subscribe: { allow: ['b'] } });
const account = (signingKeys: readonly (string | ScopedKey)[], revocations = {}, jetstream = false): AccountClaims => ({
  ...accountClaims({ account: 'A', name: 'x', jetstream, signingKeys, revocations, nowMs: 0 }),
  iss: 'O',
});
const changes = (...both: [AccountClaims, AccountClaims]): string[] => accountChanges(...both);

describe('the changes of an account', () => {
  it('are none where it says the same, in whatever order', () => {
    const one = account([scope('K1', 'host'), 'K2'], { U1: 5 });
    expect(changes(one, account(['K2', scope('K1', 'host')], { U1: 5 }))).toEqual([]);
  });

  it('name keys and rights, what takes away first', () => {
    const before = account([scope('K1', 'host'), scope('K2', 'caller'), 'K3']);
    const after = account([scope('K1', 'host', 'wider'), scope('K4', 'host'), 'K5']);
    expect(changes(before, after)).toEqual([
      'without the key of caller (K2): its users are disconnected',
      'without the key of users without a role (K3): its users are disconnected',
      'other rights for host: its users are disconnected for a moment',
      'a key for host',
      'a key for users without a role',
    ]);
  });

  it('name who is revoked, and who is so no longer or for less', () => {
    expect(changes(account([], { U1: 100, U2: 200, U3: 300 }), account([], { U2: 100, U3: 300, U4: 400 }))).toEqual([
      'no longer revokes U1 as of 1970-01-01T00:01:40.000Z',
      'no longer revokes U2 as of 1970-01-01T00:03:20.000Z',
      'revokes U4 as of 1970-01-01T00:06:40.000Z',
    ]);
    expect(changes(account([], { U1: 100 }), account([], { U1: 200 }))).toEqual(['revokes U1 as of 1970-01-01T00:03:20.000Z']);
  });

  it('say that limits, exports or imports are others', () => {
    expect(changes(account([]), account([], {}, true))).toEqual(['other limits']);
  });
});
