import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { bindToUser, fillTemplate } from '../../../src/auth/permission-templates.ts';
import { userClaims } from '../../../src/auth/claims.ts';
import type { AccountClaims, Unsigned } from '../../../src/auth/claims-shape.ts';
import { readCredsFile } from '../../../src/auth/creds-file.ts';
import { readNatsJwt, signNatsJwt } from '../../../src/auth/nats-jwt.ts';
import { pushAccounts, type PushRow } from '../../../src/auth/push.ts';
import { serverConfig } from '../../../src/auth/server-config.ts';
import { AuthStore } from '../../../src/auth/store.ts';
import { SystemConnection, tryLogin } from '../../../src/nats/system-connection.ts';
import { replaceFile } from '../../../src/replace-file.ts';
import { SigningKey } from '../../../src/trust/nkey.ts';
import { runAuth } from '../../support/auth-command.ts';
import { login } from '../../support/auth-lattice.ts';
import { type ResolverLattice, startResolverLattice } from '../../support/resolver-lattice.ts';

const open: AsyncDisposable[] = [];
async function start(config = ''): Promise<ResolverLattice> {
  const lattice = await startResolverLattice(config);
  open.push(lattice);
  return lattice;
}
afterEach(async () => {
  for (const each of open.splice(0)) await each[Symbol.asyncDispose]();
});

const push = ({ lattice, where, login: as }: ResolverLattice, more = {}): Promise<PushRow[]> =>
  pushAccounts({ store: lattice.store, where, login: as, ...more });
const rowOf = (rows: readonly PushRow[], name: string): PushRow => rows.find((row) => row.name === name)!;
const withoutSigner = ({ iss: _signer, jti: _id, ...claims }: AccountClaims): Unsigned<AccountClaims> => claims;
/** Changes an account in the store as an administrator would. */
async function change(
  { lattice }: ResolverLattice,
  name: string,
  how: (nats: AccountClaims['nats']) => Partial<AccountClaims['nats']>,
): Promise<string> {
  const claims = lattice.store.account(name);
  return await lattice.store.change(() =>
    lattice.store.writeAccount({ ...withoutSigner(claims), nats: { ...claims.nats, ...how(claims.nats) } }),
  );
}

/** Gives the operator a signing key of which the servers have not been told, and has it sign an account. */
async function signByUnknownKey(test: ResolverLattice, name: string): Promise<string> {
  const { store } = test.lattice;
  const key = SigningKey.generate('operator');
  const { iss: _signer, jti: _id, ...operator } = store.operator();
  const signing_keys = [key.publicKey, ...operator.nats.signing_keys!];
  await store.change(() => {
    store.keys.write(key);
    store.writeOperator({ ...operator, nats: { ...operator.nats, signing_keys } });
  });
  await change(test, name, () => ({ description: 'changed' }));
  return key.publicKey;
}

describe('auth push', () => {
  it('judges by the servers that are there when another one is away', async () => {
    const test = await start();
    const { store } = test.lattice;
    const where = { servers: ['nats://127.0.0.1:1', ...test.where.servers] };
    await change(test, 'acme-rpc', () => ({ description: 'good' }));
    const rows = await pushAccounts({ store, where, login: test.login });
    expect(rowOf(rows, 'acme-rpc')).toMatchObject({
      outcome: 'done',
      detail: expect.stringContaining('cannot be reached') as string,
    });
    await using system = await SystemConnection.connect(test.where, test.login);
    const { sub } = store.account('acme-rpc');
    expect(await system.lookup(sub)).toBe(store.accountJwt('acme-rpc'));
    // One that fails is put back all the same.
    const before = store.accountJwt('acme-rpc');
    await change(test, 'acme-rpc', () => ({ exports: [{ name: 'wrong', subject: 'a b..c', type: 'service' }] }));
    expect(rowOf(await pushAccounts({ store, where, login: test.login }), 'acme-rpc').outcome).toBe('restored');
    expect(await system.lookup(sub)).toBe(before);
  });

  it('brings new accounts and changes, leaves what is the same, and disconnects nobody else', async () => {
    const test = await start();
    const host = await test.lattice.addMember('host', 'web-1');
    const bystander = await login(test.server.url, host, 'rpc');
    expect((await push(test)).map(({ name, outcome }) => [name, outcome])).toEqual([
      ['acme-ctl', 'unchanged'],
      ['acme-rpc', 'unchanged'],
      ['SYS', 'unchanged'],
    ]);
    await test.lattice.addTenant('beta', { lattice: 'other' });
    // Its own list of components gives this host a scoped key of its own: a changed account.
    const second = await test.lattice.addMember('host', 'web-2', { components: ['echo'] });
    await expect(login(test.server.url, second, 'rpc')).rejects.toThrow();
    const planned = await push(test, { dryRun: true });
    expect(planned.map(({ name, action, outcome }) => [name, action, outcome])).toEqual([
      ['acme-ctl', 'none', 'unchanged'],
      ['acme-rpc', 'update', 'planned'],
      ['beta-ctl', 'add', 'planned'],
      ['beta-rpc', 'add', 'planned'],
      ['SYS', 'none', 'unchanged'],
    ]);
    expect(rowOf(planned, 'acme-rpc').changes).toEqual(['a key for host-rpc@web-2']);
    await expect(login(test.server.url, second, 'rpc')).rejects.toThrow();
    const answers: Promise<unknown>[] = [];
    bystander.subscribe('lab.echo.wrpc.x', { callback: (_error, message) => void message.respond('yes') });
    await bystander.flush();
    const load = setInterval(() => answers.push(bystander.request('lab.echo.wrpc.x', '', { timeout: 20_000 })), 5);
    const pushed = await push(test);
    clearInterval(load);
    await Promise.all(answers);
    expect(pushed.filter(({ outcome }) => outcome === 'done').map(({ name }) => name)).toEqual([
      'acme-rpc',
      'beta-ctl',
      'beta-rpc',
    ]);
    const nc = await login(test.server.url, second, 'rpc');
    await nc.close();
    expect(bystander.isClosed()).toBe(false);
    expect(answers.length).toBeGreaterThan(0);
    await bystander.close();
    expect((await push(test)).every(({ outcome }) => outcome === 'unchanged')).toBe(true);
  });

  it('refuses before what no server could use, and touches nothing', async () => {
    const test = await start();
    const { store } = test.lattice;
    const before = store.accountJwt('acme-rpc');
    const file = join(store.dir, 'example', 'accounts', 'acme-rpc', 'acme-rpc.jwt');
    const good = store.account('acme-rpc');
    const operator = store.keys.read(store.operator().nats.signing_keys![0]!);
    const second = Math.floor(Date.now() / 1_000);
    const cases: [Unsigned<AccountClaims>, SigningKey, RegExp][] = [
      [{ ...good, exp: second - 5 }, operator, /^it expired at/],
      [{ ...good, nbf: second + 600 }, operator, /^it counts only from/],
      [{ ...good, nats: { ...good.nats, limits: { ...good.nats.limits, conn: 0 } } }, operator, /^its limit conn is 0/],
      [{ ...good, nats: { ...good.nats, limits: undefined } }, operator, /^its limit conn is 0, or left out/],
      // The store was tampered with: a JWT signed by a key that the operator does not list.
      [{ ...good, iat: good.iat + 9 }, SigningKey.generate('operator'), /is not signed by a key that the operator lists$/],
    ];
    for (const [claims, key, why] of cases) {
      replaceFile(file, signNatsJwt(JSON.parse(JSON.stringify(claims)) as Unsigned<AccountClaims>, key));
      const row = rowOf(await push(test), 'acme-rpc');
      expect(row).toMatchObject({ action: 'refuse', outcome: 'refused', detail: expect.stringMatching(why) });
      await using system = await SystemConnection.connect(test.where, test.login);
      expect(await system.lookup(good.sub)).toBe(before);
    }
    replaceFile(file, before);
    expect(rowOf(await push(test), 'acme-rpc').outcome).toBe('unchanged');
  });

  it('refuses an account signed by an operator key that the servers do not know yet', async () => {
    const test = await start();
    const { store } = test.lattice;
    const before = store.accountJwt('acme-rpc');
    const key = await signByUnknownKey(test, 'acme-rpc');
    expect(store.account('acme-rpc').iss).toBe(key);
    const row = rowOf(await push(test), 'acme-rpc');
    expect(row).toMatchObject({
      outcome: 'refused',
      detail: expect.stringContaining('does not know the operator key that signed it'),
    });
    await using system = await SystemConnection.connect(test.where, test.login);
    expect(await system.lookup(row.key)).toBe(before);
  });

  it.each([
    ['while a user is connected', true],
    ['while nobody is', false],
  ])('puts the former JWT back when a server takes the new one and does not use it, %s', async (_when, connected) => {
    const test = await start();
    const { store } = test.lattice;
    const host = await test.lattice.addMember('host', 'web-1');
    const nc = connected ? await login(test.server.url, host, 'rpc') : undefined;
    const before = store.accountJwt('acme-rpc');
    const key = SigningKey.generate('operator');
    const { iss: _signer, jti: _id, ...operator } = store.operator();
    await store.change(() => {
      store.keys.write(key);
      store.writeOperator({
        ...operator,
        nats: { ...operator.nats, signing_keys: [key.publicKey, ...operator.nats.signing_keys!] },
      });
    });
    await change(test, 'acme-rpc', () => ({ description: 'changed' }));
    // A user who may push and may not ask what the servers trust, so that nothing is known before.
    const pusher = SigningKey.generate('user');
    const sys = store.account('SYS');
    const filled = fillTemplate('resolver', {}, ['prune']);
    const rights = { ...filled, publish: { allow: filled.publish.allow.filter((subject) => !subject.endsWith('VARZ')) } };
    const claims = userClaims({
      user: pusher.publicKey,
      name: 'pusher',
      issuerAccount: sys.sub,
      rights: bindToUser(rights, pusher.publicKey),
      nowMs: Date.now(),
    });
    const jwt = signNatsJwt(claims, store.keys.read(sys.nats.signing_keys![0] as string));
    const rows = await push(test, { login: { jwt, key: pusher }, accounts: ['acme-rpc'] });
    expect(rows).toEqual([
      expect.objectContaining({ outcome: 'restored', detail: expect.stringContaining('the former JWT is back and in use') }),
    ]);
    await using system = await SystemConnection.connect(test.where, test.login);
    expect(await system.lookup(rows[0]!.key)).toBe(before);
    expect(nc?.isClosed() ?? false).toBe(false);
    await nc?.close();
    // It would have come out at the next start of the server.
    await test.server.restart();
    await (await login(test.server.url, host, 'rpc')).close();
  });

  it('leaves nothing behind of an account that the server refuses to store', async () => {
    const test = await start();
    await test.lattice.addTenant('beta', { lattice: 'other' });
    await change(test, 'beta-rpc', () => ({ exports: [{ name: 'wrong', subject: 'a b..c', type: 'service' }] }));
    const rows = await push(test);
    expect(rowOf(rows, 'beta-ctl').outcome).toBe('done');
    expect(rowOf(rows, 'beta-rpc')).toMatchObject({
      outcome: 'restored',
      detail: expect.stringContaining('it was taken away again'),
    });
    await using system = await SystemConnection.connect(test.where, test.login);
    expect(await system.accounts()).not.toContain(rowOf(rows, 'beta-rpc').key);
  });

  it('deletes what only the server has, when told to', async () => {
    const test = await start();
    await test.lattice.addTenant('beta', { lattice: 'other' });
    await push(test);
    // The tenant is gone from the store.
    const other = AuthStore.open(test.lattice.store.dir);
    const keys = ['beta-ctl', 'beta-rpc'].map((name) => other.account(name).sub);
    const { rmSync } = await import('node:fs');
    for (const name of ['beta-ctl', 'beta-rpc']) rmSync(join(other.dir, 'example', 'accounts', name), { recursive: true });
    const left = (await push(test)).filter(({ outcome }) => outcome === 'left');
    expect(new Set(left.map(({ name, key }) => `${name} ${key}`))).toEqual(
      new Set([`beta-ctl ${keys[0]!}`, `beta-rpc ${keys[1]!}`]),
    );
    const pruned = await push(test, { prune: true });
    expect(pruned.filter(({ action }) => action === 'delete').every(({ outcome }) => outcome === 'done')).toBe(true);
    await using system = await SystemConnection.connect(test.where, test.login);
    expect(await system.accounts()).toHaveLength(3);
  });

  it('does not undo what another store brought later, unless told to', async () => {
    const test = await start();
    const { store } = test.lattice;
    const key = store.account('acme-rpc').sub;
    const older = store.accountJwt('acme-rpc');
    const file = join(store.dir, 'example', 'accounts', 'acme-rpc', 'acme-rpc.jwt');
    await change(test, 'acme-rpc', () => ({ description: 'from elsewhere' }));
    await push(test);
    replaceFile(file, older);
    const row = rowOf(await push(test), 'acme-rpc');
    expect(row).toMatchObject({ outcome: 'refused', detail: expect.stringContaining('the server has a later one') });
    expect(rowOf(await push(test, { force: true }), 'acme-rpc').outcome).toBe('done');
    await using system = await SystemConnection.connect(test.where, test.login);
    const stored = readNatsJwt((await system.lookup(key))!, 'account');
    expect(stored.ok && stored.claims.nats.description).toBeUndefined();
    expect(await system.lookup(key)).toBe(store.accountJwt('acme-rpc'));
  });

  it('works with a user made for it, which may do nothing else, and with its next key', async () => {
    const test = await start();
    const { store } = test.lattice;
    const made = await runAuth('pusher', 'add', 'pipeline', '--expires', '1h', '--store', store.dir, '--output', 'json');
    const { credsFile, publicKey } = JSON.parse(made.stdout) as { credsFile: string; publicKey: string };
    await test.lattice.addTenant('beta', { lattice: 'other' });
    const done = await runAuth('push', ...test.flags, '--system-creds', credsFile);
    expect([done.code, done.stdout]).toEqual([0, expect.stringMatching(/beta-rpc .* in use/)]);
    const as = readCredsFile(credsFile);
    await using system = await SystemConnection.connect(test.where, as);
    expect(await system.connectedSigners(store.account('SYS').sub)).toBeUndefined();
    await expect(system.delete('x')).rejects.toThrow(expect.objectContaining({ code: 'TRELLIS_NATS_PERMISSION' }));
    expect(await tryLogin(test.where, { ...as, key: SigningKey.generate('user') })).toEqual({
      ok: false,
      reason: 'the login was refused',
    });
    const again = await runAuth('pusher', 'add', 'pipeline', '--store', store.dir);
    expect(again.stderr).toContain('already');

    await runAuth('rotate', 'pipeline', '--account', 'SYS', '--new-key', '--store', store.dir);
    expect(readCredsFile(credsFile).claims.sub).not.toBe(publicKey);
    await change(test, 'beta-rpc', () => ({ description: 'changed' }));
    expect((await runAuth('push', ...test.flags, '--system-creds', credsFile)).stdout).toMatch(/beta-rpc .* in use/);
  });

  it('deletes nothing that another operator has signed', async () => {
    const test = await start();
    await using other = await startResolverLattice();
    // One server that trusts both, with accounts of both.
    const both = `operator: [${test.lattice.store.operatorJwt()}, ${other.lattice.store.operatorJwt()}]`;
    const config = serverConfig(test.lattice.store, {
      resolver: { kind: 'full', dir: join(test.lattice.dir, 'jwt') },
      listen: 'x:1',
    });
    await test.server.restartWith(config.replace(/^listen:.*$/m, '').replace(/^operator:.*$/m, both));
    await using system = await SystemConnection.connect(test.where, test.login);
    await system.update(other.lattice.store.accountJwt('acme-rpc'));
    const foreign = other.lattice.store.account('acme-rpc').sub;
    const rows = await push(test, { prune: true });
    expect(rows.find(({ key }) => key === foreign)).toMatchObject({
      outcome: 'left',
      detail: expect.stringContaining('has not signed it'),
    });
    expect(await system.accounts()).toContain(foreign);
  });
});

describe('trellis auth push', () => {
  it('prints what happened, as a table and as JSON, and ends with 4 if something did not', async () => {
    const test = await start();
    await test.lattice.addTenant('beta', { lattice: 'other' });
    const dry = await runAuth('push', ...test.flags, '--dry-run');
    expect([dry.code, dry.stderr]).toEqual([0, '']);
    expect(dry.stdout).toMatch(/^ACCOUNT +PUBLIC KEY +STORE +SERVER BEFORE +NOW\n/);
    expect(dry.stdout).toMatch(/beta-rpc +A[A-Z2-7]{55} +20\S+Z +would change\n/);
    await test.lattice.addMember('host', 'web-9', { components: ['echo'] });
    expect((await runAuth('push', ...test.flags, '--dry-run')).stdout).toContain('\n\nacme-rpc: a key for host-rpc@web-9\n');
    const done = await runAuth('push', ...test.flags, '--output', 'json');
    expect(done.code).toBe(0);
    expect((JSON.parse(done.stdout) as { accounts: PushRow[] }).accounts.map(({ outcome }) => outcome)).toContain('done');
    const file = join(test.lattice.store.dir, 'example', 'accounts', 'beta-rpc', 'beta-rpc.jwt');
    replaceFile(file, `${readFileSync(file, 'utf8').slice(0, -4)}AAAA`);
    const refused = await runAuth('push', ...test.flags);
    expect(refused.code).toBe(4);
    expect(refused.stdout).toMatch(/beta-rpc .*NOT PUSHED/);
    const seeds = readdirSync(test.lattice.store.dir, { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.nk'))
      .map((name) => readFileSync(join(test.lattice.store.dir, name), 'utf8'));
    for (const seed of seeds) expect(dry.stdout + done.stdout + refused.stdout).not.toContain(seed);
  });

  it('says what to do about a server that takes no accounts', async () => {
    const test = await start();
    const memory = await test.lattice.server();
    const { code, stderr } = await runAuth('push', '--store', test.lattice.store.dir, '--server', memory.url);
    expect(code).toBe(78);
    expect(stderr).toContain('TRELLIS_AUTH_RESOLVER');
    expect(stderr).toContain('--resolver full');
  });

  it('needs a server, and one that is reached safely', async () => {
    const test = await start();
    const { store } = test.lattice;
    expect((await runAuth('push', '--store', store.dir)).stderr).toContain('A push needs a server');
    const far = await runAuth('push', '--store', store.dir, '--server', 'nats://203.0.113.1:4222');
    expect(far.stderr).toContain('TRELLIS_NATS_TLS_REQUIRED');
    const down = await runAuth('push', '--store', store.dir, '--server', 'nats://127.0.0.1:1');
    expect([down.code, down.stderr]).toEqual([5, expect.stringContaining('connection refused')]);
    const unknown = await runAuth('push', 'nobody', ...test.flags);
    expect(unknown.stderr).toContain('There is no account nobody');
  });
});
