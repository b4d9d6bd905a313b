import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type DelegationClaims,
  delegationThumbprint,
  mintDelegation,
  openDelegation,
  signDelegation,
  writeDelegationClaims,
} from '../../src/trust/delegation.ts';
import { DelegationKeeper } from '../../src/identity/delegation-keeper.ts';
import { silentLogger } from '../../src/telemetry/log.ts';
import { type IssuerSetClaims, signIssuerSet } from '../../src/trust/issuer-set.ts';
import { SigningKey } from '../../src/trust/nkey.ts';
import { signRevocation } from '../../src/trust/revocation.ts';
import { newTokenId } from '../../src/trust/signer.ts';
import { MAX_PER_SUBJECT, MAX_SUB_DELEGATIONS, TrustState, type TrustStateOptions } from '../../src/trust/trust-state.ts';
import { TrustedTime } from '../../src/trust/trusted-time.ts';
import { LATTICE, ManualClock, sealClaims } from '../support/trust.ts';

const [a, b, c] = [SigningKey.generate('cluster'), SigningKey.generate('cluster'), SigningKey.generate('cluster')];
const host = SigningKey.generate('server');
const provider = SigningKey.generate('service');
const HOUR_MS = 3_600_000;
const SKEW_MS = 5_000;

/** A state that trusts `a`, on a manual clock, and short ways to sign what it takes. */
function setUp(settings: Partial<TrustStateOptions> = {}) {
  const clock = new ManualClock();
  const startMs = clock.wallMs();
  const state = new TrustState({
    lattice: LATTICE,
    issuers: [a.publicKey],
    time: new TrustedTime(clock),
    skewMs: SKEW_MS,
    ...settings,
  });
  const claims = (changes: Partial<DelegationClaims> = {}): DelegationClaims => ({
    v: 2,
    jti: newTokenId(),
    iat: startMs,
    nbf: startMs,
    exp: startMs + HOUR_MS,
    lat: LATTICE,
    iss: a.publicKey,
    sub: host.publicKey,
    epc: 0,
    org: 'caller,echo',
    tgt: 'echo',
    ...changes,
  });
  const delegation = (changes: Partial<DelegationClaims> = {}, key = a): string =>
    signDelegation(key, claims({ iss: key.publicKey, ...changes }));
  const child = (parent: string, changes: Partial<DelegationClaims> = {}, key = host): string =>
    signDelegation(
      key,
      claims({ iss: key.publicKey, sub: provider.publicKey, org: 'echo', par: delegationThumbprint(parent), ...changes }),
    );
  const issuers = (epc: number, keys: readonly SigningKey[], by: SigningKey, changes: Partial<IssuerSetClaims> = {}): string =>
    signIssuerSet(by, {
      v: 2,
      iat: clock.wallMs(),
      lat: LATTICE,
      iss: by.publicKey,
      epc,
      min: 0,
      act: keys[0]!.publicKey,
      set: keys
        .map(({ publicKey }) => publicKey)
        .sort()
        .join(','),
      ...changes,
    });
  const revocation = (sub: string, frm = clock.wallMs(), by = a): string =>
    signRevocation(by, { v: 2, iat: clock.wallMs(), lat: LATTICE, iss: by.publicKey, sub, frm });
  return { clock, startMs, state, claims, delegation, child, issuers, revocation };
}

/** Takes a delegation: its thumbprint, or the code of the refusal. */
function take(state: TrustState, text: string, parent?: string): string {
  const taken = state.takeDelegation(text, parent);
  return 'kid' in taken ? taken.kid : taken.code;
}

/** `counts`, or the code of the refusal. */
function find(state: TrustState, key: SigningKey, kid: string | undefined): string {
  const found = state.find(key.publicKey, kid);
  return 'ok' in found ? found.code : 'counts';
}

const codeOf = (answer: ReturnType<TrustState['takeIssuerSet']>): string => (typeof answer === 'string' ? answer : answer.code);

describe('a good delegation', () => {
  it('lets its host speak and answer within its scope, is checked once, and is known from then on', () => {
    const { state, delegation } = setUp();
    const text = delegation();
    const kid = delegationThumbprint(text);
    expect(state.knows(kid)).toBe(false);
    expect(find(state, host, kid)).toBe('TRELLIS_VERIFY_DELEGATION');
    expect(take(state, text)).toBe(kid);
    expect(take(state, text)).toBe(kid);
    expect(state.knows(kid)).toBe(true);
    expect(state.stats.checks).toBe(1);
    const signer = state.find(host.publicKey, kid);
    expect(signer).not.toHaveProperty('ok');
    if ('ok' in signer) return;
    expect(['caller', 'echo', 'other', ''].map((id) => signer.speaksFor(id))).toEqual([true, true, false, false]);
    expect(['caller', 'echo', '*', ''].map((id) => signer.answersFor(id))).toEqual([false, true, false, false]);
  });

  it('with no names in its scope lets nobody speak, and with * anybody', () => {
    const { state, delegation } = setUp();
    const text = delegation({ org: '', tgt: '*' });
    const signer = state.find(host.publicKey, take(state, text));
    if ('ok' in signer) throw new Error(signer.code);
    expect(['caller', ''].map((id) => signer.speaksFor(id))).toEqual([false, false]);
    expect(signer.answersFor('whatever')).toBe(true);
  });

  it('lets a provider speak for what its host gave it', () => {
    const { state, delegation, child } = setUp();
    const parent = delegation();
    const text = child(parent);
    expect(take(state, text)).toBe('TRELLIS_VERIFY_DELEGATION');
    const kid = take(state, text, parent);
    expect(kid).toBe(delegationThumbprint(text));
    const signer = state.find(provider.publicKey, kid);
    if ('ok' in signer) throw new Error(signer.code);
    expect(['caller', 'echo'].map((id) => signer.speaksFor(id))).toEqual([false, true]);
  });

  it('leaves cluster issuers able to sign for themselves, and nobody else', () => {
    const { state } = setUp();
    expect(find(state, a, undefined)).toBe('counts');
    for (const key of [b, host, provider]) expect(find(state, key, undefined)).toBe('TRELLIS_VERIFY_ISSUER');
  });
});

describe('delegations that do not count', () => {
  it.each<[string, Partial<DelegationClaims>, string]>([
    ['expired', { iat: -2 * HOUR_MS, nbf: -2 * HOUR_MS, exp: -SKEW_MS - 1 }, 'TRELLIS_VERIFY_DELEGATION_EXPIRED'],
    ['not yet valid', { nbf: SKEW_MS + 1 }, 'TRELLIS_VERIFY_DELEGATION_EXPIRED'],
    ['minted in the future, to outlive revocations', { iat: SKEW_MS + 1 }, 'TRELLIS_VERIFY_DELEGATION_EXPIRED'],
  ])('%s', (_, offsets, code) => {
    const { state, delegation, startMs } = setUp();
    const moved = Object.fromEntries(Object.entries(offsets).map(([name, offset]) => [name, startMs + (offset as number)]));
    expect(take(state, delegation(moved))).toBe(code);
    expect(state.stats.checks).toBe(0);
  });

  it('made for another lattice, by a stranger, by the key itself', () => {
    const { state, delegation, claims } = setUp();
    expect(take(state, delegation({ lat: 'other' }))).toBe('TRELLIS_VERIFY_LATTICE');
    expect(take(state, delegation({}, b))).toBe('TRELLIS_VERIFY_ISSUER');
    const selfMade = sealClaims(host, writeDelegationClaims(claims({ iss: host.publicKey })), 'dlg2s');
    expect(take(state, selfMade)).toBe('TRELLIS_VERIFY_DELEGATION');
    expect(state.stats.checks).toBe(0);
  });

  it('signed by another key than the issuer it names', () => {
    const { state, claims } = setUp();
    expect(take(state, sealClaims(b, writeDelegationClaims(claims()), 'dlg2s'))).toBe('TRELLIS_VERIFY_SIGNATURE');
    expect(state.size).toBe(0);
  });

  it('used by another key than the one it is for', () => {
    const { state, delegation } = setUp();
    const kid = take(state, delegation());
    expect(find(state, SigningKey.generate('server'), kid)).toBe('TRELLIS_VERIFY_DELEGATION');
    expect(find(state, a, kid)).toBe('TRELLIS_VERIFY_DELEGATION');
  });

  it('altered in any byte', () => {
    const { state, delegation } = setUp();
    const text = delegation();
    fc.assert(
      fc.property(fc.nat(text.length - 1), fc.integer({ min: 1, max: 127 }), (at, change) => {
        const altered = text.slice(0, at) + String.fromCharCode(text.charCodeAt(at) ^ change) + text.slice(at + 1);
        return 'ok' in state.takeDelegation(altered);
      }),
      { numRuns: 500 },
    );
    expect(state.size).toBe(0);
  });

  it('any text at all, as any of the three: never thrown, never taken', () => {
    const { state } = setUp();
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes).toString('utf16le')),
        fc.string(),
        (text, parent) => {
          expect(state.takeDelegation(text, parent)).toMatchObject({ ok: false });
          expect(state.takeIssuerSet(text)).toMatchObject({ ok: false });
          expect(state.takeRevocation(text)).toMatchObject({ ok: false });
          expect(state.find(text, parent)).toMatchObject({ ok: false });
        },
      ),
      { numRuns: 200 },
    );
  });

  it('expired after they were taken, also when the clock is set back', () => {
    const { state, delegation, clock } = setUp();
    const kid = take(state, delegation());
    clock.pass(HOUR_MS + SKEW_MS);
    expect(find(state, host, kid)).toBe('counts');
    clock.pass(1);
    expect(find(state, host, kid)).toBe('TRELLIS_VERIFY_DELEGATION_EXPIRED');
    clock.setBy(-HOUR_MS);
    expect(find(state, host, kid)).toBe('TRELLIS_VERIFY_DELEGATION_EXPIRED');
  });
});

describe('providers below hosts', () => {
  it.each<[string, Partial<DelegationClaims>]>([
    ['speaks for more', { org: 'caller,other' }],
    ['speaks for all', { org: '*' }],
    ['answers for more', { tgt: 'caller,echo' }],
    ['answers for all', { tgt: '*' }],
  ])('TRELLIS_VERIFY_SCOPE when the child %s', (_, changes) => {
    const { state, delegation, child } = setUp();
    const parent = delegation();
    expect(take(state, child(parent, changes), parent)).toBe('TRELLIS_VERIFY_SCOPE');
  });

  it('no child outlives, precedes or is older than its parent', () => {
    const { state, delegation, child, startMs } = setUp();
    const parent = delegation();
    for (const changes of [{ exp: startMs + HOUR_MS + 1 }, { nbf: startMs - 1 }, { iat: startMs - 1 }]) {
      expect(take(state, child(parent, changes), parent)).toBe('TRELLIS_VERIFY_DELEGATION');
    }
  });

  it('no child of another host, none without its parent, none below a provider', () => {
    const { state, delegation, child, claims } = setUp();
    const parent = delegation();
    const other = SigningKey.generate('server');
    expect(take(state, child(parent), delegation())).toBe('TRELLIS_VERIFY_DELEGATION');
    expect(take(state, child(parent, {}, other), parent)).toBe('TRELLIS_VERIFY_DELEGATION');
    const first = child(parent);
    expect(take(state, first, parent)).toHaveLength(43);
    const grandchild = claims({
      iss: provider.publicKey,
      sub: SigningKey.generate('service').publicKey,
      org: '',
      tgt: '',
      par: delegationThumbprint(first),
    });
    expect(take(state, sealClaims(provider, writeDelegationClaims(grandchild), 'dlg2s'), first)).toBe(
      'TRELLIS_VERIFY_DELEGATION',
    );
  });

  it('at most 64 live ones, and new ones when they have expired', () => {
    const { state, delegation, child, clock, startMs } = setUp();
    const parent = delegation();
    for (let n = 0; n < MAX_SUB_DELEGATIONS; n++) {
      expect(take(state, child(parent, { exp: startMs + 60_000 }), parent)).toHaveLength(43);
    }
    expect(take(state, child(parent), parent)).toBe('TRELLIS_VERIFY_DELEGATION_BUSY');
    clock.pass(60_000 + SKEW_MS + 1);
    expect(take(state, child(parent), parent)).toHaveLength(43);
    expect(state.size).toBe(2);
  });
});

describe('revocations', () => {
  it('of a host reaches its providers, at once, and not what is minted afterwards', () => {
    const { state, delegation, child, revocation, clock, startMs } = setUp();
    const parent = delegation();
    const [hostKid, providerKid] = [take(state, parent), take(state, child(parent), parent)];
    let told = 0;
    state.onChange(() => told++);
    expect(state.takeRevocation(revocation(host.publicKey))).toBe('taken');
    expect(state.takeRevocation(revocation(host.publicKey))).toBe('known');
    expect(told).toBe(1);
    expect(find(state, host, hostKid)).toBe('TRELLIS_VERIFY_REVOKED');
    expect(find(state, provider, providerKid)).toBe('TRELLIS_VERIFY_REVOKED');
    expect(take(state, parent)).toBe('TRELLIS_VERIFY_REVOKED');
    expect(take(state, delegation())).toBe('TRELLIS_VERIFY_REVOKED');
    clock.pass(1);
    const renewed = delegation({ iat: startMs + 1, nbf: startMs + 1 });
    expect(find(state, host, take(state, renewed))).toBe('counts');
  });

  it('of one delegation or one provider leaves the others alone', () => {
    const { state, delegation, child, revocation } = setUp();
    const parent = delegation();
    const [one, two] = [take(state, parent), take(state, delegation())];
    const providerKid = take(state, child(parent), parent);
    expect(state.takeRevocation(revocation(provider.publicKey))).toBe('taken');
    expect([find(state, provider, providerKid), find(state, host, one)]).toEqual(['TRELLIS_VERIFY_REVOKED', 'counts']);
    expect(state.takeRevocation(revocation(one))).toBe('taken');
    expect([find(state, host, one), find(state, host, two)]).toEqual(['TRELLIS_VERIFY_REVOKED', 'counts']);
  });

  it('are not taken from strangers, for other lattices, or unsigned', () => {
    const { state, revocation, startMs } = setUp();
    expect(codeOf(state.takeRevocation(revocation(host.publicKey, startMs, b)))).toBe('TRELLIS_VERIFY_ISSUER');
    const elsewhere = { v: 2, iat: startMs, lat: 'other', iss: a.publicKey, sub: host.publicKey, frm: startMs } as const;
    expect(codeOf(state.takeRevocation(signRevocation(a, elsewhere)))).toBe('TRELLIS_VERIFY_LATTICE');
    const text = revocation(host.publicKey);
    const unsigned = `${text.slice(0, text.lastIndexOf('.'))}.${Buffer.alloc(64).toString('base64url')}`;
    expect(codeOf(state.takeRevocation(unsigned))).toBe('TRELLIS_VERIFY_SIGNATURE');
  });

  it('outlive the rotation of their issuer and a restart, while a retired key cannot lock out newer delegations', () => {
    const { state, delegation, revocation, issuers, clock } = setUp();
    state.takeRevocation(revocation(host.publicKey));
    expect(state.takeIssuerSet(issuers(1, [b, a], a))).toBe('taken');
    const byB = delegation({ epc: 1 }, b);
    clock.pass(1_000);
    expect(state.takeIssuerSet(issuers(2, [b], b))).toBe('taken');
    const { issuerSets, revocations } = state.snapshot();
    const restarted = new TrustState({ lattice: LATTICE, issuers: [a.publicKey], time: new TrustedTime(clock), skewMs: SKEW_MS });
    expect(issuerSets.map((text) => restarted.takeIssuerSet(text))).toEqual(['taken', 'taken']);
    expect(revocations.map((text) => restarted.takeRevocation(text))).toEqual(['taken']);
    expect(take(restarted, byB)).toBe('TRELLIS_VERIFY_REVOKED');
    // The thief of the retired key revokes everything for ever.
    clock.pass(1_000);
    expect(restarted.takeRevocation(revocation(host.publicKey, Number.MAX_SAFE_INTEGER, a))).toBe('taken');
    const fresh = mintDelegation(b, {
      lattice: LATTICE,
      subject: host.publicKey,
      origins: '*',
      targets: '*',
      epoch: 2,
      nowMs: clock.wallMs(),
      lifetimeMs: HOUR_MS,
    });
    expect(find(restarted, host, take(restarted, fresh))).toBe('counts');
  });
});

describe('epochs', () => {
  it('go up only, and a removed issuer is refused at once with all it delegated', () => {
    const { state, delegation, child, issuers } = setUp();
    const parent = delegation();
    const [hostKid, providerKid] = [take(state, parent), take(state, child(parent), parent)];
    expect(state.takeIssuerSet(issuers(2, [b, a], a))).toBe('taken');
    expect([state.epoch, state.minEpoch, state.active]).toEqual([2, 0, b.publicKey]);
    expect(find(state, host, hostKid)).toBe('counts');
    for (const epoch of [1, 2]) expect(codeOf(state.takeIssuerSet(issuers(epoch, [a, c], a)))).toBe('TRELLIS_VERIFY_EPOCH');
    expect(state.takeIssuerSet(issuers(3, [b], a))).toBe('taken');
    expect(find(state, a, undefined)).toBe('TRELLIS_VERIFY_ISSUER');
    expect(find(state, host, hostKid)).toBe('TRELLIS_VERIFY_ISSUER');
    expect(find(state, provider, providerKid)).toBe('TRELLIS_VERIFY_ISSUER');
    expect(take(state, delegation())).toBe('TRELLIS_VERIFY_ISSUER');
    expect(find(state, b, undefined)).toBe('counts');
  });

  it('are signed by the set before: not by a stranger, a newcomer or a former member', () => {
    const { state, issuers } = setUp();
    expect(codeOf(state.takeIssuerSet(issuers(1, [b], b)))).toBe('TRELLIS_VERIFY_ISSUER');
    expect(state.takeIssuerSet(issuers(1, [b], a))).toBe('taken');
    expect(codeOf(state.takeIssuerSet(issuers(2, [a], a)))).toBe('TRELLIS_VERIFY_ISSUER');
    const good = issuers(2, [b, c], b);
    const unsigned = `${good.slice(0, good.lastIndexOf('.'))}.${Buffer.alloc(64).toString('base64url')}`;
    expect(codeOf(state.takeIssuerSet(unsigned))).toBe('TRELLIS_VERIFY_SIGNATURE');
    expect(state.takeIssuerSet(good)).toBe('taken');
    expect(state.takeIssuerSet(good)).toBe('known');
  });

  it('end the delegations minted before the least epoch that counts, which never goes down either', () => {
    const { state, delegation, issuers } = setUp();
    const kid = take(state, delegation());
    expect(state.takeIssuerSet(issuers(1, [a], a, { min: 1 }))).toBe('taken');
    expect(find(state, host, kid)).toBe('TRELLIS_VERIFY_EPOCH');
    expect(take(state, delegation())).toBe('TRELLIS_VERIFY_EPOCH');
    expect(find(state, host, take(state, delegation({ epc: 1 })))).toBe('counts');
    expect(codeOf(state.takeIssuerSet(issuers(2, [a], a, { min: 0 })))).toBe('TRELLIS_VERIFY_EPOCH');
  });

  it('made for another lattice are refused', () => {
    const { state, issuers } = setUp();
    expect(codeOf(state.takeIssuerSet(issuers(1, [a], a, { lat: 'other' })))).toBe('TRELLIS_VERIFY_LATTICE');
  });
});

describe('bounds', () => {
  it('a full cache refuses newcomers, keeps what is valid, and has room again for what takes the place of the dead', () => {
    const { state, delegation, revocation } = setUp({ maxDelegations: 3 });
    const kids = [1, 2, 3].map(() => take(state, delegation()));
    const checks = state.stats.checks;
    expect(take(state, delegation())).toBe('TRELLIS_VERIFY_DELEGATION_BUSY');
    expect(state.stats.checks).toBe(checks);
    expect(kids.map((kid) => find(state, host, kid))).toEqual(['counts', 'counts', 'counts']);
    state.takeRevocation(revocation(kids[1]!));
    expect(take(state, delegation())).toHaveLength(43);
    expect(kids.map((kid) => state.knows(kid))).toEqual([true, false, true]);
  });

  it('of one host no more than so many are remembered: the oldest has to be shown again, others lose nothing', () => {
    const { state, delegation } = setUp();
    const other = take(state, delegation({ sub: SigningKey.generate('server').publicKey }));
    const kids = Array.from({ length: MAX_PER_SUBJECT + 1 }, () => take(state, delegation()));
    expect(state.size).toBe(MAX_PER_SUBJECT + 1);
    expect([kids[0]!, kids[1]!, kids.at(-1)!, other].map((kid) => state.knows(kid))).toEqual([false, true, true, true]);
  });

  it('judging what one has signed oneself takes no room, however often', () => {
    const { state, delegation, child, revocation } = setUp({ maxDelegations: 2 });
    for (let n = 0; n < 5; n++) expect(state.judgeDelegation(delegation())).toBeUndefined();
    expect([state.size, state.stats.checks]).toEqual([0, 0]);
    const code = (text: string): string | undefined => state.judgeDelegation(text)?.code;
    expect(code(delegation({ lat: 'elsewhere' }))).toBe('TRELLIS_VERIFY_LATTICE');
    expect(code(delegation({}, b))).toBe('TRELLIS_VERIFY_ISSUER');
    expect([code(child(delegation())), code('nonsense')]).toEqual(Array(2).fill('TRELLIS_VERIFY_DELEGATION'));
    state.takeRevocation(revocation(host.publicKey));
    expect(code(delegation())).toBe('TRELLIS_VERIFY_REVOKED');
  });

  it('forged delegations in the name of an issuer buy 100 checks at once and 50 a second, and cost no honest newcomer its place', () => {
    const { state, claims, delegation, clock } = setUp();
    const forged = (): string => sealClaims(b, writeDelegationClaims(claims()), 'dlg2s');
    const codes = Array.from({ length: 150 }, () => take(state, forged()));
    expect(codes.filter((code) => code === 'TRELLIS_VERIFY_SIGNATURE')).toHaveLength(100);
    expect(codes.filter((code) => code === 'TRELLIS_VERIFY_DELEGATION_BUSY')).toHaveLength(50);
    expect(state.stats.checks).toBe(100);
    expect(take(state, delegation())).toBe('TRELLIS_VERIFY_DELEGATION_BUSY');
    clock.pass(1_000);
    for (let n = 0; n < 200; n++) expect(take(state, delegation())).toHaveLength(43);
    Array.from({ length: 150 }, () => take(state, forged()));
    expect(state.stats.checks).toBe(100 + 200 + 50);
    // A member that renews its own is no stranger to itself; a bad one is refused all the same.
    expect(take(state, delegation())).toBe('TRELLIS_VERIFY_DELEGATION_BUSY');
    expect(state.takeOwnDelegation(delegation())).toMatchObject({ kid: expect.any(String) as string });
    expect(state.takeOwnDelegation(forged())).toMatchObject({ code: 'TRELLIS_VERIFY_SIGNATURE' });
  });

  it('forged delegations keep no member from renewing its own', async () => {
    const { state, claims, delegation, clock } = setUp();
    const source = { obtain: () => Promise.resolve(delegation()) };
    const keeper = await DelegationKeeper.start({ key: host, source, state, clock, log: silentLogger() });
    for (let n = 0; n < 100; n++) take(state, sealClaims(b, writeDelegationClaims(claims()), 'dlg2s'));
    expect(take(state, delegation())).toBe('TRELLIS_VERIFY_DELEGATION_BUSY');
    const before = keeper.held.kid;
    await keeper.renew();
    keeper.close();
    expect(keeper.held.kid).not.toBe(before);
    expect(find(state, host, keeper.held.kid)).toBe('counts');
  });

  it('finding costs no cryptography', () => {
    const { state, delegation } = setUp();
    const kid = take(state, delegation());
    const { checks } = state.stats;
    for (let n = 0; n < 100; n++) find(state, host, kid);
    expect(state.stats.checks).toBe(checks);
  });
});

describe('staleness', () => {
  it('fails closed when the store was not seen for too long, also before it was first seen', () => {
    const { state, delegation, clock } = setUp();
    const kid = take(state, delegation());
    const now = (): string[] => [find(state, host, kid), find(state, a, undefined)];
    expect(now()).toEqual(['counts', 'counts']);
    state.requireFresh(60_000);
    expect(now()).toEqual(['TRELLIS_VERIFY_STALE', 'TRELLIS_VERIFY_STALE']);
    state.markFresh();
    clock.pass(60_000);
    expect(now()).toEqual(['counts', 'counts']);
    clock.pass(1);
    expect(now()).toEqual(['TRELLIS_VERIFY_STALE', 'TRELLIS_VERIFY_STALE']);
    clock.setBy(-60_000);
    expect(now()).toEqual(['TRELLIS_VERIFY_STALE', 'TRELLIS_VERIFY_STALE']);
    state.markFresh(clock.wallMs() + 10 * HOUR_MS);
    clock.pass(120_001);
    expect(now()).toEqual(['TRELLIS_VERIFY_STALE', 'TRELLIS_VERIFY_STALE']);
  });
});

it('what is signed for one purpose serves no other', () => {
  const { state, delegation, issuers, revocation } = setUp();
  const texts = [delegation(), issuers(1, [a, b], a), revocation(host.publicKey)];
  expect(state.takeIssuerSet(texts[0]!)).toMatchObject({ ok: false });
  expect(state.takeIssuerSet(texts[2]!)).toMatchObject({ ok: false });
  expect(state.takeRevocation(texts[0]!)).toMatchObject({ ok: false });
  expect(state.takeRevocation(texts[1]!)).toMatchObject({ ok: false });
  expect(openDelegation(texts[1]!)).toBeUndefined();
  expect(state.epoch).toBe(0);
});
