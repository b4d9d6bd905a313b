import { cpSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { connect, credsAuthenticator, type NatsConnection } from 'nats';
import { afterEach, describe, expect, it } from 'vitest';
import { readCredsFile } from '../../../src/auth/creds-file.ts';
import type { AddedMember } from '../../../src/auth/members.ts';
import { scopedKeysOf } from '../../../src/auth/roles.ts';
import { serverConfig } from '../../../src/auth/server-config.ts';
import { tryLogin } from '../../../src/nats/system-connection.ts';
import { runAuth } from '../../support/auth-command.ts';
import { credsOf, login } from '../../support/auth-lattice.ts';
import { type ResolverLattice, startResolverLattice } from '../../support/resolver-lattice.ts';
import { takesAtMost } from '../../support/takes-at-most.ts';

const open: AsyncDisposable[] = [];
afterEach(async () => {
  for (const each of open.splice(0).toReversed()) await each[Symbol.asyncDispose]();
});
async function start(): Promise<ResolverLattice> {
  const test = await startResolverLattice();
  open.push(test);
  return test;
}

interface Said {
  readonly renewed: { user: string; publicKey: string; formerKey?: string; expiresMs?: number; credsFile: string }[];
  readonly skipped: string[];
  readonly revoked: { user?: string; publicKey: string; untilMs?: number }[];
  readonly step: string;
  readonly replacements: { role?: string; formerKey: string; newKey: string }[];
  readonly pushed: { name: string; outcome: string }[] | null;
}
async function said(...args: string[]): Promise<Said> {
  const end = await runAuth(...args, '--output', 'json');
  expect([end.code, end.stderr], end.stdout).toEqual([0, '']);
  return JSON.parse(end.stdout) as Said;
}
async function refusal(...args: string[]): Promise<string> {
  const end = await runAuth(...args);
  expect(end.code).not.toBe(0);
  return end.stderr;
}
/** A copy of a creds file: what a host still has when the store goes on. */
function copy(file: string, name: string): string {
  const to = join(file, '..', `${name}.creds`);
  cpSync(file, to);
  return to;
}
const mayLogIn = async (test: ResolverLattice, file: string): Promise<boolean> =>
  (await tryLogin(test.where, readCredsFile(file))).ok;

/** Somebody at work: requests go round all the time. */
class Working {
  readonly nc: NatsConnection;
  answered = 0;
  lost = 0;
  #timer: NodeJS.Timeout;

  constructor(nc: NatsConnection, serves: boolean) {
    this.nc = nc;
    if (serves) nc.subscribe('lab.echo.wrpc.x', { queue: 'q', callback: (_error, message) => void message.respond('yes') });
    this.#timer = setInterval(() => {
      nc.request('lab.echo.wrpc.x', '', { timeout: 20_000 }).then(
        () => this.answered++,
        () => this.lost++,
      );
    }, 5);
  }
  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    if (!this.nc.isClosed()) await this.nc.drain();
  }
}
async function work(test: ResolverLattice, member: AddedMember, serves = true): Promise<Working> {
  const working = new Working(await login(test.server.url, member, 'rpc'), serves);
  open.push(working);
  return working;
}
async function unharmed(working: Working): Promise<void> {
  const before = working.answered;
  await expect.poll(() => working.answered).toBeGreaterThan(before + 5);
  expect(working.lost).toBe(0);
  expect(working.nc.isClosed()).toBe(false);
}
const closedWithin = (nc: NatsConnection): Promise<number> => {
  const startMs = performance.now();
  return nc.closed().then(() => performance.now() - startMs);
};

describe('trellis auth rotate', () => {
  it('gives a host new credentials with the same key, and the old ones go on counting', async () => {
    const test = await start();
    const { store } = test.lattice;
    const host = await test.lattice.addMember('host', 'web-1', { expiresMs: Date.now() + 86_400_000 });
    const old = copy(credsOf(host, 'rpc'), 'old');
    const before = store.user('acme-rpc', 'web-1-rpc');
    const { renewed } = await said('rotate', 'web-1', '--tenant', 'acme', '--store', store.dir);
    expect(renewed.map(({ user, publicKey }) => [user, publicKey])).toEqual(
      host.users.map(({ user, publicKey }) => [user, publicKey]),
    );
    const after = store.user('acme-rpc', 'web-1-rpc');
    expect(after.iat).toBeGreaterThan(before.iat);
    // As long as before, from now on.
    expect(Math.abs(after.exp! - after.iat - (before.exp! - before.iat))).toBeLessThanOrEqual(1);
    expect(after.nats.tags).toEqual(before.nats.tags);
    expect(await mayLogIn(test, old)).toBe(true);
    expect(await mayLogIn(test, renewed[1]!.credsFile)).toBe(true);
    const hourly = await said('rotate', 'web-1-rpc', '--tenant', 'acme', '--expires', '1h', '--store', store.dir);
    expect(hourly.renewed).toHaveLength(1);
    expect(hourly.renewed[0]!.expiresMs! - Date.now()).toBeLessThanOrEqual(3_600_000);
  });

  it('gives it a new key, and the former one ends when it is revoked', async () => {
    const test = await start();
    const { store } = test.lattice;
    const host = await test.lattice.addMember('host', 'web-1');
    const old = copy(credsOf(host, 'rpc'), 'old');
    const { renewed } = await said('rotate', 'web-1', '--tenant', 'acme', '--new-key', '--store', store.dir);
    const [, rpc] = renewed;
    expect(rpc!.formerKey).toBe(host.users[1]!.publicKey);
    expect(store.keys.has(rpc!.formerKey!)).toBe(false);
    expect(await mayLogIn(test, old)).toBe(true);
    expect(await mayLogIn(test, rpc!.credsFile)).toBe(true);
    const { revoked, pushed } = await said('revoke', rpc!.formerKey!, '--account', 'acme-rpc', ...test.flags);
    expect(revoked).toHaveLength(1);
    expect(pushed).toEqual([expect.objectContaining({ name: 'acme-rpc', outcome: 'done' })]);
    expect(await mayLogIn(test, old)).toBe(false);
    expect(await mayLogIn(test, rpc!.credsFile)).toBe(true);
  });

  it('ends the keys that it had before when it is revoked itself', async () => {
    const test = await start();
    const { store } = test.lattice;
    const host = await test.lattice.addMember('host', 'web-1');
    const taken = copy(credsOf(host, 'rpc'), 'taken');
    for (let i = 0; i < 2; i++) await said('rotate', 'web-1', '--tenant', 'acme', '--new-key', '--store', store.dir);
    expect(await mayLogIn(test, taken)).toBe(true);
    const { revoked } = await said('revoke', 'web-1', '--tenant', 'acme', ...test.flags);
    expect(revoked).toHaveLength(6);
    expect(await mayLogIn(test, taken)).toBe(false);
    expect(await mayLogIn(test, credsOf(host, 'rpc'))).toBe(false);
    // New credentials, and a mistake that is taken back, are for the key it has now.
    const { renewed } = await said('revoke', 'web-1', '--tenant', 'acme', '--undo', ...test.flags);
    expect(await mayLogIn(test, renewed[1]!.credsFile)).toBe(true);
    await said('revoke', 'web-1', '--tenant', 'acme', '--undo', '--lift', ...test.flags);
    expect(await mayLogIn(test, taken)).toBe(false);
  });

  it('renews everybody whose credentials end soon, but nobody who was revoked', async () => {
    const test = await start();
    const { store, addMember } = test.lattice;
    await addMember('host', 'soon', { expiresMs: Date.now() + 2 * 86_400_000 });
    await addMember('host', 'late', { expiresMs: Date.now() + 20 * 86_400_000 });
    await addMember('host', 'ever');
    await addMember('caller', 'gone', { expiresMs: Date.now() + 86_400_000 });
    await said('revoke', 'gone', '--tenant', 'acme', '--store', store.dir);
    const { renewed, skipped } = await said('rotate', '--expiring-within', '7d', '--expires', '30d', '--store', store.dir);
    expect(renewed.map(({ user }) => user)).toEqual(['soon-ctl', 'soon-rpc']);
    expect(skipped).toEqual(['gone-ctl', 'gone-rpc']);
    // Users of the system account as well.
    await runAuth('pusher', 'add', 'pipeline', '--expires', '1d', '--store', store.dir);
    expect((await said('rotate', '--expiring-within', '7d', '--store', store.dir)).renewed.map(({ user }) => user)).toEqual([
      'pipeline',
    ]);
    await said('rotate', 'pipeline', '--account', 'SYS', '--expires', '30d', '--store', store.dir);
    expect(await refusal('rotate', 'gone', '--tenant', 'acme', '--store', store.dir)).toContain('TRELLIS_AUTH_REVOKED');
    expect((await said('rotate', '--expiring-within', '7d', '--store', store.dir)).renewed).toEqual([]);
  });

  it('replaces the key of a role while others work, and the former key is refused afterwards', async () => {
    const test = await start();
    const { store } = test.lattice;
    const host = await test.lattice.addMember('host', 'web-1');
    const old = copy(credsOf(host, 'rpc'), 'old');
    const serving = await work(test, host);
    const bystander = await work(test, await test.lattice.addMember('caller', 'ada'), false);
    const args = ['rotate', '--role', 'host-rpc', '--tenant', 'acme'];

    // Interrupted after its first step: nobody was told, so nobody is moved.
    const added = await said(...args, '--store', store.dir);
    expect([added.step, added.renewed]).toEqual(['added', []]);
    const [replacement] = added.replacements;
    expect(store.user('acme-rpc', 'web-1-rpc').iss).toBe(replacement!.formerKey);
    // It goes on where it was.
    const moved = await said(...args, ...test.flags);
    expect([moved.step, moved.replacements]).toEqual(['moved', [replacement]]);
    expect(moved.renewed.map(({ user }) => user)).toEqual(['web-1-rpc']);
    expect(store.user('acme-rpc', 'web-1-rpc').iss).toBe(replacement!.newKey);
    expect(moved.pushed!.map(({ name, outcome }) => [name, outcome])).toEqual([['acme-rpc', 'done']]);
    // Once more, and it finds nothing left to do.
    expect(await said(...args, ...test.flags)).toMatchObject({ step: 'moved', renewed: [], replacements: [replacement] });
    expect(await mayLogIn(test, old)).toBe(true);
    expect(await mayLogIn(test, credsOf(host, 'rpc'))).toBe(true);
    // A host that is added meanwhile gets the new key.
    const late = await test.lattice.addMember('host', 'web-2');
    expect(store.user('acme-rpc', 'web-2-rpc').iss).toBe(replacement!.newKey);
    expect(await mayLogIn(test, credsOf(late, 'rpc'))).toBe(true);

    await unharmed(serving);
    await unharmed(bystander);
    expect(await refusal(...args, ...test.flags, '--finish')).toContain('1 connection of account acme-rpc still use credentials');
    await unharmed(serving);
    // The host changes to its new credentials.
    const renewedHost = await work(test, host);
    await serving[Symbol.asyncDispose]();
    const done = await said(...args, ...test.flags, '--finish');
    expect(done.step).toBe('finished');
    expect(await mayLogIn(test, old)).toBe(false);
    expect(await mayLogIn(test, credsOf(host, 'rpc'))).toBe(true);
    await unharmed(renewedHost);
    await unharmed(bystander);
    const role = scopedKeysOf(store.account('acme-rpc')).filter((key) => key.role === 'host-rpc');
    expect(role.map(({ key }) => key)).toEqual([replacement!.newKey]);
    expect(store.keys.has(replacement!.formerKey)).toBe(false);
    expect(store.account('acme-rpc').nats.tags!.join(' ')).not.toContain('retiring');
    expect(await refusal(...args, ...test.flags, '--finish')).toContain('TRELLIS_AUTH_ROTATION');
  });

  it('replaces every key of an account, of the system account too, and pardons nobody', async () => {
    const test = await start();
    const { store } = test.lattice;
    await test.lattice.addMember('host', 'web-1');
    await test.lattice.addMember('host', 'gone');
    await said('revoke', 'gone', '--tenant', 'acme', ...test.flags);
    const before = store.account('acme-rpc');
    const args = ['rotate', '--all-keys', '--tenant', 'acme', ...test.flags];
    const moved = await said(...args);
    expect(moved.replacements).toHaveLength(9);
    expect(await mayLogIn(test, store.credsFile('acme-rpc', 'web-1-rpc'))).toBe(true);
    await said(...args, '--finish', '--force');
    const after = store.account('acme-rpc');
    expect(scopedKeysOf(after).map(({ role, template }) => [role, template])).toEqual(
      scopedKeysOf(before).map(({ role, template }) => [role, template]),
    );
    expect(scopedKeysOf(after).some(({ key }) => scopedKeysOf(before).some((old) => old.key === key))).toBe(false);
    expect(await mayLogIn(test, store.credsFile('acme-rpc', 'web-1-rpc'))).toBe(true);
    expect(await mayLogIn(test, store.credsFile('acme-rpc', 'gone-rpc'))).toBe(false);
    // The keys of the system account sign the user that pushes.
    const system = ['rotate', '--all-keys', '--account', 'SYS', ...test.flags];
    expect((await said(...system)).renewed.map(({ user }) => user)).toEqual(['sys']);
    expect((await said(...system, '--finish')).step).toBe('finished');
    expect(
      ((await said('push', ...test.flags)) as unknown as { accounts: { outcome: string }[] }).accounts.every(
        ({ outcome }) => outcome === 'unchanged',
      ),
    ).toBe(true);
  });

  it('replaces the key of the operator across a restart of the server', async () => {
    const test = await start();
    const { store } = test.lattice;
    const host = await test.lattice.addMember('host', 'web-1');
    const args = ['rotate', '--operator-key', ...test.flags];
    const { replacements } = await said(...args.slice(0, 4));
    const [{ formerKey, newKey }] = replacements as [{ formerKey: string; newKey: string }];
    // Accounts that change meanwhile are signed with the former key, which is the one that servers know.
    await test.lattice.addTenant('beta', { lattice: 'other' });
    expect(store.account('beta-rpc').iss).toBe(formerKey);
    expect((await said('push', ...test.flags)) as unknown).toMatchObject({ dryRun: false });
    expect(await refusal(...args, '--finish')).toContain('does not know the new operator key');
    expect(store.account('acme-rpc').iss).toBe(formerKey);

    const config = serverConfig(store, { resolver: { kind: 'full', dir: join(test.lattice.dir, 'jwt') }, listen: 'x:1' });
    await test.server.restartWith(config.replace(/^listen:.*$/m, ''));
    const done = await said(...args, '--finish');
    expect(done.step).toBe('finished');
    expect(done.pushed!.map(({ outcome }) => outcome)).toEqual(['done', 'done', 'done', 'done', 'done']);
    for (const name of ['acme-ctl', 'acme-rpc', 'beta-ctl', 'beta-rpc', 'SYS']) expect(store.account(name).iss).toBe(newKey);
    expect(store.operator().nats.signing_keys).toEqual([newKey]);
    expect(store.keys.has(formerKey)).toBe(false);
    expect(await mayLogIn(test, credsOf(host, 'rpc'))).toBe(true);
  });

  it('changes nothing of the operator without its identity key', async () => {
    const test = await start();
    const { store } = test.lattice;
    rmSync(store.keys.path(store.operator().sub));
    const before = store.operatorJwt();
    expect(await refusal('rotate', '--operator-key', '--store', store.dir)).toContain('TRELLIS_AUTH_KEY_MISSING');
    expect(store.operatorJwt()).toBe(before);
  });

  it('wants to know one thing', async () => {
    const test = await start();
    const flags = ['--store', test.lattice.store.dir];
    expect(await refusal('rotate', ...flags)).toContain('Say what to rotate');
    expect(await refusal('rotate', 'a', '--role', 'b', ...flags)).toContain('Say what to rotate');
    expect(await refusal('rotate', '--role', 'host-rpc', ...flags)).toContain('Whose keys?');
    expect(await refusal('rotate', '--role', 'none', '--tenant', 'acme', ...flags)).toContain('has a role none');
    expect(await refusal('rotate', '--all-keys', '--tenant', 'acme', '--finish', ...flags)).toContain('none to drop');
    expect(await refusal('rotate', 'nobody', ...flags)).toContain('There is no host, provider or user');
    expect(await refusal('rotate', '--expiring-within', 'never', ...flags)).toContain('TRELLIS_USAGE');
    expect(await refusal('rotate', 'a', '--tls-ca', 'x', '--role', 'x', ...flags)).toContain('Say what to rotate');
  });
});

describe('trellis auth revoke', () => {
  it('ends a host within seconds and nobody else, and reinstates it by new credentials', async () => {
    const test = await start();
    const { store } = test.lattice;
    const host = await test.lattice.addMember('host', 'web-1');
    const other = await work(test, await test.lattice.addMember('host', 'web-2'));
    const old = copy(credsOf(host, 'rpc'), 'old');
    const nc = await login(test.server.url, host, 'rpc');
    const ended = closedWithin(nc);
    const { revoked, pushed } = await said('revoke', 'web-1', '--tenant', 'acme', ...test.flags);
    expect(revoked.map(({ user }) => user)).toEqual(['web-1-ctl', 'web-1-rpc']);
    expect(pushed!.every(({ outcome }) => outcome === 'done')).toBe(true);
    await takesAtMost(5_000, () => ended);
    expect(await mayLogIn(test, old)).toBe(false);
    await unharmed(other);

    const { renewed } = await said('revoke', 'web-1', '--tenant', 'acme', '--undo', ...test.flags);
    expect(renewed.map(({ user }) => user)).toEqual(['web-1-ctl', 'web-1-rpc']);
    // The account says what it said, and the new JWT is later than that.
    const at = store.account('acme-rpc').nats.revocations![host.users[1]!.publicKey]!;
    expect(store.user('acme-rpc', 'web-1-rpc').iat).toBeGreaterThan(at);
    expect(await mayLogIn(test, credsOf(host, 'rpc'))).toBe(true);
    expect(await mayLogIn(test, old)).toBe(false);
    await unharmed(other);
  });

  it('takes a revocation back, so that what was handed out counts again', async () => {
    const test = await start();
    const host = await test.lattice.addMember('host', 'web-1');
    await said('revoke', 'web-1', '--tenant', 'acme', ...test.flags);
    expect(await mayLogIn(test, credsOf(host, 'rpc'))).toBe(false);
    await said('revoke', 'web-1', '--tenant', 'acme', '--undo', '--lift', ...test.flags);
    expect(await mayLogIn(test, credsOf(host, 'rpc'))).toBe(true);
    expect(await refusal('revoke', 'web-1', '--tenant', 'acme', '--undo', '--lift', ...test.flags)).toContain(
      'Nothing of web-1 was revoked',
    );
  });

  it('revokes what a clock ahead of this one has issued', async () => {
    const test = await start();
    const { store } = test.lattice;
    const host = await test.lattice.addMember('host', 'web-1', { nowMs: Date.now() + 3_600_000 });
    await said('revoke', 'web-1', '--tenant', 'acme', ...test.flags);
    expect(await mayLogIn(test, credsOf(host, 'rpc'))).toBe(false);
    await said('revoke', 'web-1', '--tenant', 'acme', '--undo', '--store', store.dir);
    expect(await mayLogIn(test, credsOf(host, 'rpc'))).toBe(true);
  });

  it('ends the user that administers servers, and goes on without it', async () => {
    const test = await start();
    const { store } = test.lattice;
    const file = store.credsFile('SYS', 'sys');
    const stolen = copy(file, 'stolen');
    const thief = await connect({
      servers: test.server.url,
      authenticator: credsAuthenticator(readFileSync(stolen)),
      reconnect: false,
    });
    const ended = closedWithin(thief);
    const { pushed } = await said('revoke', 'sys', '--account', 'SYS', ...test.flags);
    expect(pushed).toEqual([expect.objectContaining({ name: 'SYS', outcome: 'done' })]);
    await takesAtMost(5_000, () => ended);
    expect(await mayLogIn(test, stolen)).toBe(false);
    await test.lattice.addTenant('beta', { lattice: 'other' });
    const end = await runAuth('push', ...test.flags);
    expect([end.code, end.stdout]).toEqual([0, expect.stringMatching(/beta-rpc .* in use/)]);
    await said('revoke', 'sys', '--account', 'SYS', '--undo', ...test.flags);
    expect(await mayLogIn(test, file)).toBe(true);
    expect(await mayLogIn(test, stolen)).toBe(false);
    // Nothing of what the commands logged in with is left in the store.
    expect(store.users('SYS').map(({ name }) => name)).toEqual(['sys']);
  });

  it('says what it needs to know', async () => {
    const test = await start();
    const { store } = test.lattice;
    const host = await test.lattice.addMember('host', 'web-1');
    const flags = ['--store', store.dir];
    expect(await refusal('revoke', host.users[0]!.publicKey, ...flags)).toContain('A public key alone does not tell its account');
    expect(await refusal('revoke', 'web-1', '--lift', ...flags)).toContain('--lift is a way to --undo');
    expect(await refusal('revoke', 'nobody', ...flags)).toContain('There is no host, provider or user');
    await test.lattice.addTenant('beta', { lattice: 'other' });
    await test.lattice.addMember('host', 'web-1', { tenant: 'beta' });
    expect(await refusal('revoke', 'web-1', ...flags)).toContain('"web-1" is known to tenant acme and to tenant beta');
    await test.lattice.addMember('caller', 'same');
    await test.lattice.addMember('provider', 'same');
    expect(await refusal('revoke', 'same', ...flags)).toContain('is the name of a caller and of a provider');
    const own = ['--tenant', 'acme', ...flags];
    expect(await refusal('revoke', 'web-1', '--system-creds', 'x', ...own)).toContain('which is missing');
    expect(await refusal('revoke', 'web-1', '--server', test.server.url, '--system-creds', 'x', ...own)).toContain(
      'does not exist',
    );
    expect(store.account('acme-rpc').nats.revocations).toBeUndefined();
    const untold = await refusal('revoke', 'web-1', '--server', 'nats://127.0.0.1:1', ...own);
    expect(untold).toContain('The store is changed, and no server was told');
    expect(untold).toContain('trellis auth push');
    expect(Object.keys(store.account('acme-rpc').nats.revocations!)).toEqual([host.users[1]!.publicKey]);
    const { stdout } = await runAuth('revoke', 'web-1', '--tenant', 'acme', ...flags);
    expect(stdout).toContain('A running server has to be told: trellis auth push');
    expect(stdout).not.toContain(/SU[A-Z2-7]{56}/.exec(readFileSync(credsOf(host, 'rpc'), 'utf8'))![0]);
  });
});
