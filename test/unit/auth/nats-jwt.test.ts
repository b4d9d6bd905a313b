import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { accountClaims, activationClaims, operatorClaims, scopedKey, userClaims } from '../../../src/auth/claims.ts';
import type { NatsClaims, Unsigned } from '../../../src/auth/claims-shape.ts';
import { readNatsJwt, signNatsJwt } from '../../../src/auth/nats-jwt.ts';
import { encodeBase32 } from '../../../src/trust/base32.ts';
import { SigningKey } from '../../../src/trust/nkey.ts';

const nowMs = 1_795_680_823_500;
const operator = SigningKey.generate('operator');
const account = SigningKey.generate('account');
const signer = SigningKey.generate('account');
const user = SigningKey.generate('user');
const rights = { publish: { allow: ['lab.>'] }, subscribe: { allow: ['_INBOX_RPC.lab.{{subject()}}.>'] } };
const ofUser = userClaims({ user: user.publicKey, name: 'a', issuerAccount: account.publicKey, nowMs });
const ofAccount = accountClaims({
  account: account.publicKey,
  name: 'acme-rpc',
  jetstream: false,
  signingKeys: [scopedKey(signer.publicKey, 'rpc-host', rights)],
  nowMs,
});
const ofOperator = operatorClaims({
  operator: operator.publicKey,
  name: 'lab',
  signingKeys: [],
  systemAccount: account.publicKey,
  nowMs,
});
const ofActivation = activationClaims({
  importer: account.publicKey,
  exporter: signer.publicKey,
  name: 'greeting',
  subject: 'share.>',
  kind: 'service',
  nowMs,
});

/** A JWT with these texts as header and claims, rightly signed. */
function forge(body: string | Uint8Array, key: SigningKey, header = '{"typ":"JWT","alg":"ed25519-nkey"}'): string {
  const text = `${Buffer.from(header).toString('base64url')}.${Buffer.from(body).toString('base64url')}`;
  return `${text}.${key.sign(Buffer.from(text)).toString('base64url')}`;
}
const userBody = (changes: object = {}): Record<string, unknown> => ({ ...ofUser, iss: signer.publicKey, ...changes });
const reasonOf = (text: string): string => {
  const read = readNatsJwt(text);
  return read.ok ? 'is read' : read.reason;
};

describe('signNatsJwt', () => {
  it.each<[string, Unsigned<NatsClaims>, SigningKey]>([
    ['operator', ofOperator, operator],
    ['account', ofAccount, operator],
    ['user', ofUser, signer],
    ['activation', ofActivation, signer],
  ])('signs claims of kind %s so that they are read back', (kind, claims, key) => {
    const read = readNatsJwt(signNatsJwt(claims, key), kind as 'user');
    expect(read).toMatchObject({ ok: true, kind, claims: { ...claims, iss: key.publicKey } });
  });

  it('writes outer claims and digest as nsc does', () => {
    const jwt = signNatsJwt({ ...ofUser, name: 'a>b', exp: 1_795_690_000 }, signer);
    const body = Buffer.from(jwt.split('.')[1]!, 'base64url').toString();
    const outer = `"exp":1795690000,ID"iat":1795680823,"iss":"${signer.publicKey}","name":"a\\u003eb","sub":"${user.publicKey}"`;
    const digest = createHash('sha512-256')
      .update(`{${outer.replace('ID', '')}}`)
      .digest();
    expect(body).toBe(`{${outer.replace('ID', `"jti":"${encodeBase32(digest)}",`)},"nats":${JSON.stringify(ofUser.nats)}}`);
  });

  it.each<[string, Unsigned<NatsClaims>, SigningKey, string]>([
    ['a user by an operator', ofUser, operator, 'is not signed by an account'],
    ['an operator by an account', ofOperator, account, 'is not signed by an operator'],
    ['a user about an account', { ...ofUser, sub: account.publicKey }, account, 'is not about the public key of a user'],
    ['a user with half a second', { ...ofUser, iat: 1.5 }, account, 'has a wrong value at iat'],
  ])('refuses to sign %s', (_, claims, key, reason) => {
    expect(() => signNatsJwt(claims, key)).toThrow(reason);
  });
});

describe('readNatsJwt', () => {
  it('reads what other tools write: other order of the header, plain > in JSON, fields it does not know', () => {
    const body = JSON.stringify(userBody({ nats: { ...ofUser.nats, pub: { allow: ['a.>'] }, proxy_required: true } }));
    const read = readNatsJwt(forge(body, signer, '{"alg":"ed25519-nkey","typ":"jwt"}'), 'user');
    expect(read).toMatchObject({ ok: true, claims: { nats: { pub: { allow: ['a.>'] }, proxy_required: true } } });
  });

  it.each<[string, string, string]>([
    ['nothing', '', 'does not have three parts'],
    ['a fourth part', `${signNatsJwt(ofUser, signer)}.`, 'does not have three parts'],
    ['padding', `${signNatsJwt(ofUser, signer)}=`, 'does not end in a signature'],
    ['no signature', forge(JSON.stringify(userBody()), signer).replace(/\.[^.]*$/, '.'), 'does not end in a signature'],
    ['another algorithm', forge('{}', signer, '{"typ":"JWT","alg":"none"}'), 'is no NATS JWT of version 2 (ed25519-nkey)'],
    [
      'the algorithm of version 1',
      forge('{}', signer, '{"typ":"jwt","alg":"ed25519"}'),
      'is no NATS JWT of version 2 (ed25519-nkey)',
    ],
    [
      'a header with more in it',
      forge('{}', signer, '{"typ":"JWT","alg":"ed25519-nkey","kid":"x"}'),
      'is no NATS JWT of version 2 (ed25519-nkey)',
    ],
    [
      'a repeated name',
      forge(JSON.stringify(userBody()).replace('{', '{"iat":1,'), signer),
      'holds claims that are not compact JSON, or repeat a name',
    ],
    [
      'blanks',
      forge(JSON.stringify(userBody(), undefined, 1), signer),
      'holds claims that are not compact JSON, or repeat a name',
    ],
    [
      'half a character',
      forge(Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]), signer),
      'holds claims that are not compact JSON, or repeat a name',
    ],
    [
      'a number that is not kept exactly',
      forge(JSON.stringify(userBody()).replace('"iat":1795680823', '"iat":9223372036854775807'), signer),
      'holds claims that are not compact JSON, or repeat a name',
    ],
    ['null', forge('null', signer), 'does not say what it is for, or is of version 1'],
    ['a list', forge('[]', signer), 'does not say what it is for, or is of version 1'],
    [
      'a kind nobody knows',
      forge(JSON.stringify(userBody({ nats: { type: 'toString', version: 2 } })), signer),
      'does not say what it is for, or is of version 1',
    ],
    [
      'version 1',
      forge(JSON.stringify(userBody({ nats: { type: 'user', version: 1 } })), signer),
      'does not say what it is for, or is of version 1',
    ],
    [
      'a text for a list',
      forge(JSON.stringify(userBody({ nats: { ...ofUser.nats, pub: { allow: '>' } } })), signer),
      'has a wrong value at nats.pub.allow',
    ],
    [
      'a subject that is no user',
      forge(JSON.stringify(userBody({ sub: signer.publicKey })), signer),
      'is not about the public key of a user',
    ],
    [
      'an issuer that is no account',
      forge(JSON.stringify(userBody({ iss: operator.publicKey })), operator),
      'is not signed by an account',
    ],
    ['another signer than it names', forge(JSON.stringify(userBody()), account), 'is not signed by the issuer it names'],
    ['more than a megabyte', 'x'.repeat(1024 * 1024 + 1), 'has 1048577 characters, at most 1048576 are read'],
  ])('refuses %s', (_, text, reason) => {
    expect(reasonOf(text)).toBe(reason);
  });

  it('refuses another kind than is wanted', () => {
    expect(readNatsJwt(signNatsJwt(ofUser, signer), 'account')).toEqual({
      ok: false,
      reason: 'is one of user, and one of account is needed',
    });
  });

  it('never throws, whatever comes', () => {
    const part = fc.oneof(
      fc.string(),
      fc.json().map((text) => Buffer.from(text).toString('base64url')),
      fc.base64String(),
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.tuple(part, part, part).map((parts) => parts.join('.')),
          fc.anything(),
        ),
        (text) => {
          expect(readNatsJwt(text as string).ok).toBe(false);
        },
      ),
    );
    fc.assert(
      fc.property(fc.json(), (nats) => {
        const body = `{"iat":1,"iss":"${signer.publicKey}","sub":"${user.publicKey}","nats":${nats}}`;
        expect(readNatsJwt(forge(body, signer)).ok).toBe(false);
      }),
    );
  });

  it('notices each changed character', () => {
    const jwt = signNatsJwt(ofAccount, operator);
    fc.assert(
      fc.property(fc.nat(jwt.length - 1), fc.constantFrom(...'AaZz09-_.'), (at, letter) => {
        fc.pre(jwt[at] !== letter);
        expect(readNatsJwt(jwt.slice(0, at) + letter + jwt.slice(at + 1)).ok).toBe(false);
      }),
    );
  });

  it('reads back what it signed, whatever names and subjects are', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', minLength: 1 }), fc.array(fc.string({ minLength: 1 })), (name, allow) => {
        const claims = { ...ofUser, name, nats: { ...ofUser.nats, pub: { allow } } };
        expect(readNatsJwt(signNatsJwt(claims, signer))).toMatchObject({ ok: true, claims });
      }),
    );
  });
});
