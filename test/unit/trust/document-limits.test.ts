import { describe, expect, it } from 'vitest';
import {
  type DelegationClaims,
  delegationThumbprint,
  MAX_DELEGATION_CHARS,
  MAX_DELEGATION_LIFETIME_MS,
  mintDelegation,
  openDelegation,
  signDelegation,
  writeDelegationClaims,
} from '../../../src/trust/delegation.ts';
import { readSortedList } from '../../../src/trust/document.ts';
import { MAX_ISSUERS, openIssuerSet, writeIssuerSetClaims } from '../../../src/trust/issuer-set.ts';
import { SigningKey } from '../../../src/trust/nkey.ts';
import { openRevocation, writeRevocationClaims } from '../../../src/trust/revocation.ts';
import { scopeOf } from '../../../src/trust/scope.ts';
import { sealClaims } from '../../support/trust.ts';

const issuer = SigningKey.generate('cluster');
const host = SigningKey.generate('server');
const provider = SigningKey.generate('service');
const NOW_MS = 1_800_000_000_000;

const delegation: DelegationClaims = {
  v: 2,
  jti: 'AAAAAAAAAAAAAAAAAAAAAA',
  iat: NOW_MS,
  nbf: NOW_MS,
  exp: NOW_MS + 3_600_000,
  lat: 'default',
  iss: issuer.publicKey,
  sub: host.publicKey,
  epc: 0,
  org: '',
  tgt: '*',
};
const isRead = (changes: Partial<DelegationClaims>): boolean =>
  openDelegation(sealClaims(issuer, writeDelegationClaims({ ...delegation, ...changes }), 'dlg2s')) !== undefined;

describe('a delegation', () => {
  it('lives from a millisecond to a day, counted from the earlier of its two beginnings', () => {
    expect(isRead({ exp: NOW_MS + 1 })).toBe(true);
    expect(isRead({ exp: NOW_MS })).toBe(false);
    expect(isRead({ nbf: NOW_MS + 5, exp: NOW_MS + 5 })).toBe(false);
    expect(isRead({ iat: NOW_MS + 5, exp: NOW_MS + 5 })).toBe(false);
    expect(isRead({ exp: NOW_MS + MAX_DELEGATION_LIFETIME_MS })).toBe(true);
    expect(isRead({ exp: NOW_MS + MAX_DELEGATION_LIFETIME_MS + 1 })).toBe(false);
    expect(isRead({ nbf: NOW_MS + 9, exp: NOW_MS + MAX_DELEGATION_LIFETIME_MS + 1 })).toBe(false);
    expect(isRead({ iat: NOW_MS + 9, exp: NOW_MS + MAX_DELEGATION_LIFETIME_MS + 1 })).toBe(false);
  });

  it('below another names its parent by a thumbprint', () => {
    const keys = { iss: host.publicKey, sub: provider.publicKey };
    expect(isRead({ ...keys, par: 'A'.repeat(43) })).toBe(true);
    for (const par of ['', 'x', 'A'.repeat(42), `${'A'.repeat(42)}B`]) expect(isRead({ ...keys, par })).toBe(false);
    expect(isRead(keys)).toBe(false);
  });

  it('has at most 2,048 characters', () => {
    /** A scope of exactly `chars` characters. */
    const scope = (chars: number): string => {
      const ids = Array.from({ length: Math.floor((chars - 1) / 100) }, (_, n) => `c${n + 10}`.padEnd(99, 'x'));
      return [...ids, 'd'.padEnd(chars - 100 * ids.length, 'x')].join(',');
    };
    const textOf = (chars: number): string => {
      const room = chars - writeDelegationClaims(delegation).length;
      return sealClaims(issuer, writeDelegationClaims({ ...delegation, org: scope(room) }), 'dlg2s');
    };
    // Header, dots and proof take 93 characters; 1,466 bytes are 1,955 in base64url.
    expect([textOf(1_466), textOf(1_467)].map(({ length }) => length)).toEqual([MAX_DELEGATION_CHARS, MAX_DELEGATION_CHARS + 1]);
    expect(openDelegation(textOf(1_466))).toBeDefined();
    expect(openDelegation(textOf(1_467))).toBeUndefined();
  });

  it('has D("dlg", text) for its thumbprint', () => {
    expect(delegationThumbprint('abc')).toBe('_iKLyQf3-muAZaMFVxUMl9mHd9FStfL6NTCU4nCQ-wc');
  });

  it('is not signed when it could not be read, and says what to look at', () => {
    const invalid = {
      code: 'TRELLIS_TRUST_CLAIMS_INVALID',
      message: 'This delegation cannot be signed: a name, a time, a key or its length is out of range, or another key is named',
      remedy: 'Check names, lifetime and keys; use * where the list of components is too long.',
    };
    for (const sign of [() => signDelegation(issuer, { ...delegation, exp: 0 }), () => signDelegation(host, delegation)]) {
      expect(sign).toThrow(expect.objectContaining(invalid));
    }
  });

  it('is minted for everybody or for a list', () => {
    const common = { lattice: 'default', subject: host.publicKey, epoch: 1, nowMs: NOW_MS, lifetimeMs: 5 };
    expect(openDelegation(mintDelegation(issuer, { ...common, origins: '*', targets: ['b', 'a'] }))).toMatchObject({
      org: '*',
      tgt: 'a,b',
      exp: NOW_MS + 5,
    });
  });
});

it('a list is sorted, without repetition, and an empty text is the empty list', () => {
  const any = (): boolean => true;
  expect(readSortedList('', any)).toEqual([]);
  expect(readSortedList('a,b', any)).toEqual(['a', 'b']);
  for (const text of ['b,a', 'a,a']) expect(readSortedList(text, any)).toBeUndefined();
  expect(readSortedList('a,b', (item) => item === 'a')).toBeUndefined();
  expect(scopeOf(['b', 'a', 'b'])).toBe('a,b');
});

it('an issuer set has at most 16 members', () => {
  const keys = Array.from({ length: MAX_ISSUERS + 1 }, () => SigningKey.generate('cluster').publicKey).sort();
  const isReadWith = (members: readonly string[]): boolean => {
    const claims = {
      v: 2,
      iat: 1,
      lat: 'default',
      iss: issuer.publicKey,
      epc: 1,
      min: 1,
      act: members[0]!,
      set: members.join(','),
    } as const;
    return openIssuerSet(sealClaims(issuer, writeIssuerSetClaims(claims), 'iss2s')) !== undefined;
  };
  expect([isReadWith(keys.slice(1)), isReadWith(keys)]).toEqual([true, false]);
});

it('a revocation comes from an issuer, for a lattice', () => {
  const isReadWith = (changes: object): boolean => {
    const claims = { v: 2, iat: 1, lat: 'default', iss: issuer.publicKey, sub: host.publicKey, frm: 1, ...changes } as const;
    return openRevocation(sealClaims(issuer, writeRevocationClaims(claims), 'rev2s')) !== undefined;
  };
  expect([{}, { lat: 'a.b' }, { lat: 'x'.repeat(65) }, { iss: host.publicKey }, { iss: 'C' }].map(isReadWith)).toEqual([
    true,
    false,
    false,
    false,
    false,
  ]);
});
