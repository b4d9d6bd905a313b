import { chmodSync, cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { describeStore } from '../../../src/auth/describe-store.ts';
import { addMember } from '../../../src/auth/members.ts';
import { readNatsJwt, signNatsJwt } from '../../../src/auth/nats-jwt.ts';
import { scopedKeyOf } from '../../../src/auth/roles.ts';
import { serverConfig } from '../../../src/auth/server-config.ts';
import { AuthStore } from '../../../src/auth/store.ts';
import { addTenant } from '../../../src/auth/tenant.ts';
import { login } from '../../support/auth-lattice.ts';
import { startServer } from '../../support/nats-server.ts';

/**
 * Stores recorded with nsc as of May 2026 (nats-io/jwt 2.8.1), keys made for them alone. `side-by-side`: `nsc -H DIR`, with an
 * operator that wants signing keys, limits, scoped and plain signing keys, exports, imports with an activation, mappings,
 * revocations, an expiry and a name with a blank. `data-home`: nsc without flags, two operators that sign with identity keys.
 */
const FIXTURES = fileURLToPath(new URL('../../fixtures/nsc-store', import.meta.url));
const RECORDED_MS = Date.parse('2026-11-26T09:00:00Z');

const root = mkdtempSync(join(tmpdir(), 'trellis-test-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

let copies = 0;
/** A copy with the modes nsc gives, which git does not keep. */
function copyOf(name: string): string {
  const dir = join(root, String(++copies));
  cpSync(join(FIXTURES, name), dir, { recursive: true });
  for (const entry of ['', ...readdirSync(dir, { recursive: true, encoding: 'utf8' })]) {
    const path = join(dir, entry);
    chmodSync(path, statSync(path).isDirectory() ? 0o700 : 0o600);
  }
  return dir;
}

describe('a store that nsc made', () => {
  it('is read whole: limits, keys, users, revocations, exports and imports', () => {
    const facts = describeStore(AuthStore.open(copyOf('side-by-side')), RECORDED_MS);
    expect(facts.operator).toMatchObject({ name: 'fixture', strictSigningKeys: true, identity: { inStore: true } });
    expect(facts.accounts.map(({ name, state, jetstream }) => [name, state, jetstream])).toEqual([
      ['SYS', 'valid', false],
      ['acme', 'valid', true],
      ['beta', 'valid', false],
    ]);
    const [, acme, beta] = facts.accounts;
    expect(acme!.users.map(({ name, state, role }) => [name, state, role])).toEqual([
      ['byhand', 'valid', undefined],
      ['revoked one', 'revoked', 'host'],
      ['web-1', 'valid', 'host'],
    ]);
    const later = describeStore(AuthStore.open(copyOf('side-by-side')), Date.parse('2026-12-01T00:00:00Z'));
    expect(later.accounts[1]!.users[0]).toMatchObject({ name: 'byhand', state: 'expired' });
    expect(acme).toMatchObject({
      exports: [{ type: 'service', subject: 'share.greeting.>', isPrivate: true }],
      roles: [{ role: 'host', users: 2, inStore: true }],
    });
    expect(beta).toMatchObject({
      imports: [{ type: 'service', subject: 'share.greeting.>', localSubject: 'greeting.>', from: acme!.publicKey }],
    });
  });

  it('in its data folder is read, once it is said which operator', () => {
    const dir = copyOf('data-home');
    expect(() => AuthStore.open(dir)).toThrow(/several operators: "plain", "second"/);
    const store = AuthStore.open(dir, { operator: 'plain' });
    expect(describeStore(store, RECORDED_MS)).toMatchObject({
      operator: { strictSigningKeys: false, signingKeys: [] },
      accounts: [{ name: 'team', state: 'valid', users: [{ name: 'one', state: 'valid' }] }],
    });
    expect(store.keys.list()).toHaveLength(4);
  });

  it('holds JWTs that are signed again to the very same bytes', () => {
    const dir = copyOf('side-by-side');
    const { keys } = AuthStore.open(dir);
    const jwts = readdirSync(dir, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.jwt'));
    expect(jwts.map((name) => basename(name)).sort()).toEqual([
      'SYS.jwt',
      'acme.jwt',
      'beta.jwt',
      'byhand.jwt',
      'fixture.jwt',
      'revoked one.jwt',
      'sys.jwt',
      'web-1.jwt',
    ]);
    const texts = jwts.map((name) => readFileSync(join(dir, name), 'utf8'));
    const beta = readNatsJwt(
      texts.find((_, i) => jwts[i]!.endsWith('beta.jwt'))!,
      'account',
    );
    texts.push(beta.ok ? beta.claims.nats.imports![0]!.token! : '');
    for (const text of texts) {
      const read = readNatsJwt(text);
      if (!read.ok) throw new Error(read.reason);
      expect(signNatsJwt(read.claims, keys.read(read.claims.iss))).toBe(text);
    }
  });

  it('is changed without losing what Trellis knows nothing of', async () => {
    const store = AuthStore.open(copyOf('side-by-side'));
    const before = store.account('beta').nats;
    await store.change(() => store.writeAccount(store.account('beta')));
    expect(store.account('beta').nats).toEqual(before);
    expect(before).toMatchObject({ mappings: { 'old.*': [{ subject: 'new.$1' }] }, authorization: {} });
  });

  it('takes a tenant and a host that log in, beside its own users', async () => {
    for (const { name, operator, account, user } of [
      { name: 'side-by-side', operator: 'fixture', account: 'acme', user: 'web-1' },
      { name: 'data-home', operator: 'plain', account: 'team', user: 'one' },
    ]) {
      const store = AuthStore.open(copyOf(name), { operator });
      const nowMs = Date.now();
      const host = await store.change(() => {
        addTenant(store, { name: 'shop', lattice: 'shop', nowMs });
        return addMember(store, { tenant: 'shop', kind: 'host', name: 'h1', nowMs });
      });
      expect(scopedKeyOf(store.account('shop-rpc'), 'host-rpc')!.template.pub!.allow).toContain('shop.*.wrpc.>');
      // A server needs a system account; the plain store has none, as nsc leaves it when not asked.
      if (operator === 'plain') {
        expect(() => serverConfig(store, { resolver: { kind: 'memory' }, listen: '127.0.0.1:-1' })).toThrow(/no system account/);
        const operatorClaims = store.operator();
        const nats = { ...operatorClaims.nats, system_account: store.account('team').sub };
        await store.change(() => store.writeOperator({ ...operatorClaims, nats }));
      }
      const text = serverConfig(store, { resolver: { kind: 'memory' }, listen: '127.0.0.1:-1' }).replace(/^listen:.*$/m, '');
      await using server = await startServer({ jetstream: true, configText: text });
      await using nc = await login(server.url, host, 'rpc');
      await nc.flush();
      const own = {
        ...host,
        users: [{ ...host.users[0]!, partition: 'ctl' as const, credsFile: store.credsFile(account, user) }],
      };
      await using theirs = await login(server.url, own, 'ctl');
      await theirs.flush();
    }
  });
});
