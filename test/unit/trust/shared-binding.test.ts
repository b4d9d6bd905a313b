import { describe, expect, it } from 'vitest';
import { mintDelegation } from '../../../src/trust/delegation.ts';
import { SigningKey } from '../../../src/trust/nkey.ts';
import { signRevocation } from '../../../src/trust/revocation.ts';
import { EVERYBODY } from '../../../src/trust/scope.ts';
import { TrustState } from '../../../src/trust/trust-state.ts';
import { TrustedTime } from '../../../src/trust/trusted-time.ts';
import { CALL, createTrustWorld, forge, LATTICE, ManualClock, messageOf, run, signCalls } from '../../support/trust.ts';

const OWN = SigningKey.generate('cluster').publicKey;
const THROUGH_IMPORT = '_R_.aBcDeF.gHiJkL';
const shared = () => createTrustWorld({ bind: 'shared', isOwnIssuer: (key) => key === OWN });

describe('tokens of calls between accounts', () => {
  it('name an issuer of the called lattice in place of the reply subject, which the server has changed', () => {
    const world = shared();
    const [call] = signCalls(world.signer, 1, { reply: OWN });
    expect(run(world, { ...call!.message, reply: THROUGH_IMPORT })).toBe('ran');
    expect(run(world, { ...call!.message, reply: THROUGH_IMPORT })).toBe('TRELLIS_VERIFY_REPLAYED');
  });

  it.each([
    ['the reply subject of a call within an account', CALL.reply],
    ['what the server put there', THROUGH_IMPORT],
    ['an issuer of another lattice', SigningKey.generate('cluster').publicKey],
  ])('are none if they name %s', (_, reply) => {
    const world = shared();
    const [call] = signCalls(world.signer, 1, { reply });
    expect(run(world, { ...call!.message, reply: THROUGH_IMPORT })).toBe('TRELLIS_VERIFY_BINDING');
  });

  it('name the subject that the called lattice knows them by', () => {
    const world = shared();
    const token = forge(world.key, world.clock, { rpl: OWN, sub: 'default.a-echo.wrpc.0.0.1.f' });
    expect(run(world, { ...messageOf(token), reply: THROUGH_IMPORT })).toBe('TRELLIS_VERIFY_BINDING');
  });

  it('pass no strict check, on whatever subject they come', () => {
    const world = createTrustWorld();
    for (const reply of [OWN, CALL.reply, THROUGH_IMPORT])
      expect(run(world, { ...messageOf(forge(world.key, world.clock, { rpl: OWN })), reply })).toBe(
        reply === OWN ? 'ran' : 'TRELLIS_VERIFY_BINDING',
      );
  });

  it('are judged by their times, lattice, target and payload like any other', () => {
    const world = shared();
    const verdict = (changes: Parameters<typeof forge>[2], params?: Uint8Array): string =>
      run(world, { ...messageOf(forge(world.key, world.clock, { rpl: OWN, ...changes }), params), reply: THROUGH_IMPORT });
    const nowMs = world.clock.wallMs();
    expect(verdict({})).toBe('ran');
    expect(verdict({ iat: nowMs - 60_000, exp: nowMs - 30_000 })).toBe('TRELLIS_VERIFY_EXPIRED');
    expect(verdict({ exp: nowMs + 90_000 })).toBe('TRELLIS_VERIFY_LIFETIME');
    expect(verdict({ iat: nowMs + 20_000, exp: nowMs + 30_000 })).toBe('TRELLIS_VERIFY_EARLY');
    expect(verdict({ lat: 'other' })).toBe('TRELLIS_VERIFY_LATTICE');
    expect(verdict({ tgt: 'other' })).toBe('TRELLIS_VERIFY_TARGET');
    expect(verdict({ ins: 'other:pkg/iface' })).toBe('TRELLIS_VERIFY_TARGET');
    expect(verdict({ fun: 'other' })).toBe('TRELLIS_VERIFY_TARGET');
    expect(verdict({ org: 'other' })).toBe('TRELLIS_VERIFY_HEADERS');
    expect(verdict({}, Buffer.from('parameters of the cull'))).toBe('TRELLIS_VERIFY_PAYLOAD');
    expect(verdict({ iss: OWN })).toBe('TRELLIS_VERIFY_ISSUER');
  });
});

describe('the trust in another lattice', () => {
  /** A state of this lattice, one of another under its issuer, and a delegation there. */
  function twoStates() {
    const clock = new ManualClock();
    const time = new TrustedTime(clock);
    const own = SigningKey.generate('cluster');
    const issuer = SigningKey.generate('cluster');
    const host = SigningKey.generate('server').publicKey;
    const state = new TrustState({ lattice: LATTICE, issuers: [own.publicKey], time, skewMs: 5_000 });
    const foreign = new TrustState({
      lattice: 'other',
      issuers: [issuer.publicKey],
      time,
      skewMs: 5_000,
      veto: (subject, kid, mintedMs) => state.vetoes(subject, kid, mintedMs),
    });
    const mint = (): string =>
      mintDelegation(issuer, {
        lattice: 'other',
        subject: host,
        origins: EVERYBODY,
        targets: EVERYBODY,
        epoch: 0,
        nowMs: clock.wallMs(),
        lifetimeMs: 3_600_000,
      });
    const taken = foreign.takeDelegation(mint());
    return { clock, own, issuer, host, state, foreign, mint, kid: 'kid' in taken ? taken.kid : '' };
  }
  const codeOf = (found: object): unknown => ('code' in found ? found.code : 'counts');

  it.each(['host', 'delegation'])('ends with a revocation of the %s by this lattice, for what was minted until then', (what) => {
    const { clock, own, host, state, foreign, mint, kid } = twoStates();
    expect(codeOf(foreign.find(host, kid))).toBe('counts');
    const iat = clock.wallMs();
    const sub = what === 'host' ? host : kid;
    expect(state.takeRevocation(signRevocation(own, { v: 2, iat, lat: LATTICE, iss: own.publicKey, sub, frm: iat }))).toBe(
      'taken',
    );
    expect(codeOf(foreign.find(host, kid))).toBe('TRELLIS_VERIFY_REVOKED');
    clock.pass(1_000);
    const later = foreign.takeDelegation(mint());
    expect(codeOf(foreign.find(host, 'kid' in later ? later.kid : ''))).toBe('counts');
  });

  it('rests while this lattice may have missed revocations', () => {
    const { clock, host, state, foreign, kid } = twoStates();
    state.markFresh();
    state.requireFresh(10_000);
    expect(codeOf(foreign.find(host, kid))).toBe('counts');
    clock.pass(10_001);
    expect(codeOf(foreign.find(host, kid))).toBe('TRELLIS_VERIFY_STALE');
  });

  it('never goes by an issuer that signs itself: nothing of it could be revoked here', () => {
    const { issuer, foreign } = twoStates();
    expect(codeOf(foreign.find(issuer.publicKey, undefined))).toBe('TRELLIS_VERIFY_DELEGATION');
  });

  it('knows the issuers of its own lattice, those of the past too, and no others', () => {
    const { own, issuer, state } = twoStates();
    expect(state.isOwnIssuer(own.publicKey)).toBe(true);
    expect(state.isOwnIssuer(issuer.publicKey)).toBe(false);
    expect(state.isOwnIssuer('')).toBe(false);
  });
});
