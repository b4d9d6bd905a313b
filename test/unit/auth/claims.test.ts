import { describe, expect, it } from 'vitest';
import { accountClaims, accountLimits, activationClaims, scopedKey, userClaims, userTemplate } from '../../../src/auth/claims.ts';
import { SigningKey } from '../../../src/trust/nkey.ts';

const account = SigningKey.generate('account').publicKey;
const user = SigningKey.generate('user').publicKey;
const nowMs = 1_795_680_823_999;

describe('account claims', () => {
  it('write every limit out, since one left out is none at all, and turn JetStream on only when asked', () => {
    const common = { subs: -1, data: -1, payload: -1, imports: -1, exports: -1, wildcards: true, conn: -1, leaf: -1 };
    expect(accountLimits(false)).toEqual({ ...common, disallow_bearer: true });
    expect(accountLimits(true)).toMatchObject({ ...common, mem_storage: -1, disk_storage: -1, streams: -1, consumer: -1 });
  });

  it('leave empty lists out', () => {
    const { nats, iat } = accountClaims({ account, name: 'a', jetstream: false, signingKeys: [account], nowMs });
    expect(iat).toBe(1_795_680_823);
    expect(Object.keys(nats)).toEqual(['limits', 'signing_keys', 'default_permissions', 'type', 'version']);
  });
});

describe('a template', () => {
  it('writes durations in nanoseconds and limits as none', () => {
    const rights = { publish: { allow: ['a'] }, subscribe: { allow: ['b'], deny: ['c'] }, responses: { max: 16, ttlMs: 60_000 } };
    expect(userTemplate({ ...rights, connectionTypes: ['LEAFNODE'] })).toEqual({
      pub: { allow: ['a'] },
      sub: { allow: ['b'], deny: ['c'] },
      resp: { max: 16, ttl: 60_000_000_000 },
      subs: -1,
      data: -1,
      payload: -1,
      allowed_connection_types: ['LEAFNODE'],
    });
  });

  it('refuses everything to whoever may do nothing: an empty list would allow everything', () => {
    expect(userTemplate({ publish: { allow: [] }, subscribe: { allow: [] } })).toMatchObject({
      pub: { deny: ['>'] },
      sub: { deny: ['>'] },
    });
  });

  it.each([
    'lab.{{name()}}.>',
    '{{tag(lattice)}}.>',
    '{{account-tag(x)}}.a',
    '_INBOX_{{subject()}}.>',
    '{{subject()}}x.>',
    '{{ subject() }}.>',
  ])('holds no placeholder such as in %s, which its key holder could widen or no server fills in', (subject) => {
    for (const rights of [
      { publish: { allow: [subject] }, subscribe: { allow: [] } },
      { publish: { allow: [] }, subscribe: { allow: ['a'], deny: [subject] } },
    ]) {
      expect(() => scopedKey(account, 'role', rights)).toThrow('is not the whole token {{subject()}}');
    }
  });

  it('takes {{subject()}} as a whole token', () => {
    const rights = { publish: { allow: [] }, subscribe: { allow: ['_INBOX.{{subject()}}.>'] } };
    expect(scopedKey(account, 'role', rights).template.sub).toEqual({ allow: ['_INBOX.{{subject()}}.>'] });
  });
});

describe('user claims', () => {
  it('carry no rights for a scoped key, which servers would refuse', () => {
    const { nats, exp } = userClaims({ user, name: 'a', issuerAccount: account, nowMs });
    expect(nats).toEqual({ pub: {}, sub: {}, issuer_account: account, type: 'user', version: 2 });
    expect(exp).toBeUndefined();
  });

  it('end when they are told to, to the second', () => {
    expect(userClaims({ user, name: 'a', issuerAccount: account, nowMs, expiresMs: nowMs + 1_500 }).exp).toBe(1_795_680_825);
  });
});

describe('activation claims', () => {
  it('are between two accounts', () => {
    const of = { importer: account, exporter: account, name: 'n', subject: 's.>', kind: 'service', nowMs } as const;
    expect(activationClaims(of).nats).toEqual({
      subject: 's.>',
      kind: 'service',
      issuer_account: account,
      type: 'activation',
      version: 2,
    });
    expect(() => activationClaims({ ...of, importer: user })).toThrow('between two accounts');
    expect(() => activationClaims({ ...of, exporter: 'A' })).toThrow('between two accounts');
  });
});
