import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { pushAccounts, type PushRow } from '../../../src/auth/push.ts';
import { serverConfig } from '../../../src/auth/server-config.ts';
import { SystemConnection } from '../../../src/nats/system-connection.ts';
import { runAuth } from '../../support/auth-command.ts';
import { type AuthLattice, login, makeAuthLattice } from '../../support/auth-lattice.ts';
import { writeCertificates } from '../../support/certificates.ts';
import { startServer, type TestServer } from '../../support/nats-server.ts';
import { systemLoginOf } from '../../support/resolver-lattice.ts';

const open: AsyncDisposable[] = [];
afterEach(async () => {
  for (const each of open.splice(0).toReversed()) await each[Symbol.asyncDispose]();
});

async function makeLattice(): Promise<AuthLattice> {
  const lattice = await makeAuthLattice();
  open.push(lattice);
  await lattice.addTenant('acme', { lattice: 'lab' });
  return lattice;
}
/** A server with a resolver of its own, and whatever else is in `more`. */
async function serve(lattice: AuthLattice, name: string, more: string): Promise<TestServer> {
  const text = serverConfig(lattice.store, { resolver: { kind: 'full', dir: join(lattice.dir, name) }, listen: 'x:1', name });
  const server = await startServer({ configText: `${text.replace(/^listen:.*$/m, '')}\n${more}` });
  open.push(server);
  return server;
}

describe('auth push to a cluster', () => {
  it('proves the account at every server, and pushes nothing where one of them does not know the operator key', async () => {
    const lattice = await makeLattice();
    const { store } = lattice;
    const one = await serve(lattice, 'one', 'cluster { name: c, listen: "127.0.0.1:-1" }');
    const route = /Listening for route connections on 127\.0\.0\.1:(\d+)/.exec(one.log())![1]!;
    const joins = `cluster { name: c, listen: "127.0.0.1:-1", routes: ["nats://127.0.0.1:${route}"] }`;
    const two = await serve(lattice, 'two', joins);
    await expect.poll(() => two.log()).toContain('Route connection created');
    const where = { servers: [one.url, two.url] };
    const push = (): Promise<PushRow[]> => pushAccounts({ store, where, login: systemLoginOf(store) });
    const outcomes = (rows: readonly PushRow[]): string[] => [...new Set(rows.map(({ outcome }) => outcome))];

    await lattice.addTenant('beta', { lattice: 'other' });
    const host = await lattice.addMember('host', 'web-1', { tenant: 'beta' });
    const rows = await push();
    expect(rows.filter(({ outcome }) => outcome === 'done').map(({ name }) => name)).toEqual(['beta-ctl', 'beta-rpc']);
    for (const { url } of [one, two]) await (await login(url, host, 'rpc')).close();
    await using system = await SystemConnection.connect({ servers: [two.url] }, systemLoginOf(store));
    expect((await system.trustedOperators()).map(({ server }) => server).toSorted((a, b) => (a < b ? -1 : 1))).toEqual([
      'one',
      'two',
    ]);
    expect((await system.inUse(store.account('beta-rpc').sub)).every(({ jwt }) => jwt === store.accountJwt('beta-rpc'))).toBe(
      true,
    );

    // The operator gets a new key, and only one server is told.
    await runAuth('rotate', '--operator-key', '--store', store.dir);
    const config = serverConfig(store, { resolver: { kind: 'full', dir: join(lattice.dir, 'two') }, listen: 'x:1', name: 'two' });
    await two.restartWith(`${config.replace(/^listen:.*$/m, '')}\n${joins}`);
    await expect.poll(() => two.log()).toContain('Route connection created');
    const early = await runAuth('rotate', '--operator-key', '--finish', '--store', store.dir, '--server', one.url);
    expect(early.stderr).toContain('Server one does not know the new operator key');
    expect(outcomes(await push())).toEqual(['unchanged']);
  });
});

describe('auth push over TLS', () => {
  it('reaches a server by its name and its authority, and no other', async () => {
    const lattice = await makeLattice();
    const files = writeCertificates(lattice.dir);
    const tls = `tls { cert_file: "${files.serverCertFile}", key_file: "${files.serverKeyFile}" }`;
    const server = await serve(lattice, 'one', tls);
    await lattice.addTenant('beta', { lattice: 'other' });
    const args = ['push', '--store', lattice.store.dir, '--server', `tls://localhost:${server.port}`];
    const foreign = await runAuth(...args, '--tls-ca', files.foreignCaFile);
    expect([foreign.code, foreign.stderr]).toEqual([
      5,
      expect.stringContaining('is signed by an authority that is not trusted here'),
    ]);
    const done = await runAuth(...args, '--tls-ca', files.caFile);
    expect([done.code, done.stderr]).toEqual([0, '']);
    expect(done.stdout).toMatch(/beta-rpc .* in use/);
  });
});
