import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decideDelegation, type AllowEntry } from '../../../src/trust/allow-list.ts';
import { openDelegationRequest, signDelegationRequest, type RequestSigners } from '../../../src/trust/delegation-request.ts';
import { SigningKey } from '../../../src/trust/nkey.ts';
import { commonScope, isScope, scopeOf } from '../../../src/trust/scope.ts';

const host = SigningKey.generate('server');
const user = SigningKey.generate('user');
const wish = { iat: 1_800_000_000_000, lat: 'default', org: 'echo,hello', tgt: '*' };
const sign = (by: RequestSigners = { host, user }): string => signDelegationRequest(by, wish);

describe('a delegation request', () => {
  it('is read back with what was asked', () => {
    expect(openDelegationRequest(sign())).toMatchObject({ ...wish, sub: host.publicKey, usr: user.publicKey });
    const alone = openDelegationRequest(signDelegationRequest({ host, user: undefined }, wish));
    expect(alone).toMatchObject({ ...wish, sub: host.publicKey });
    expect(alone).not.toHaveProperty('usr');
  });

  it('is refused after any change of one character', () => {
    const text = sign();
    fc.assert(
      fc.property(fc.nat(text.length - 1), fc.constantFrom(...'AZaz09_-.=+ \n'), (at, character) => {
        fc.pre(text[at] !== character);
        expect(openDelegationRequest(text.slice(0, at) + character + text.slice(at + 1))).toBeUndefined();
      }),
      { numRuns: 2_000 },
    );
  });

  it('takes no text that is not one, and never throws', () => {
    fc.assert(fc.property(fc.string({ maxLength: 400 }), (text) => openDelegationRequest(text) === undefined));
    fc.assert(
      fc.property(fc.base64String(), fc.base64String(), (a, b) => openDelegationRequest(`dlr2s.${a}.${b}`) === undefined),
    );
  });

  it('needs both signatures, each of its own kind of key', () => {
    const other = SigningKey.generate('user');
    // The user's name with somebody else's signature.
    expect(
      openDelegationRequest(
        signDelegationRequest({ host, user: { publicKey: user.publicKey, sign: (data) => other.sign(data) } }, wish),
      ),
    ).toBeUndefined();
    // A module key cannot pose as a host.
    expect(openDelegationRequest(sign({ host: SigningKey.generate('module'), user }))).toBeUndefined();
    expect(openDelegationRequest(sign({ host, user: SigningKey.generate('server') }))).toBeUndefined();
    // The user's proof taken away.
    const [header, claims, proof] = sign().split('.') as [string, string, string];
    const half = Buffer.from(proof, 'base64url').subarray(0, 64).toString('base64url');
    expect(openDelegationRequest(`${header}.${claims}.${half}`)).toBeUndefined();
  });
});

describe('the allow-list', () => {
  const request = openDelegationRequest(sign())!;
  const entry = (more: Partial<AllowEntry>): AllowEntry => ({ origins: '*', targets: '*', lifetimeMs: 60_000, ...more });

  it('gives the part that was wanted of what is allowed', () => {
    const list = [entry({ user: user.publicKey, origins: 'echo,zoo', targets: 'hello', lifetimeMs: 5 })];
    expect(decideDelegation(list, request)).toEqual({ ok: true, org: 'echo', tgt: 'hello', lifetimeMs: 5 });
  });

  it('wants every key that an entry names', () => {
    const other = SigningKey.generate('user').publicKey;
    expect(decideDelegation([], request)).toEqual({ ok: false, reason: 'not-allowed' });
    expect(decideDelegation([entry({})], request)).toEqual({ ok: false, reason: 'not-allowed' });
    expect(decideDelegation([entry({ host: host.publicKey, user: other })], request)).toEqual({
      ok: false,
      reason: 'not-allowed',
    });
    expect(decideDelegation([entry({ host: host.publicKey })], request)).toMatchObject({ ok: true, org: 'echo,hello', tgt: '*' });
  });

  it('refuses what has nothing in common with what is allowed', () => {
    const list = [entry({ host: host.publicKey, origins: 'zoo', targets: '' })];
    expect(decideDelegation(list, request)).toEqual({ ok: false, reason: 'scope' });
  });
});

describe('a scope', () => {
  const ids = fc.uniqueArray(fc.stringMatching(/^[A-Za-z0-9_-]{1,8}$/), { maxLength: 6 });

  it('has one spelling', () => {
    expect(['*', '', 'a', 'a,b'].every(isScope)).toBe(true);
    expect(['b,a', 'a,a', 'a,', ',a', 'a b', '*,a', 'ä'].some(isScope)).toBe(false);
    fc.assert(fc.property(ids, (list) => isScope(scopeOf(list))));
  });

  it('has in common with another what stands in both', () => {
    fc.assert(
      fc.property(ids, ids, (a, b) => {
        const common = commonScope(scopeOf(a), scopeOf(b));
        expect(common).toBe(scopeOf(a.filter((id) => b.includes(id))));
        expect(commonScope('*', scopeOf(a))).toBe(scopeOf(a));
        expect(commonScope(scopeOf(a), '*')).toBe(scopeOf(a));
      }),
    );
  });
});
