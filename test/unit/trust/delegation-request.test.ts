import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decideDelegation, type AllowEntry } from '../../../src/trust/allow-list.ts';
import { openDelegationRequest, signDelegationRequest, type RequestSigners } from '../../../src/trust/delegation-request.ts';
import { SigningKey } from '../../../src/trust/nkey.ts';
import { commonScope, isScope, scopeOf } from '../../../src/trust/scope.ts';

const host = SigningKey.generate('server');
const user = SigningKey.generate('user');
const wish = { iat: 1_800_000_000_000, lat: 'default', org: 'echo,hello', tgt: '*' };
const sign = (by: RequestSigners = { holder: host, user }): string => signDelegationRequest(by, wish);

describe('a delegation request', () => {
  it('is read back with what was asked', () => {
    expect(openDelegationRequest(sign())).toMatchObject({ ...wish, sub: host.publicKey, usr: user.publicKey });
    const alone = openDelegationRequest(signDelegationRequest({ holder: host, user: undefined }, wish));
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
        signDelegationRequest({ holder: host, user: { publicKey: user.publicKey, sign: (data) => other.sign(data) } }, wish),
      ),
    ).toBeUndefined();
    // A module key cannot pose as a host.
    expect(openDelegationRequest(sign({ holder: SigningKey.generate('module'), user }))).toBeUndefined();
    expect(openDelegationRequest(sign({ holder: host, user: SigningKey.generate('server') }))).toBeUndefined();
    // The user's proof taken away.
    const [header, claims, proof] = sign().split('.') as [string, string, string];
    const half = Buffer.from(proof, 'base64url').subarray(0, 64).toString('base64url');
    expect(openDelegationRequest(`${header}.${claims}.${half}`)).toBeUndefined();
  });
});

describe('the text of a delegation request', () => {
  /** A request over any claims under any header, both signatures good. */
  const forge = (claims: string, header = 'dlr2s', label = 'dlr'): string => {
    const signedText = `${header}.${Buffer.from(claims).toString('base64url')}`;
    const length = Buffer.alloc(8);
    length.writeBigUInt64BE(BigInt(signedText.length));
    const digest = createHash('sha256').update(`wzt2\0${label}\0`).update(length).update(signedText).digest();
    return `${signedText}.${Buffer.concat([host.sign(digest), user.sign(digest)]).toString('base64url')}`;
  };
  const claims = Buffer.from(sign().split('.')[1]!, 'base64url').toString();

  it('is D("dlr", header and claims) under two signatures', () => {
    expect(claims).toMatch(
      /^\{"v":2,"jti":"[\w-]{22}","iat":1800000000000,"lat":"default","sub":"N[A-Z2-7]{55}","usr":"U[A-Z2-7]{55}","org":"echo,hello","tgt":"\*"\}$/,
    );
    expect(openDelegationRequest(forge(claims))).toMatchObject(wish);
    expect(openDelegationRequest(forge(claims, 'dlr2s', 'dlg'))).toBeUndefined();
  });

  it.each([
    ['another header', forge(claims, 'dlg2s')],
    ['no header', forge(claims, '')],
    ['a part more', `${forge(claims)}.AAAA`],
    ['a part less', forge(claims).slice(0, forge(claims).lastIndexOf('.'))],
    ['one part', 'dlr2s'],
    ['a third signature', forge(claims) + Buffer.alloc(64).toString('base64url')],
    ['more behind the claims', forge(`${claims} `)],
    ['a brace more', forge(`${claims}}`)],
    ['an id that is none', forge(claims.replace(/"jti":"[^"]*"/, '"jti":"x"'))],
    ['a lattice that is none', forge(claims.replace('default', 'a.b'))],
    ['a lattice that is too long', forge(claims.replace('default', 'x'.repeat(65)))],
    ['origins that are no scope', forge(claims.replace('echo,hello', 'hello,echo'))],
    ['targets that are no scope', forge(claims.replace('"tgt":"*"', '"tgt":"*,a"'))],
  ])('is nothing with %s', (_, text) => {
    expect(openDelegationRequest(text)).toBeUndefined();
  });

  it('by an operator is for commands alone, and signed by its own kind of key', () => {
    const operator = SigningKey.generate('user');
    const { org: _, tgt: __, ...common } = wish;
    const asks = (holder: SigningKey, more: Partial<typeof wish> & { ctl?: string }): string =>
      signDelegationRequest({ holder, user }, { ...common, org: '', tgt: '', ...more });
    const text = asks(operator, { ctl: 'component,link' });
    expect(openDelegationRequest(text)).toEqual({
      jti: expect.stringMatching(/^[\w-]{22}$/),
      ...common,
      sub: operator.publicKey,
      usr: user.publicKey,
      org: '',
      tgt: '',
      ctl: 'component,link',
    });
    for (const bad of [{}, { ctl: '' }, { ctl: 'link,component' }, { ctl: '*', org: 'echo' }, { ctl: '*', tgt: '*' }]) {
      expect(openDelegationRequest(asks(operator, bad)), JSON.stringify(bad)).toBeUndefined();
    }
    expect(openDelegationRequest(asks(host, { ctl: '*' }))).toBeUndefined();
  });

  it('has at most 8,192 characters', () => {
    const list = (count: number): string => Array.from({ length: count }, (_, n) => `c${String(n).padStart(5, '0')}`).join(',');
    const long = forge(claims.replace('echo,hello', list(790)));
    const longer = forge(claims.replace('echo,hello', list(880)));
    expect([long.length <= 8_192, longer.length > 8_192]).toEqual([true, true]);
    expect(openDelegationRequest(long)).toMatchObject({ org: list(790) });
    expect(openDelegationRequest(longer)).toBeUndefined();
  });
});

describe('the allow-list', () => {
  const request = openDelegationRequest(sign())!;
  const entry = (more: Partial<AllowEntry>): AllowEntry => ({ origins: '*', targets: '*', lifetimeMs: 60_000, ...more });

  it('gives the part that was wanted of what is allowed', () => {
    const list = [entry({ user: user.publicKey, origins: 'echo,zoo', targets: 'hello', lifetimeMs: 5 })];
    expect(decideDelegation(list, request)).toEqual({ ok: true, org: 'echo', tgt: 'hello', lifetimeMs: 5 });
  });

  it('gives commands to operators that it names, and to nobody else', () => {
    const operator = SigningKey.generate('user');
    const asked = openDelegationRequest(
      signDelegationRequest({ holder: operator, user }, { ...wish, org: '', tgt: '', ctl: 'component,link' }),
    )!;
    const give = (more: Partial<AllowEntry>) => decideDelegation([entry({ origins: '', targets: '', ...more })], asked);
    const own = { operator: operator.publicKey, commands: 'config,link', lifetimeMs: 7 };
    expect(give(own)).toEqual({ ok: true, org: '', tgt: '', ctl: 'link', lifetimeMs: 7 });
    expect(give({ ...own, commands: '*' })).toMatchObject({ ok: true, ctl: 'component,link' });
    expect(give({ ...own, user: user.publicKey })).toMatchObject({ ok: true });
    for (const other of [{ user: operator.publicKey }, { operator: user.publicKey }]) {
      expect(give({ ...own, ...other })).toEqual({ ok: false, reason: 'not-allowed' });
    }
    expect(give({ user: user.publicKey, origins: '*', targets: '*', commands: '*' })).toEqual({
      ok: false,
      reason: 'not-allowed',
    });
    for (const commands of ['config', '']) expect(give({ ...own, commands })).toEqual({ ok: false, reason: 'scope' });
    expect(give({ operator: operator.publicKey })).toEqual({ ok: false, reason: 'scope' });
    // And to no host what is an operator's.
    expect(decideDelegation([entry({ ...own, origins: '*' }), entry({ operator: host.publicKey })], request).ok).toBe(false);
    expect(decideDelegation([entry({ ...own, origins: '*', user: user.publicKey })], request)).toEqual({
      ok: false,
      reason: 'not-allowed',
    });
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

  it('gives what is left when only one half has something in common', () => {
    const only = (origins: string, targets: string) =>
      decideDelegation([entry({ host: host.publicKey, origins, targets })], request);
    expect(only('zoo', 'zoo')).toMatchObject({ ok: true, org: '', tgt: 'zoo' });
    expect(only('echo', '')).toMatchObject({ ok: true, org: 'echo', tgt: '' });
    const another = SigningKey.generate('server').publicKey;
    expect(decideDelegation([entry({ host: another, user: user.publicKey })], request).ok).toBe(false);
    expect(decideDelegation([entry({ host: another }), entry({ host: host.publicKey, lifetimeMs: 9 })], request)).toMatchObject({
      lifetimeMs: 9,
    });
  });

  it('refuses what has nothing in common with what is allowed', () => {
    const list = [entry({ host: host.publicKey, origins: 'zoo', targets: '' })];
    expect(decideDelegation(list, request)).toEqual({ ok: false, reason: 'scope' });
  });

  it('gives a delegation that names nobody to a host that wants none: one that waits for components of the lattice', () => {
    const none = { ...request, org: '', tgt: '' };
    expect(decideDelegation([entry({ host: host.publicKey, origins: 'zoo' })], none)).toMatchObject({
      ok: true,
      org: '',
      tgt: '',
    });
    expect(decideDelegation([], none)).toMatchObject({ ok: false });
  });
});

describe('a scope', () => {
  const ids = fc.uniqueArray(fc.stringMatching(/^[A-Za-z0-9_-]{1,8}$/), { maxLength: 6 });

  it('has one spelling', () => {
    expect(['*', '', 'a', 'a,b'].every(isScope)).toBe(true);
    expect(['b,a', 'a,a', 'a,', ',a', 'a b', '*,a', 'ä'].some(isScope)).toBe(false);
    fc.assert(fc.property(ids, (list) => isScope(scopeOf(list))));
  });

  it('is made of ids in any order, each once, and of everybody if he is among them', () => {
    expect(scopeOf(['b', 'a', 'b', 'B'])).toBe('B,a,b');
    expect(scopeOf([])).toBe('');
    expect(scopeOf(['a', '*'])).toBe('*');
    expect(commonScope('a,b,c', 'b,c,d')).toBe('b,c');
    expect(commonScope('', 'a')).toBe('');
    expect(commonScope('', '')).toBe('');
    expect(commonScope('*', '*')).toBe('*');
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
