import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { exportStore } from '../../../src/auth/export.ts';
import { grantComponent } from '../../../src/auth/grants.ts';
import { scopedKeysOf } from '../../../src/auth/roles.ts';
import type { AuthStore } from '../../../src/auth/store.ts';
import { listTenants } from '../../../src/auth/tenant.ts';
import { updateTenant } from '../../../src/auth/update-tenant.ts';
import { publicText } from '../../support/nkeys.ts';
import { makeAuthLattice } from '../../support/auth-lattice.ts';

const CURVE_KEY = publicText(Buffer.alloc(32, 7), 23 << 3);

describe('a tenant', () => {
  it('is two accounts, JetStream in the one for control, with a scoped key for each kind that members share', async () => {
    await using lattice = await makeAuthLattice();
    const tenant = await lattice.addTenant('acme', { lattice: 'Lab' });
    expect(listTenants(lattice.store)).toEqual([tenant]);
    const [ctl, rpc] = [lattice.store.account('acme-ctl'), lattice.store.account('acme-rpc')];
    expect([ctl, rpc].map(({ nats }) => [nats.limits?.mem_storage, nats.limits?.disk_storage])).toEqual([
      [-1, -1],
      [undefined, undefined],
    ]);
    expect(scopedKeysOf(ctl).map(({ role }) => role)).toEqual([
      'host-ctl',
      'host-ctl-leaf',
      'operator-ctl',
      'issuer-ctl',
      'caller-ctl',
      'provisioning',
    ]);
    expect(scopedKeysOf(rpc).map(({ role }) => role)).toEqual(['host-rpc', 'host-rpc-leaf', 'caller-rpc']);
    for (const { template, role } of [...scopedKeysOf(ctl), ...scopedKeysOf(rpc)]) {
      const type = role.endsWith('-leaf') ? 'LEAFNODE' : 'STANDARD';
      expect([role, template.allowed_connection_types]).toEqual([role, [type]]);
      const subjects = [...template.pub!.allow!, ...template.sub!.allow!];
      // Literal names and the user's own key: nothing that the holder of a key could choose.
      for (const subject of subjects) expect(subject.replaceAll('{{subject()}}', '')).not.toContain('{{');
      expect(subjects.some((subject) => subject.split('.').includes('Lab'))).toBe(true);
    }
  });

  it('that was left half made is finished, and keeps the account it has', async () => {
    await using lattice = await makeAuthLattice();
    await lattice.addTenant('acme');
    const { sub } = lattice.store.account('acme-ctl');
    rmSync(join(lattice.store.dir, 'example/accounts/acme-rpc'), { recursive: true });
    expect(listTenants(lattice.store)).toEqual([]);
    await lattice.addTenant('acme');
    expect(lattice.store.account('acme-ctl').sub).toBe(sub);
    expect(listTenants(lattice.store)).toHaveLength(1);
    rmSync(join(lattice.store.dir, 'example/accounts/acme-rpc'), { recursive: true });
    await expect(lattice.addTenant('acme', { lattice: 'another' })).rejects.toMatchObject({ code: 'TRELLIS_AUTH_EXISTS' });
  });

  it('has the extensions it was made with in every role that knows them', async () => {
    await using lattice = await makeAuthLattice();
    const extensions = ['wasmbus', 'jetstream-domain', 'wasmbus-payloads'];
    await lattice.addTenant('acme', { lattice: 'lab', extensions, values: { domain: 'hub' } });
    const { store } = lattice;
    const allow = (account: string, role: string) =>
      scopedKeysOf(store.account(account)).find((key) => key.role === role)!.template.pub!.allow!;
    expect(allow('acme-rpc', 'host-rpc')).toContain('wasmbus.rpc.lab.>');
    expect(allow('acme-ctl', 'host-ctl')).toContain('$JS.hub.API.INFO');
    expect(allow('acme-ctl', 'host-ctl')).not.toContain('$JS.API.STREAM.CREATE.KV_LATTICETRUST_lab');
    // Those go through a stream of the account for calls.
    expect(store.account('acme-rpc').nats.limits).toMatchObject({ disk_storage: -1 });
    const host = await lattice.addMember('host', 'narrow', { components: ['a'] });
    expect(allow('acme-rpc', host.users[1]!.role)).toContain('wasmbus.rpc.lab.>');
  });

  it('lists nothing of accounts that another tool made', async () => {
    await using lattice = await makeAuthLattice();
    expect(listTenants(lattice.store)).toEqual([]);
    await expect(lattice.addMember('host', 'h', { tenant: 'SYS' })).rejects.toMatchObject({ code: 'TRELLIS_AUTH_UNKNOWN' });
  });
});

describe('an update of a tenant', () => {
  const scopesIn = (store: AuthStore) =>
    new Map(['acme-ctl', 'acme-rpc'].flatMap((name) => scopedKeysOf(store.account(name)).map((key) => [key.role, key] as const)));

  it('changes nothing that is as the templates say, whatever members were narrowed to', async () => {
    await using lattice = await makeAuthLattice();
    const { store } = lattice;
    await lattice.addTenant('acme', { lattice: 'lab' });
    await lattice.addMember('host', 'till', { components: ['till'], calls: [] });
    await lattice.addMember('host', 'pod', { leaf: 'and-host' });
    await lattice.addMember('host', 'old', { wasmcloud: true });
    await lattice.addMember('caller', 'ada', { calls: ['till'] });
    await lattice.addMember('operator', 'oncall', { calls: ['till'], spies: true });
    await lattice.addMember('caller', 'ear', { spies: true });
    await lattice.addMember('provider', 'http', { calls: ['web'], xkey: CURVE_KEY });
    await lattice.addMember('wadm', 'wadm');
    await store.change(() => grantComponent(store, { tenant: 'acme', component: 'safe', to: 'till' }));
    // Who may overhear calls may do no more than that besides, and nobody else of the kind may.
    const hears = (role: string): boolean => scopesIn(store).get(role)!.template.sub!.allow!.includes('lab.*.wrpc.>');
    expect(['caller-rpc@oncall', 'caller-rpc@ear', 'caller-rpc@ada', 'caller-rpc'].map(hears)).toEqual([
      true,
      true,
      false,
      false,
    ]);
    expect(scopesIn(store).get('caller-rpc@oncall')!.template.pub!.allow).toContain('lab.till.wrpc.>');
    const before = [store.accountJwt('acme-ctl'), store.accountJwt('acme-rpc')];
    const { changed } = await store.change(() => updateTenant(store, { name: 'acme' }));
    expect(changed).toEqual([]);
    expect([store.accountJwt('acme-ctl'), store.accountJwt('acme-rpc')]).toEqual(before);
  });

  it('switches extensions on and off, for narrowed members too, and keeps keys and what other tools wrote', async () => {
    await using lattice = await makeAuthLattice();
    const { store } = lattice;
    await lattice.addTenant('acme', { lattice: 'lab' });
    await lattice.addMember('host', 'till', { components: ['till'] });
    await lattice.addMember('provider', 'http', { calls: ['web'] });
    await store.change(() => {
      const account = store.account('acme-rpc');
      store.writeAccount({
        ...account,
        nats: { ...account.nats, tags: [...account.nats.tags!, 'team:one'], trace: { dest: 'x' } },
      });
    });
    const before = scopesIn(store);
    const update = (extensions: readonly string[]) => store.change(() => updateTenant(store, { name: 'acme', extensions }));
    const { changed, tenant } = await update(['wasmbus', 'wasmbus-payloads']);
    expect(tenant).toEqual(listTenants(store)[0]);
    expect(changed.map(({ account }) => account)).toEqual(['acme-ctl', 'acme-rpc']);
    expect(changed[1]!.roles).toContain('host-rpc@till');
    const after = scopesIn(store);
    expect([...after.values()].map(({ key }) => key)).toEqual([...before.values()].map(({ key }) => key));
    expect(after.get('host-rpc@till')!.template.sub!.allow).toEqual(
      expect.arrayContaining(['lab.till.wrpc.>', 'wasmbus.rpc.lab.>']),
    );
    expect(after.get('host-rpc@till')!.template.sub!.allow).not.toContain('lab.*.wrpc.>');
    expect(after.get('provider@http')).toEqual(before.get('provider@http'));
    expect(store.account('acme-rpc').nats).toMatchObject({ trace: { dest: 'x' }, limits: { disk_storage: -1, conn: -1 } });
    expect(store.account('acme-rpc').nats.tags).toContain('team:one');
    await update(['make-buckets']);
    expect(scopesIn(store)).toEqual(before);
    expect(store.account('acme-rpc').nats.limits).not.toHaveProperty('disk_storage');
  });

  it('brings an account that lags behind the templates up to date', async () => {
    await using lattice = await makeAuthLattice();
    const { store } = lattice;
    await lattice.addTenant('acme', { lattice: 'lab' });
    const whole = scopesIn(store);
    await store.change(() => {
      const account = store.account('acme-rpc');
      const keys = scopedKeysOf(account)
        .filter(({ role }) => role !== 'caller-rpc')
        .map((key) => (key.role === 'host-rpc' ? { ...key, template: { ...key.template, sub: { allow: ['old.>'] } } } : key));
      store.writeAccount({ ...account, nats: { ...account.nats, signing_keys: [...keys, { ...keys[0]!, role: 'by-hand' }] } });
    });
    const { changed } = await store.change(() => updateTenant(store, { name: 'acme' }));
    expect(changed).toEqual([{ account: 'acme-rpc', roles: ['host-rpc', 'caller-rpc'] }]);
    expect(scopesIn(store).get('host-rpc')).toEqual(whole.get('host-rpc'));
    expect(store.keys.has(scopesIn(store).get('caller-rpc')!.key)).toBe(true);
    expect(scopesIn(store).get('by-hand')!.template.sub).toEqual({ allow: ['old.>'] });
  });

  it('refuses what no template knows, and changes nothing then', async () => {
    await using lattice = await makeAuthLattice();
    const { store } = lattice;
    await lattice.addTenant('acme');
    const update = (more: object) => store.change(() => updateTenant(store, { name: 'acme', ...more }));
    await expect(update({ extensions: ['everything'] })).rejects.toMatchObject({ code: 'TRELLIS_PERMISSION_VALUE' });
    await expect(update({ values: { domian: 'hub' } })).rejects.toMatchObject({ code: 'TRELLIS_PERMISSION_VALUE' });
    await expect(update({ extensions: ['jetstream-domain'] })).rejects.toMatchObject({ code: 'TRELLIS_PERMISSION_VALUE' });
    await expect(update({ name: 'other' })).rejects.toMatchObject({ code: 'TRELLIS_AUTH_UNKNOWN' });
    expect(listTenants(store)[0]!.extensions).toEqual(['make-buckets']);
  });
});

describe('an export', () => {
  it('copies no credentials that have ended', async () => {
    await using lattice = await makeAuthLattice();
    const { store } = lattice;
    await lattice.addTenant('acme');
    const nowMs = Date.now();
    await lattice.addMember('provider', 'ended', { expiresMs: nowMs - 1_000 });
    const revoked = await lattice.addMember('provider', 'revoked');
    await lattice.addMember('provider', 'sound', { expiresMs: nowMs + 60_000 });
    await store.change(() => {
      const account = store.account('acme-rpc');
      const revocations = { [revoked.users[0]!.publicKey]: Math.floor(nowMs / 1_000) + 1 };
      store.writeAccount({ ...account, nats: { ...account.nats, revocations } });
    });
    const out = join(lattice.dir, 'out');
    const server = { resolver: { kind: 'memory' }, listen: '127.0.0.1:4222' } as const;
    const { creds } = exportStore(store, { out, server, nowMs });
    expect(creds).toEqual([join(out, 'creds/acme-rpc/sound.creds')]);
  });
});
