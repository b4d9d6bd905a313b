import { readFileSync } from 'node:fs';
import { type Authenticator, connect, credsAuthenticator, type NatsConnection } from 'nats';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { userClaims } from '../../../src/auth/claims.ts';
import type { Unsigned, UserClaims } from '../../../src/auth/claims-shape.ts';
import { credsText } from '../../../src/auth/creds-text.ts';
import { signNatsJwt } from '../../../src/auth/nats-jwt.ts';
import { scopedKeyOf } from '../../../src/auth/roles.ts';
import { serverConfig } from '../../../src/auth/server-config.ts';
import { SigningKey } from '../../../src/trust/nkey.ts';
import { type AuthLattice, credsOf, makeAuthLattice, may } from '../../support/auth-lattice.ts';
import { startServer } from '../../support/nats-server.ts';

const REFUSED = /Authorization Violation/;
const EVERYTHING = { publish: { allow: ['>'] }, subscribe: { allow: ['>'] } };

let lattice: AuthLattice;
let url: string;
beforeAll(async () => {
  lattice = await makeAuthLattice();
  await lattice.addTenant('acme', { lattice: 'lab' });
  await lattice.addTenant('other', { lattice: 'lab' });
  url = (await lattice.server()).url;
});
afterAll(() => lattice[Symbol.asyncDispose]());

const thief = SigningKey.generate('user');
const claimsFor = (account: string, more: Partial<Parameters<typeof userClaims>[0]> = {}): Unsigned<UserClaims> =>
  userClaims({
    user: thief.publicKey,
    name: 'thief',
    issuerAccount: lattice.store.account(account).sub,
    nowMs: Date.now(),
    ...more,
  });
const stolen = (account: string, role: string): SigningKey =>
  lattice.store.keys.read(scopedKeyOf(lattice.store.account(account), role)!.key);
/** Logs in with what the thief signed itself. */
function logIn(claims: Unsigned<UserClaims>, key: SigningKey): Promise<NatsConnection> {
  const authenticator: Authenticator = credsAuthenticator(Buffer.from(credsText(signNatsJwt(claims, key), thief).reveal()));
  return connect({ servers: url, authenticator, reconnect: false });
}

describe('whoever has stolen a scoped key', () => {
  it('cannot write rights into the users it makes', async () => {
    await expect(logIn(claimsFor('acme-rpc', { rights: EVERYTHING }), stolen('acme-rpc', 'host-rpc'))).rejects.toThrow(REFUSED);
  });

  it.each([{ name: '>' }, { name: '*' }, { tags: ['lattice:>', 'lattice:*', 'trellis-lattice:>'] }])(
    'makes users of that kind and widens nothing by %j',
    async (more) => {
      await using nc = await logIn(claimsFor('acme-rpc', more), stolen('acme-rpc', 'host-rpc'));
      expect(await may(nc, 'subscribe', 'lab.any.wrpc.>')).toBe(true);
      for (const subject of ['>', 'lab.>', 'other.any.wrpc.>', '_INBOX_RPC.lab.>', 'wasmbus.ctl.v1.lab.>']) {
        expect([subject, await may(nc, 'subscribe', subject)]).toEqual([subject, false]);
      }
    },
  );

  it('makes none in another account, nor of another kind', async () => {
    await expect(logIn(claimsFor('other-rpc'), stolen('acme-rpc', 'host-rpc'))).rejects.toThrow(REFUSED);
    await expect(logIn(claimsFor('acme-ctl'), stolen('acme-rpc', 'host-rpc'))).rejects.toThrow(REFUSED);
    await using nc = await logIn(claimsFor('acme-ctl'), stolen('acme-ctl', 'caller-ctl'));
    expect(await may(nc, 'publish', 'wasmbus.ctl.v1.lab.host.stop.H')).toBe(false);
  });

  it('cannot make a user whose JWT alone is a login', async () => {
    const claims = claimsFor('acme-rpc');
    const bearer = { ...claims, nats: { ...claims.nats, bearer_token: true } };
    const jwt = signNatsJwt(bearer, stolen('acme-rpc', 'host-rpc'));
    await expect(connect({ servers: url, authenticator: () => ({ jwt }), reconnect: false })).rejects.toThrow(REFUSED);
  });
});

describe('whoever has stolen an identity key alone', () => {
  it('of an account, makes no user in it', async () => {
    const { sub } = lattice.store.account('acme-rpc');
    const key = lattice.store.keys.read(sub);
    await expect(logIn(claimsFor('acme-rpc', { rights: EVERYTHING }), key)).rejects.toThrow(REFUSED);
  });

  it('of the operator, makes no account', async () => {
    const { store } = lattice;
    const member = await lattice.addMember('host', 'victim');
    const account = store.account('acme-rpc');
    const forged = signNatsJwt(account, store.keys.read(store.operator().sub));
    const text = serverConfig(store, { resolver: { kind: 'memory' }, listen: '127.0.0.1:-1' })
      .replace(/^listen:.*$/m, '')
      .replace(store.accountJwt('acme-rpc'), forged);
    await using server = await startServer({ jetstream: true, configText: text });
    const logInAs = (partition: 'ctl' | 'rpc'): Promise<NatsConnection> =>
      connect({
        servers: server.url,
        authenticator: credsAuthenticator(readFileSync(credsOf(member, partition))),
        reconnect: false,
      });
    await expect(logInAs('rpc')).rejects.toThrow(REFUSED);
    await (await logInAs('ctl')).close();
  });
});
