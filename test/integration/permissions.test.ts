import { Kvm } from '@nats-io/kv';
import { AckPolicy, jetstream, jetstreamManager, RetentionPolicy } from '@nats-io/jetstream';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fillTemplate, loadPermissionTemplates } from '../../src/auth/permission-templates.ts';
import type { NatsUser, TestAccount } from '../support/accounts.ts';
import { type JwtTestServer, startJwtServer } from '../support/nats-server.ts';
import { EXCEPTIONS, FORBIDDEN, type PermissionRow, ROWS } from '../support/permission-rows.ts';
import { asUserPermissions, attemptNames, type Attempts, PermittedUser } from '../support/permitted-users.ts';

const names = Object.keys(ROWS);
let jwt: JwtTestServer;
let accounts: Record<PermissionRow['account'], TestAccount>;
/** By template, or template+extension. */
const users = new Map<string, NatsUser>();

beforeAll(async () => {
  jwt = await startJwtServer();
  accounts = {
    ctl: jwt.ctl,
    rpc: jwt.rpc,
    one: jwt.operator.addAccount('one', { jetstream: true }),
    system: jwt.operator.system,
  };
  for (const [name, row] of Object.entries(ROWS)) {
    const account = accounts[row.account];
    const add = (key: string, extensions: readonly string[], values: object = {}): void => {
      const filled = fillTemplate(
        name,
        { ...(row.bare === true ? {} : { lattice: 'lab' }), ...row.values, ...values },
        extensions,
      );
      // As a scoped key's template, where the server fills in the user's key.
      users.set(key, account.addScopedUser(key, asUserPermissions(filled)));
    };
    add(name, []);
    add(`${name}+nothing`, []);
    for (const [extension, { values }] of Object.entries(row.extensions)) add(`${name}+${extension}`, [extension], values);
  }
  users.set(
    'one-provisioning',
    accounts.one.addScopedUser('p', asUserPermissions(fillTemplate('provisioning', { lattice: 'lab' }))),
  );
  await jwt.reload();
  // Buckets are made by who is there for it, and hosts find them.
  for (const [key] of [['provisioning'], ['one-provisioning']] as const) {
    await using maker = await connect(key, '_INBOX_CTL.lab');
    for (const bucket of ['LATTICEDATA_lab', 'CONFIGDATA_lab', 'LATTICETRUST_lab']) await new Kvm(maker.nc).create(bucket);
    expect(maker.refused).toEqual([]);
  }
});
afterAll(async () => {
  await jwt[Symbol.asyncDispose]();
});

const INBOX: Record<PermissionRow['account'], string> = {
  ctl: '_INBOX_CTL.lab',
  rpc: '_INBOX_RPC.lab',
  one: '_INBOX_CTL.lab',
  system: '_INBOX_SYS',
};
const connect = (key: string, inbox: string): Promise<PermittedUser> => PermittedUser.connect(jwt.url, users.get(key)!, inbox);
const inboxOf = (name: string): string => (name.startsWith('one-account-rpc') ? INBOX.rpc : INBOX[ROWS[name]!.account]);

/** Subjects with the keys of the user and of another one filled in. */
function withKeys({ publish = [], subscribe = [] }: Attempts, own: string, other: string): Attempts {
  const fill = (subjects: readonly string[]): string[] =>
    subjects.map((each) => each.replace('{own}', own).replace('{other}', other));
  return { publish: fill(publish), subscribe: fill(subscribe) };
}

describe('every kind of user', () => {
  it('has a row, and every extension of it', () => {
    const templates = loadPermissionTemplates();
    expect(names.toSorted()).toEqual([...templates.keys()].toSorted());
    for (const [name, row] of Object.entries(ROWS)) {
      expect(Object.keys(row.extensions).toSorted(), name).toEqual(Object.keys(templates.get(name)!.extensions).toSorted());
    }
  });

  it.each(names)('%s may do what it is for, and nothing else', async (name) => {
    const row = ROWS[name]!;
    await using user = await connect(name, inboxOf(name));
    const [own, other] = [users.get(name)!.publicKey, users.get(`${name}+nothing`)!.publicKey];
    const may = withKeys(row.may, own, other);
    expect(await user.tries(may)).toEqual([]);
    const mayNot = withKeys(row.mayNot, own, other);
    expect(await user.tries(mayNot)).toEqual(attemptNames(mayNot));
    const forbidden = withKeys(FORBIDDEN, own, other);
    const expected = attemptNames(forbidden).filter((each) => !(EXCEPTIONS[name] ?? []).includes(each));
    expect(await user.tries(forbidden)).toEqual(expected);
  });

  it.each(names)('%s gets from each extension what it says and no more', async (name) => {
    const row = ROWS[name]!;
    for (const [extension, { may }] of Object.entries(row.extensions)) {
      const key = `${name}+${extension}`;
      await using plain = await connect(name, inboxOf(name));
      expect(await plain.tries(may), `${name} without ${extension}`).toEqual(attemptNames(may));
      await using extended = await connect(key, inboxOf(name));
      expect(await extended.tries(may), key).toEqual([]);
      const forbidden = withKeys(FORBIDDEN, users.get(key)!.publicKey, users.get(name)!.publicKey);
      const expected = attemptNames(forbidden).filter((each) => !(EXCEPTIONS[key] ?? EXCEPTIONS[name] ?? []).includes(each));
      expect(await extended.tries(forbidden), key).toEqual(expected);
    }
  });
});

describe('buckets', () => {
  it.each(['host-ctl+watch', 'operator-ctl+write-data'])(
    'work for %s: read, write, list, watch, history, delete',
    async (name) => {
      await using user = await connect(name, '_INBOX_CTL.lab');
      for (const bucket of ['LATTICEDATA_lab', 'CONFIGDATA_lab']) {
        const kv = await new Kvm(user.nc).open(bucket);
        const id = `COMPONENT_${name.replace('+', '_')}`;
        const watch = await kv.watch({ key: id });
        const revision = await kv.create(id, 'one');
        await kv.update(id, 'two', revision);
        await kv.put(id, 'three');
        expect((await kv.get(id))?.string()).toBe('three');
        const keys: string[] = [];
        for await (const key of await kv.keys()) keys.push(key);
        expect(keys).toContain(id);
        // The bucket keeps one value a key: a watcher may miss those between.
        for await (const entry of watch) if (entry.string() === 'three') break;
        await kv.delete(id);
        expect((await kv.get(id))?.operation).toBe('DEL');
        expect((await kv.status()).values).toBeGreaterThan(0);
      }
      expect(user.refused).toEqual([]);
    },
  );

  it.each(['host-ctl', 'one-account-ctl'])('can be followed and read by %s without consumers', async (name) => {
    await using user = await connect(name, '_INBOX_CTL.lab');
    const kv = await new Kvm(user.nc).open('CONFIGDATA_lab');
    const passing: string[] = [];
    user.nc.subscribe('$KV.CONFIGDATA_lab.>', { callback: (_error, message) => void passing.push(message.string()) });
    await kv.put('name', 'value');
    expect((await kv.get('name'))?.string()).toBe('value');
    await expect.poll(() => passing).toEqual(['value']);
    expect(user.refused).toEqual([]);
    // The one way to have the server deliver with its own rights.
    await expect(kv.watch()).rejects.toThrow();
  });

  it('can be made by a provisioning user, which cannot look into them or change them', async () => {
    await using user = await connect('provisioning', '_INBOX_CTL.lab');
    const kv = await new Kvm(user.nc).create('CONFIGDATA_lab');
    await expect(kv.put('name', 'value')).rejects.toThrow();
    await expect(kv.get('name')).rejects.toThrow();
    const manager = await jetstreamManager(user.nc);
    await expect(manager.streams.update('KV_CONFIGDATA_lab', { subjects: ['>'] })).rejects.toThrow();
    await expect(manager.streams.delete('KV_CONFIGDATA_lab')).rejects.toThrow();
  });

  it('carry large payloads of 0.82 where they are allowed', async () => {
    const { Objm } = await import('@nats-io/obj');
    // The rpc account has no JetStream: the same rights, in an account that has.
    const filled = fillTemplate('host-rpc', { lattice: 'lab' }, ['wasmbus-payloads']);
    users.set('payloads', accounts.ctl.addScopedUser('payloads', asUserPermissions(filled)));
    await jwt.reload();
    await using user = await connect('payloads', '_INBOX_RPC.lab');
    const store = await new Objm(user.nc).create('lab');
    const bytes = new Uint8Array(300_000).fill(7);
    await store.putBlob({ name: 'x', options: { max_chunk_size: 128 * 1024 } }, bytes);
    expect(await store.getBlob('x')).toEqual(bytes);
    await store.delete('x');
    expect(user.refused).toEqual([]);
  });

  it('and streams can be made by wadm at its first start', async () => {
    await using first = await connect('wadm+make-buckets', '_INBOX');
    const manager = await jetstreamManager(first.nc);
    await manager.streams.add({ name: 'wadm_commands', subjects: ['wadm.cmd.*'], retention: RetentionPolicy.Workqueue });
    await new Kvm(first.nc).create('wadm_state');
    await using wadm = await connect('wadm', '_INBOX');
    const kv = await new Kvm(wadm.nc).open('wadm_state');
    await kv.put('lab', '{}');
    await jetstream(wadm.nc).publish('wadm.cmd.lab', 'scale');
    const admin = await jetstreamManager(wadm.nc);
    await admin.consumers.add('wadm_commands', {
      durable_name: 'wadm_lab',
      ack_policy: AckPolicy.Explicit,
      filter_subject: 'wadm.cmd.lab',
    });
    const consumer = await jetstream(wadm.nc).consumers.get('wadm_commands', 'wadm_lab');
    const message = await consumer.next({ expires: 2_000 });
    expect(message?.string()).toBe('scale');
    expect(await message?.ackAck()).toBe(true);
    // It answers whoever asks it, at whatever inbox.
    wadm.nc.subscribe('wadm.api.>', { queue: 'wadm_server', callback: (_error, request) => void request.respond('listed') });
    await wadm.nc.flush();
    await using person = await connect('operator-ctl+wadm', '_INBOX_CTL.lab');
    expect((await person.nc.request('wadm.api.lab.model.get')).string()).toBe('listed');
    expect([...wadm.refused, ...person.refused]).toEqual([]);
  });
});

describe('a provider', () => {
  it('is asked, linked and called, and calls what it is linked to', async () => {
    await using host = await connect('host-rpc+providers', '_INBOX_RPC.lab');
    await using provider = await connect('provider', '_INBOX_RPC.lab');
    const links: string[] = [];
    provider.nc.subscribe('wasmbus.rpc.lab.prov.health', { callback: (_e, m) => void m.respond('{"healthy":true}') });
    provider.nc.subscribe('wasmbus.rpc.lab.prov.linkdefs.put', { callback: (_e, m) => void links.push(m.string()) });
    provider.nc.subscribe('lab.prov.wrpc.0.0.1.f', { queue: 'lab.prov', callback: (_e, m) => void m.respond('provided') });
    host.nc.subscribe('lab.echo.wrpc.0.0.1.f', { queue: 'lab.echo', callback: (_e, m) => void m.respond('echoed') });
    await Promise.all([provider.nc.flush(), host.nc.flush()]);
    host.nc.publish('wasmbus.rpc.lab.prov.linkdefs.put', 'link');
    expect((await host.nc.request('wasmbus.rpc.lab.prov.health')).string()).toBe('{"healthy":true}');
    expect((await host.nc.request('lab.prov.wrpc.0.0.1.f')).string()).toBe('provided');
    expect((await provider.nc.request('lab.echo.wrpc.0.0.1.f')).string()).toBe('echoed');
    expect(links).toEqual(['link']);
    expect([...provider.refused, ...host.refused]).toEqual([]);
  });
});

describe('a template file', () => {
  const dir = mkdtempSync(join(tmpdir(), 'trellis-templates-'));
  afterAll(() => rmSync(dir, { recursive: true, force: true }));
  const load = (publish: string, more = ''): unknown => {
    const head = 'description: x\npartition: ctl\nparameters: { lattice: { description: y } }\n';
    writeFileSync(join(dir, 'kind.yaml'), `${head}${more}publish: ['x.{lattice}', '${publish}']\n`);
    return loadPermissionTemplates(dir);
  };

  it('may hold plain subjects, its parameters and the key of the user', () => {
    expect(() => load('a.{lattice}.{{subject()}}.>')).not.toThrow();
  });

  it.each([
    ['{{name()}}', 'cannot be a token'],
    ['a.{{tag(lattice)}}.>', 'cannot be a token'],
    ['a.{{account-tag(x)}}', 'cannot be a token'],
    ['a_{{subject()}}.>', 'cannot be a token'],
    ['a.{nobody}', 'no parameter'],
    ['a.{constructor}', 'no parameter'],
    ['>', 'cannot be a token'],
    ['*.x', 'cannot be a token'],
    ['a.>.b', 'cannot be a token'],
    ['a.b*', 'cannot be a token'],
    ['a..b', 'cannot be a token'],
    ['a b', 'cannot be a token'],
    ['', 'cannot be a token'],
    ['$JS.API.>', 'change streams'],
    ['$JS.API.*.X', 'change streams'],
    ['$JS.API.STREAM.>', 'change streams'],
    ['$JS.API.STREAM.*.KV_X', 'change streams'],
    ['$JS.API.STREAM.UPDATE.KV_{lattice}', 'change streams'],
    ['$JS.API.STREAM.MSG.DELETE.KV_{lattice}', 'change streams'],
    ['$JS.>', 'change streams'],
    ['$JS.*.STREAM.DELETE.X', 'change streams'],
    ['$SYS.>', 'ask the server for anything'],
    ['$SYS.REQ.>', 'ask the server for anything'],
  ])('is refused with %s in it', (subject, why) => {
    expect(() => load(subject)).toThrow(
      expect.objectContaining({ code: 'TRELLIS_PERMISSION_TEMPLATE', message: expect.stringContaining(why) }),
    );
  });

  it('is refused with a subscription that the server would take for a wider one', () => {
    const ends = (last: string): unknown => load('a', `subscribe: ['a.{lattice}.${last}']\n`);
    expect(() => ends('>')).not.toThrow();
    expect(() => ends('b')).not.toThrow();
    expect(() => ends('*')).toThrow('write > there');
  });

  it('is refused with a setting nobody knows, a right that does not exist or a parameter that does nothing', () => {
    expect(() => load('a', 'deny: [b]\n')).toThrow('kind.yaml');
    expect(() => load('a', "buckets: [{ bucket: 'B', rights: [destroy] }]\n")).toThrow('no right to a bucket');
    writeFileSync(
      join(dir, 'kind.yaml'),
      'description: x\npartition: ctl\nparameters: { idle: { description: y } }\npublish: [a]\n',
    );
    expect(() => loadPermissionTemplates(dir)).toThrow('idle is used nowhere');
  });
});
