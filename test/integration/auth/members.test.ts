import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { grantComponent } from '../../../src/auth/grants.ts';
import type { AddedMember } from '../../../src/auth/members.ts';
import { SigningKey } from '../../../src/trust/nkey.ts';
import { type AuthLattice, credsOf, login, makeAuthLattice, may } from '../../support/auth-lattice.ts';
import { callTiny, memberConfig, seedFile, startTrustCaller, startTrustHost, TINY, until } from '../../support/trust-lattice.ts';

let lattice: AuthLattice;
let url: string;
const made: Record<string, AddedMember> = {};

beforeAll(async () => {
  lattice = await makeAuthLattice();
  await lattice.addTenant('acme', { lattice: 'lab' });
  await lattice.addTenant('other', { lattice: 'lab' });
  await lattice.addTenant('single', { lattice: 'lab', layout: 'one-account' });
  made['web'] = await lattice.addMember('host', 'web');
  made['caller'] = await lattice.addMember('caller', 'ada');
  made['operator'] = await lattice.addMember('operator', 'olga');
  made['till'] = await lattice.addMember('host', 'till', { components: ['till', 'cash'], calls: ['stock'] });
  made['old'] = await lattice.addMember('host', 'old', { wasmcloud: true, components: ['till'] });
  made['http'] = await lattice.addMember('provider', 'http', { calls: ['till'] });
  made['leaf'] = await lattice.addMember('host', 'pod', { leaf: true });
  made['short'] = await lattice.addMember('host', 'short', { expiresMs: Date.now() - 1_000 });
  made['foreign'] = await lattice.addMember('host', 'web', { tenant: 'other' });
  made['single'] = await lattice.addMember('host', 'one', { tenant: 'single' });
  url = (await lattice.server()).url;
});
afterAll(() => lattice[Symbol.asyncDispose]());

/** What a member's connection may do, of these. */
async function allowed(member: AddedMember, partition: 'ctl' | 'rpc', tries: readonly string[]): Promise<string[]> {
  await using nc = await login(url, member, partition);
  const found: string[] = [];
  for (const each of tries) {
    const [action, subject] = each.split(' ') as ['publish' | 'subscribe', string];
    if (await may(nc, action, subject)) found.push(each);
  }
  return found;
}

/** The settings with which members join, as in production but for TLS. */
const memberOf = (clusterSeedFile: string) => (of: AddedMember) =>
  memberConfig(url, {
    dev: false,
    lattice: 'lab',
    ctl: { servers: [url], credsFile: credsOf(of, 'ctl') },
    rpc: { servers: [url], credsFile: credsOf(of, 'rpc') },
    trust: { clusterSeedFile, store: 'required', unlinkedOrigins: ['caller'] },
  });

describe('a host with the credentials of auth host add', () => {
  it('joins, serves a call of another member, and makes the trust bucket', async () => {
    const member = memberOf(seedFile(lattice.dir, 'cluster', SigningKey.generate('cluster')));
    await using host = await startTrustHost({
      ...member(made['web']!),
      components: memberConfig(url, { components: [TINY] }).components,
    });
    await using caller = await startTrustCaller(member(made['caller']!));
    expect([...(await callTiny(caller))]).toEqual([3, 1, 2, 3]);
    expect(host.logged.filter(({ level }) => level === 'error' || level === 'fatal')).toEqual([]);
  });
});

describe('what users may do', () => {
  it('is split between the two connections of a host', async () => {
    const key = made['web']!.users.map(({ publicKey }) => publicKey);
    const own = `subscribe _INBOX_RPC.lab.${key[1]}.x`;
    const calls = ['publish lab.any.wrpc.0.0.1.f', 'subscribe lab.any.wrpc.>', 'publish _INBOX_RPC.lab.x', own];
    const control = ['subscribe wasmbus.ctl.v1.lab.>', 'publish wasmbus.evt.lab.x', `subscribe _INBOX_CTL.lab.${key[0]}.x`];
    const nobody = [
      'publish $SYS.REQ.SERVER.PING',
      'subscribe >',
      'publish $JS.API.STREAM.DELETE.KV_LATTICETRUST_lab',
      'subscribe lab2.>',
    ];
    const foreign = [`subscribe _INBOX_RPC.lab.${key[0]}.x`, 'subscribe _INBOX_RPC.lab.>', 'subscribe _INBOX.x'];
    expect(await allowed(made['web']!, 'rpc', [...calls, ...control, ...nobody, ...foreign])).toEqual(calls);
    expect(await allowed(made['web']!, 'ctl', [...calls, ...control, ...nobody])).toEqual(control);
  });

  it('ends at the components of a narrowed host', async () => {
    const yes = ['subscribe lab.till.wrpc.>', 'subscribe lab.cash.wrpc.>', 'publish lab.stock.wrpc.f'];
    const no = ['subscribe lab.stock.wrpc.>', 'subscribe lab.*.wrpc.>', 'publish lab.till.wrpc.f'];
    expect(await allowed(made['till']!, 'rpc', [...yes, ...no])).toEqual(yes);
  });

  it('is, for a host of wasmCloud 1.x alone, the default inbox too', async () => {
    const inbox = ['subscribe _INBOX.>', 'publish _INBOX.x.y'];
    const served = ['subscribe lab.till.wrpc.>', 'subscribe wasmbus.rpc.lab.kv.health'];
    expect(await allowed(made['old']!, 'rpc', [...inbox, ...served, 'subscribe lab.stock.wrpc.>'])).toEqual([
      ...inbox,
      ...served,
    ]);
    expect(await allowed(made['old']!, 'ctl', [...inbox, 'publish wasmbus.ctl.v1.lab.host.stop.H'])).toEqual([inbox[0]]);
    for (const partition of ['ctl', 'rpc'] as const) expect(await allowed(made['web']!, partition, inbox)).toEqual([]);
    for (const more of [{ leaf: true }, { tenant: 'single' }]) {
      const refused = lattice.addMember('host', 'no', { wasmcloud: true, ...more });
      await expect(refused).rejects.toMatchObject({ code: 'TRELLIS_USAGE' });
    }
  });

  it('is, for a provider, its own subjects and what it is linked to', async () => {
    const yes = ['subscribe wasmbus.rpc.lab.http.>', 'subscribe lab.http.wrpc.>', 'publish lab.till.wrpc.f'];
    const no = [
      'subscribe wasmbus.rpc.lab.other.>',
      'publish wasmbus.rpc.lab.http.shutdown',
      'subscribe lab.till.wrpc.>',
      'publish lab.stock.wrpc.f',
      'publish wasmbus.ctl.v1.lab.host.stop.H',
      'publish wasmbus.evt.lab.x',
    ];
    expect(await allowed(made['http']!, 'rpc', [...yes, ...no])).toEqual(yes);
    expect(made['http']!.users).toHaveLength(1);
  });

  it('is control for a person, who serves nothing', async () => {
    const yes = ['publish wasmbus.ctl.v1.lab.host.stop.H', 'subscribe wasmbus.evt.lab.>'];
    expect(await allowed(made['operator']!, 'ctl', [...yes, 'publish lab.any.wrpc.f', 'publish wasmbus.evt.lab.x'])).toEqual(yes);
    expect(await allowed(made['operator']!, 'rpc', ['publish lab.any.wrpc.f', 'subscribe lab.any.wrpc.f'])).toEqual([
      'publish lab.any.wrpc.f',
    ]);
  });

  it('keeps the two connections apart in the one-account layout, too', async () => {
    const calls = ['publish lab.any.wrpc.f', 'subscribe lab.any.wrpc.>'];
    const control = ['subscribe wasmbus.ctl.v1.lab.>', 'publish wasmbus.evt.lab.x'];
    const streams = ['publish $JS.API.STREAM.CREATE.KV_LATTICEDATA_lab', 'publish $JS.API.CONSUMER.CREATE.KV_LATTICEDATA_lab'];
    expect(await allowed(made['single']!, 'rpc', [...calls, ...control, ...streams])).toEqual(calls);
    expect(await allowed(made['single']!, 'ctl', [...calls, ...control, ...streams])).toEqual(control);
  });
});

describe('who may not log in', () => {
  it.each(['ctl', 'rpc'] as const)('a leaf user as a client (%s)', async (partition) => {
    const attempt = login(url, made['leaf']!, partition);
    // 2.9 does not look at the connection types of a scoped key.
    if ((await lattice.server()).version.startsWith('2.9.')) await (await attempt).close();
    else await expect(attempt).rejects.toThrow(/Authorization Violation/);
  });

  it('whoever has credentials that have ended', async () => {
    await expect(login(url, made['short']!, 'ctl')).rejects.toThrow(/Authorization Violation/);
  });

  it('users of another operator', async () => {
    await using foreign = await makeAuthLattice();
    await foreign.addTenant('acme', { lattice: 'lab' });
    const member = await foreign.addMember('host', 'web');
    await expect(login(url, member, 'rpc')).rejects.toThrow(/Authorization Violation/);
  });
});

describe('a tenant', () => {
  it('hears nothing of another with the same lattice', async () => {
    await using mine = await login(url, made['web']!, 'rpc');
    await using other = await login(url, made['foreign']!, 'rpc');
    const heard: string[] = [];
    other.subscribe('lab.any.wrpc.>', { callback: (_, message) => void heard.push(message.subject) });
    await other.flush();
    mine.publish('lab.any.wrpc.f');
    await mine.flush();
    await other.flush();
    expect(heard).toEqual([]);
  });
});

describe('a grant', () => {
  it('changes what a narrowed host may, with the credentials it has', async () => {
    const { store } = lattice;
    const grant = (component: string, more: object = {}) =>
      store.change(() => grantComponent(store, { tenant: 'acme', component, to: 'till', ...more }));
    const tries = ['subscribe lab.safe.wrpc.>', 'publish lab.prices.wrpc.f', 'subscribe lab.cash.wrpc.>'];
    expect(await allowed(made['till']!, 'rpc', tries)).toEqual([tries[2]]);
    expect(await grant('safe')).toMatchObject({ right: 'serve', changed: true, role: 'host-rpc@till' });
    expect(await grant('safe')).toMatchObject({ changed: false });
    expect(await grant('prices', { right: 'call' })).toMatchObject({ right: 'call', changed: true });
    expect(await grant('cash', { remove: true })).toMatchObject({ changed: true });
    expect(await grant('cash', { remove: true })).toMatchObject({ changed: false });
    await lattice.reload();
    expect(await allowed(made['till']!, 'rpc', tries)).toEqual(tries.slice(0, 2));
  });

  it('reaches a host that runs: the server ends its connection, and it subscribes what it may now', async () => {
    const { store } = lattice;
    const member = memberOf(seedFile(lattice.dir, 'grant', SigningKey.generate('cluster')));
    const { components } = memberConfig(url, { components: [TINY] });
    await using host = await startTrustHost({ ...member(made['till']!), components });
    await using caller = await startTrustCaller(member(made['caller']!));
    await expect(callTiny(caller)).rejects.toMatchObject({ code: 'TRELLIS_INVOKE_NO_RESPONDERS' });
    await store.change(() => grantComponent(store, { tenant: 'acme', component: 'tiny', to: 'till' }));
    await lattice.reload();
    await until(async () => (await callTiny(caller).catch(() => undefined)) !== undefined);
    expect(host.host.status().components[0]!.calls).toBe(1);
  });

  it('lets a provider call one more', async () => {
    const { store } = lattice;
    const subject = 'publish lab.extra.wrpc.f';
    expect(await allowed(made['http']!, 'rpc', [subject])).toEqual([]);
    await store.change(() => grantComponent(store, { tenant: 'acme', component: 'extra', to: 'http' }));
    await lattice.reload();
    expect(await allowed(made['http']!, 'rpc', [subject])).toEqual([subject]);
  });

  it('changes nothing for whoever may everything, and takes nothing from those who share their rights', async () => {
    const { store } = lattice;
    const grant = (more: object) =>
      store.change(() => grantComponent(store, { tenant: 'acme', component: 'x', to: 'web', ...more }));
    expect(await grant({})).toMatchObject({ changed: false });
    await expect(grant({ remove: true })).rejects.toMatchObject({ code: 'TRELLIS_USAGE' });
    await expect(grant({ component: 'a.b' })).rejects.toMatchObject({ code: 'TRELLIS_ID_INVALID' });
    await expect(grant({ to: 'nobody' })).rejects.toMatchObject({ code: 'TRELLIS_AUTH_UNKNOWN' });
    await expect(grant({ tenant: 'nobody' })).rejects.toMatchObject({ code: 'TRELLIS_AUTH_UNKNOWN' });
    await expect(grant({ to: 'http', right: 'serve' })).rejects.toMatchObject({ code: 'TRELLIS_USAGE' });
  });
});
