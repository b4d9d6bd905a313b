import { describe, expect, it } from 'vitest';
import {
  type DelegationClaims,
  delegationThumbprint,
  signDelegation,
  writeDelegationClaims,
} from '../../../src/trust/delegation.ts';
import { type IssuerSetClaims, signIssuerSet, writeIssuerSetClaims } from '../../../src/trust/issuer-set.ts';
import { SigningKey } from '../../../src/trust/nkey.ts';
import { signRevocation, writeRevocationClaims } from '../../../src/trust/revocation.ts';
import { newTokenId } from '../../../src/trust/signer.ts';
import { MAX_SUB_DELEGATIONS, TrustState, type TrustStateOptions } from '../../../src/trust/trust-state.ts';
import { TrustedTime } from '../../../src/trust/trusted-time.ts';
import { LATTICE, ManualClock, sealClaims } from '../../support/trust.ts';

const [a, b] = [SigningKey.generate('cluster'), SigningKey.generate('cluster')];
const host = SigningKey.generate('server');
const provider = SigningKey.generate('service');
const SKEW_MS = 5_000;
const HOUR_MS = 3_600_000;

function setUp(settings: Partial<TrustStateOptions> = {}) {
  const clock = new ManualClock();
  const time = new TrustedTime(clock);
  const state = new TrustState({ lattice: LATTICE, issuers: [a.publicKey], time, skewMs: SKEW_MS, ...settings });
  return { clock, startMs: clock.wallMs(), state };
}

/** What a refusal says, without the part of its code that all have; or what was said instead of one. */
function said(answer: unknown): string {
  const denial = answer as { ok?: false; code: string; detail: string };
  if (denial.ok === false) return `${denial.code.slice('TRELLIS_VERIFY_'.length)} ${denial.detail}`;
  return typeof answer === 'string' ? answer : 'taken';
}

/** With everything wrong, mends one fault after the other: what is said each time must be what stands beside it. */
function expectInOrder(judge: () => unknown, steps: readonly (readonly [() => unknown, string])[]): void {
  const got = steps.map(([mend]) => {
    mend();
    return said(judge());
  });
  expect(got).toEqual(steps.map(([, expected]) => expected));
}

describe('the order of checks', () => {
  it('of an issuer set', () => {
    const { state, startMs } = setUp();
    const take = (claims: IssuerSetClaims, by: SigningKey): unknown =>
      state.takeIssuerSet(sealClaims(by, writeIssuerSetClaims(claims), 'iss2s'));
    const good = {
      v: 2,
      iat: startMs,
      lat: LATTICE,
      iss: a.publicKey,
      epc: 5,
      min: 3,
      act: a.publicKey,
      set: a.publicKey,
    } as const;
    expect(take(good, a)).toBe('taken');
    const claims = { ...good, lat: 'other', iss: b.publicKey, epc: 5, min: 2 } as {
      -readonly [K in keyof IssuerSetClaims]: IssuerSetClaims[K];
    };
    let by = host;
    expectInOrder(
      () => take(claims, by),
      [
        [() => (claims.act = b.publicKey), 'MALFORMED is no issuer set'],
        [() => (claims.act = a.publicKey), 'LATTICE made for lattice "other"'],
        [() => (claims.lat = LATTICE), 'EPOCH issuer set of epoch 5, this is 5'],
        [() => (claims.epc = 6), 'EPOCH lowers the least epoch to 2'],
        [() => (claims.min = 3), `ISSUER issuer set signed by "${b.publicKey}"`],
        [() => (claims.iss = a.publicKey), `SIGNATURE not signed by "${a.publicKey}"`],
        [() => (by = a), 'taken'],
        [() => undefined, 'known'],
      ],
    );
    expect([state.epoch, state.minEpoch, state.issuers, state.active]).toEqual([6, 3, [a.publicKey], a.publicKey]);
    expect(state.stats.checks).toBe(3);
  });

  it('of a revocation', () => {
    const { state, startMs } = setUp();
    const claims = { v: 2 as const, iat: startMs, lat: 'other', iss: b.publicKey, sub: a.publicKey, frm: startMs };
    let by = host;
    expectInOrder(
      () => state.takeRevocation(sealClaims(by, writeRevocationClaims(claims), 'rev2s')),
      [
        [() => undefined, 'MALFORMED is no revocation'],
        [() => (claims.sub = host.publicKey), 'LATTICE made for lattice "other"'],
        [() => (claims.lat = LATTICE), `ISSUER revocation signed by "${b.publicKey}"`],
        [() => (claims.iss = a.publicKey), `SIGNATURE not signed by "${a.publicKey}"`],
        [() => (by = a), 'taken'],
        [() => undefined, 'known'],
      ],
    );
  });

  it('of a delegation', () => {
    const { state, startMs, clock } = setUp();
    const set = {
      v: 2,
      iat: startMs,
      lat: LATTICE,
      iss: a.publicKey,
      epc: 2,
      min: 1,
      act: a.publicKey,
      set: a.publicKey,
    } as const;
    state.takeIssuerSet(signIssuerSet(a, set));
    state.takeRevocation(
      signRevocation(a, { v: 2, iat: startMs, lat: LATTICE, iss: a.publicKey, sub: host.publicKey, frm: startMs }),
    );
    clock.pass(2 * HOUR_MS);
    const now = clock.wallMs();
    const claims: { -readonly [K in keyof DelegationClaims]: DelegationClaims[K] } = {
      v: 2,
      jti: newTokenId(),
      iat: startMs,
      nbf: startMs,
      exp: now - 5_001,
      lat: 'other',
      iss: b.publicKey,
      sub: host.publicKey,
      epc: 0,
      org: 'b,a',
      tgt: '',
    };
    let by = b;
    expectInOrder(
      () => state.takeDelegation(sealClaims(by, writeDelegationClaims(claims), 'dlg2s')),
      [
        [() => undefined, 'DELEGATION delegation is malformed or not sound'],
        [() => (claims.org = 'a,b'), 'LATTICE delegation made for lattice "other"'],
        [() => (claims.lat = LATTICE), `ISSUER delegation signed by "${b.publicKey}"`],
        [() => (claims.iss = a.publicKey), 'EPOCH delegation of epoch 0, 1 is the least that counts'],
        [() => (claims.epc = 1), `REVOKED the delegation of "${host.publicKey}" has been revoked`],
        [() => (claims.iat = startMs + 1), 'DELEGATION_EXPIRED delegation expired 5001 ms ago'],
        [() => (claims.exp = now + HOUR_MS), `SIGNATURE delegation not signed by "${a.publicKey}"`],
        [() => (claims.nbf = now + 5_001), 'DELEGATION_EXPIRED delegation begins in 5001 ms'],
        [() => (claims.nbf = now + 5_000), `SIGNATURE delegation not signed by "${a.publicKey}"`],
        [() => (by = a), 'taken'],
      ],
    );
    expect(state.stats.checks).toBe(5);
  });

  it('of a delegation below another', () => {
    const { state, startMs, clock } = setUp();
    const base = { v: 2, jti: newTokenId(), iat: startMs, nbf: startMs, exp: startMs + HOUR_MS, lat: LATTICE, epc: 0 } as const;
    const parent = signDelegation(a, { ...base, iss: a.publicKey, sub: host.publicKey, org: 'x,y', tgt: 'x' });
    const claims: { -readonly [K in keyof DelegationClaims]: DelegationClaims[K] } = {
      ...base,
      iat: startMs - 1,
      nbf: startMs - 1,
      exp: startMs + HOUR_MS + 1,
      iss: SigningKey.generate('server').publicKey,
      sub: provider.publicKey,
      org: 'x,z',
      tgt: 'y',
      par: 'A'.repeat(43),
    };
    let by = provider;
    expectInOrder(
      () => state.takeDelegation(sealClaims(by, writeDelegationClaims(claims), 'dlg2s'), parent),
      [
        [() => undefined, 'DELEGATION the delegation of the delegating host is not known'],
        [() => (claims.par = delegationThumbprint(parent)), 'DELEGATION is signed by another key than its parent delegates to'],
        [() => (claims.iss = host.publicKey), `SCOPE delegates more than "${host.publicKey}" has`],
        [() => (claims.org = 'x'), `SCOPE delegates more than "${host.publicKey}" has`],
        [() => (claims.tgt = ''), 'DELEGATION lives outside the life of its parent'],
        [() => (claims.exp = startMs + HOUR_MS), 'DELEGATION lives outside the life of its parent'],
        [() => (claims.nbf = startMs), 'DELEGATION lives outside the life of its parent'],
        [() => (claims.iat = startMs), `SIGNATURE delegation not signed by "${host.publicKey}"`],
        [() => (by = host), 'taken'],
      ],
    );
    expect(state.size).toBe(2);
    clock.pass(HOUR_MS + SKEW_MS + 1);
    const answer = state.takeDelegation(sealClaims(by, writeDelegationClaims({ ...claims, jti: newTokenId() }), 'dlg2s'), parent);
    expect(said(answer)).toBe('DELEGATION_EXPIRED delegation expired 5001 ms ago');
  });

  it('of a key that signed a token', () => {
    const { state, startMs, clock } = setUp();
    const base = { v: 2, jti: newTokenId(), iat: startMs, nbf: startMs, exp: startMs + HOUR_MS, lat: LATTICE, epc: 0 } as const;
    const kid = delegationThumbprint(signDelegation(a, { ...base, iss: a.publicKey, sub: host.publicKey, org: '', tgt: '' }));
    const find = (key: SigningKey, named?: string): string => said(state.find(key.publicKey, named));
    expect(find(host)).toBe(`ISSUER signed by "${host.publicKey}"`);
    expect(find(host, kid)).toBe(`DELEGATION "${host.publicKey}" names a delegation that is not known`);
    state.takeDelegation(signDelegation(a, { ...base, iss: a.publicKey, sub: host.publicKey, org: '', tgt: '' }));
    expect(find(host, kid)).toBe('taken');
    expect(find(provider, kid)).toBe(`DELEGATION "${provider.publicKey}" names the delegation of another key`);
    state.requireFresh(1_000);
    expect(find(provider, kid)).toBe('STALE revocations were not seen for more than 1000 ms');
    state.markFresh();
    clock.pass(900);
    // What was seen earlier makes nothing older, and the time to come was not seen.
    state.markFresh(startMs - HOUR_MS);
    expect(find(a)).toBe('taken');
    state.markFresh(startMs + HOUR_MS);
    clock.pass(1_000);
    expect(find(a)).toBe('taken');
    clock.pass(1);
    expect(find(a)).toBe('STALE revocations were not seen for more than 1000 ms');
    const issuer = state.find(a.publicKey, undefined);
    state.markFresh();
    expect(issuer).toMatchObject({ ok: false });
    const found = state.find(a.publicKey, undefined);
    expect('ok' in found ? [] : [found.speaksFor('anybody'), found.answersFor('anybody')]).toEqual([true, true]);
  });
});

describe('room', () => {
  it('for delegations, and for those below one: what is full says so, once it has been checked that nothing can go', () => {
    const { state, startMs } = setUp({ maxDelegations: MAX_SUB_DELEGATIONS + 2 });
    const base = { v: 2, iat: startMs, nbf: startMs, exp: startMs + HOUR_MS, lat: LATTICE, epc: 0, org: '', tgt: '' } as const;
    const parents = [1, 2].map(() =>
      signDelegation(a, { ...base, jti: newTokenId(), iss: a.publicKey, sub: host.publicKey }),
    ) as [string, string];
    const below = (parent: string): string => {
      const claims = {
        ...base,
        jti: newTokenId(),
        iss: host.publicKey,
        sub: provider.publicKey,
        par: delegationThumbprint(parent),
      };
      return said(state.takeDelegation(signDelegation(host, claims), parent));
    };
    for (let n = 0; n < MAX_SUB_DELEGATIONS; n++) expect(below(parents[0])).toBe('taken');
    expect(below(parents[0])).toBe('DELEGATION_BUSY no room to remember another delegation');
    expect(below(parents[1])).toBe('DELEGATION_BUSY no room to remember another delegation');
    expect(state.size).toBe(MAX_SUB_DELEGATIONS + 2);
  });

  it('tells its listeners of issuer sets and revocations, until they go', () => {
    const { state, startMs } = setUp();
    const told: string[] = [];
    const stop = [state.onChange(() => told.push('first')), state.onChange(() => told.push('second'))];
    const set = { v: 2, iat: startMs, lat: LATTICE, iss: a.publicKey, min: 0, act: a.publicKey, set: a.publicKey } as const;
    const sets = [1, 2].map((epc) => signIssuerSet(a, { ...set, epc }));
    state.takeIssuerSet(sets[0]!);
    expect(told).toEqual(['first', 'second']);
    stop[0]!();
    state.takeIssuerSet(sets[1]!);
    const revocation = signRevocation(a, {
      v: 2,
      iat: startMs,
      lat: LATTICE,
      iss: a.publicKey,
      sub: host.publicKey,
      frm: startMs,
    });
    state.takeRevocation(revocation);
    expect(told).toEqual(['first', 'second', 'second', 'second']);
    expect(state.snapshot()).toEqual({ issuerSets: sets, revocations: [revocation] });
  });
});

describe('what issuers say after a rotation', () => {
  it('counts for the newcomer and for who stays, and for who left only as far as it went', () => {
    const { state, startMs, clock } = setUp();
    expect([state.active, state.epoch, state.minEpoch]).toEqual([a.publicKey, 0, 0]);
    const set = { v: 2, lat: LATTICE, min: 0 } as const;
    const both = [a.publicKey, b.publicKey].sort().join(',');
    state.takeIssuerSet(signIssuerSet(a, { ...set, iat: startMs, iss: a.publicKey, epc: 1, act: a.publicKey, set: both }));
    clock.pass(1_000);
    const kids = [a, b].map((issuer) => {
      const sub = SigningKey.generate('server').publicKey;
      const life = { iat: startMs + 1_000, nbf: startMs, exp: startMs + HOUR_MS };
      const claims = {
        v: 2,
        jti: newTokenId(),
        lat: LATTICE,
        epc: 1,
        iss: issuer.publicKey,
        sub,
        org: '',
        tgt: '',
        ...life,
      } as const;
      const taken = state.takeDelegation(signDelegation(issuer, claims));
      return { sub, kid: 'kid' in taken ? taken.kid : '' };
    });
    const revoke = (by: SigningKey, sub: string): string =>
      said(
        state.takeRevocation(
          signRevocation(by, { v: 2, iat: startMs, lat: LATTICE, iss: by.publicKey, sub, frm: startMs + HOUR_MS }),
        ),
      );
    const counts = ({ sub, kid }: { sub: string; kid: string }): boolean => !('ok' in state.find(sub, kid));
    expect(kids.map(counts)).toEqual([true, true]);
    expect(revoke(b, kids[0]!.sub)).toBe('taken');
    expect(kids.map(counts)).toEqual([false, true]);
    // Who stays keeps its word without end; who leaves has none about what was minted after it left.
    const last = { ...set, iat: startMs + 500, iss: b.publicKey, epc: 2, act: b.publicKey, set: b.publicKey };
    state.takeIssuerSet(signIssuerSet(b, last));
    expect(revoke(a, kids[1]!.sub)).toBe('taken');
    expect(kids.map(counts)).toEqual([false, true]);
    expect(revoke(b, kids[1]!.sub)).toBe('taken');
    expect(kids.map(counts)).toEqual([false, false]);
  });

  it.each([
    ['*', '*', true],
    ['*', 'x,y', true],
    ['*', '', true],
    ['x,y', 'x', true],
    ['x,y', '', true],
    ['x,y', 'x,y', true],
    ['x,y', '*', false],
    ['x,y', 'x,z', false],
    ['', 'x', false],
    ['', '', true],
  ])('a host that has %j can give %j on: %s', (outer, inner, allowed) => {
    const { state, startMs } = setUp();
    const base = { v: 2, iat: startMs, nbf: startMs, exp: startMs + HOUR_MS, lat: LATTICE, epc: 0 } as const;
    const parent = signDelegation(a, {
      ...base,
      jti: newTokenId(),
      iss: a.publicKey,
      sub: host.publicKey,
      org: outer,
      tgt: outer,
    });
    const give = (org: string, tgt: string): string => {
      const keys = { iss: host.publicKey, sub: provider.publicKey, par: delegationThumbprint(parent) };
      return said(state.takeDelegation(signDelegation(host, { ...base, ...keys, jti: newTokenId(), org, tgt }), parent));
    };
    const expected = allowed ? 'taken' : `SCOPE delegates more than "${host.publicKey}" has`;
    expect([give(inner, ''), give('', inner)]).toEqual([expected, expected]);
  });

  it('says of a provider what is wrong with its host', () => {
    const { state, startMs } = setUp();
    const base = { v: 2, iat: startMs, nbf: startMs, exp: startMs + HOUR_MS, lat: LATTICE, epc: 0, org: '', tgt: '' } as const;
    const parent = signDelegation(b, { ...base, jti: newTokenId(), iss: b.publicKey, sub: host.publicKey });
    const keys = { iss: host.publicKey, sub: provider.publicKey, par: delegationThumbprint(parent) };
    const child = signDelegation(host, { ...base, ...keys, jti: newTokenId() });
    expect(said(state.takeDelegation(child, parent))).toBe(`ISSUER delegation signed by "${b.publicKey}"`);
    // A text that is not its parent is not even looked at.
    expect(said(state.takeDelegation(child, 'anything'))).toBe('DELEGATION the delegation of the delegating host is not known');
  });
});

describe('configured issuers', () => {
  const delegation = (state: TrustState, by: SigningKey, iat: number): { readonly kid: string } | { readonly ok: false } =>
    state.takeDelegation(
      signDelegation(by, {
        v: 2,
        jti: newTokenId(),
        iat,
        nbf: iat,
        exp: iat + HOUR_MS,
        lat: LATTICE,
        iss: by.publicKey,
        sub: host.publicKey,
        epc: 0,
        org: '*',
        tgt: '*',
      }),
    );

  it('count at once when they change, in their order, and those that left do not', () => {
    const { state, startMs } = setUp();
    const heard: string[] = [];
    state.onChange(() => void heard.push(state.active));
    const byA = delegation(state, a, startMs) as { kid: string };
    expect(said(state.find(host.publicKey, byA.kid))).toBe('taken');
    expect(said(delegation(state, b, startMs))).toMatch(/^ISSUER/);
    expect(state.configure([b.publicKey, a.publicKey])).toBe(true);
    expect(said(state.find(host.publicKey, byA.kid))).toBe('taken');
    expect(said(delegation(state, b, startMs))).toBe('taken');
    expect(state.configure([b.publicKey])).toBe(true);
    expect(said(state.find(host.publicKey, byA.kid))).toMatch(/^ISSUER/);
    expect(state.issuers).toEqual([b.publicKey]);
    expect([state.epoch, state.minEpoch]).toEqual([0, 0]);
    expect(heard).toEqual([b.publicKey, b.publicKey]);
    expect(state.configure([])).toBe(true);
    expect([state.active, state.issuers]).toEqual(['', []]);
  });

  it('that left still ban what there was before, and nothing later', () => {
    const { state, startMs, clock } = setUp({ issuers: [a.publicKey, b.publicKey] });
    clock.pass(60_000);
    state.configure([b.publicKey]);
    const frm = startMs + HOUR_MS;
    const ban = signRevocation(a, { v: 2, iat: startMs, lat: LATTICE, iss: a.publicKey, sub: host.publicKey, frm });
    expect(state.takeRevocation(ban)).toBe('taken');
    expect(said(delegation(state, b, startMs))).toMatch(/^REVOKED/);
    expect(said(delegation(state, b, startMs + 60_001))).toBe('taken');
  });

  it('mean nothing any more once an issuer set has come', () => {
    const { state, startMs } = setUp();
    const set: IssuerSetClaims = {
      v: 2,
      iat: startMs,
      lat: LATTICE,
      iss: a.publicKey,
      epc: 1,
      min: 0,
      act: a.publicKey,
      set: a.publicKey,
    };
    expect(state.takeIssuerSet(signIssuerSet(a, set))).toBe('taken');
    expect(state.configure([b.publicKey])).toBe(false);
    expect(state.issuers).toEqual([a.publicKey]);
  });

  it('that are none change nothing', () => {
    const { state } = setUp();
    expect(() => state.configure(['nonsense'])).toThrow('Cluster issuer number 1');
    expect(state.issuers).toEqual([a.publicKey]);
  });
});
