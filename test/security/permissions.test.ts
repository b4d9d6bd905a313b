import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Kvm } from '@nats-io/kv';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fillTemplate, type TemplateValues } from '../../src/auth/permission-templates.ts';
import { SigningKey } from '../../src/trust/nkey.ts';
import type { NatsUser, TestAccount } from '../support/accounts.ts';
import { type JwtTestServer, startJwtServer } from '../support/nats-server.ts';
import { asUserPermissions, attemptNames, PermittedUser } from '../support/permitted-users.ts';
import {
  callTiny,
  memberConfig,
  seedFile,
  startTrustCaller,
  startTrustHost,
  TINY,
  type TrustHost,
} from '../support/trust-lattice.ts';
import type { Caller } from '../../src/caller.ts';

/**
 * A lattice with the permissions that come with Trellis, and attackers who hold credentials of every kind of user in it: they
 * speak to the server with a plain client, so that nothing but the server and the hosts holds them back.
 */
const issuer = SigningKey.generate('cluster');
const CALL = 'lab.tiny.wrpc.0.0.1.trellis-samples:echo/bytes@0.1.0.echo-bytes';
let jwt: JwtTestServer;
let one: TestAccount;
let host: TrustHost;
let caller: Caller;
const users: Record<string, NatsUser> = {};
const open: PermittedUser[] = [];

function add(
  account: TestAccount,
  key: string,
  kind: string,
  values: TemplateValues = {},
  extensions: readonly string[] = [],
): void {
  users[key] = account.addScopedUser(key, asUserPermissions(fillTemplate(kind, { lattice: 'lab', ...values }, extensions)));
}

async function attacker(key: string): Promise<PermittedUser> {
  const inbox = /rpc|provider/.test(key) ? '_INBOX_RPC.lab' : '_INBOX_CTL.lab';
  const user = await PermittedUser.connect(jwt.url, users[key]!, inbox);
  open.push(user);
  return user;
}

beforeAll(async () => {
  jwt = await startJwtServer();
  one = jwt.operator.addAccount('one', { jetstream: true });
  for (const key of ['host-ctl', 'stolen-host-ctl']) add(jwt.ctl, key, 'host-ctl');
  for (const key of ['host-rpc', 'stolen-host-rpc']) add(jwt.rpc, key, 'host-rpc');
  add(jwt.ctl, 'caller-ctl', 'caller-ctl');
  add(jwt.rpc, 'caller-rpc', 'caller-rpc');
  add(jwt.rpc, 'stolen-provider', 'provider', { provider: 'prov', targets: ['tiny'] });
  add(jwt.ctl, 'provisioning', 'provisioning');
  add(jwt.ctl, 'maker', 'host-ctl', {}, ['make-buckets']);
  add(jwt.ctl, 'watcher', 'host-ctl', {}, ['watch']);
  for (const kind of ['one-account-ctl', 'one-account-rpc', 'provisioning']) add(one, `one-${kind}`, kind);
  await jwt.reload();
  for (const key of ['provisioning', 'one-provisioning']) {
    await using maker = await PermittedUser.connect(jwt.url, users[key]!, '_INBOX_CTL.lab');
    for (const bucket of ['LATTICEDATA_lab', 'CONFIGDATA_lab', 'LATTICETRUST_lab']) await new Kvm(maker.nc).create(bucket);
  }
  const seed = seedFile(jwt.server.dir, 'cluster', issuer);
  const member = (name: string, kind: string, more: object = {}) =>
    memberConfig(jwt.url, {
      lattice: 'lab',
      stateDir: join(jwt.server.dir, name),
      ...more,
      ctl: { servers: [jwt.url], credsFile: users[`${kind}-ctl`]!.credsFile },
      rpc: { servers: [jwt.url], credsFile: users[`${kind}-rpc`]!.credsFile },
      trust: { clusterIssuers: [issuer.publicKey], clusterSeedFile: seed, unlinkedOrigins: ['caller'] },
    });
  host = await startTrustHost(
    member('host', 'host', { components: [TINY], audit: { file: join(jwt.server.dir, 'audit.jsonl') } }),
  );
  caller = await startTrustCaller(member('caller', 'caller'));
});
afterAll(async () => {
  for (const user of open) await user[Symbol.asyncDispose]();
  await caller[Symbol.asyncDispose]();
  await host.stop();
  await jwt[Symbol.asyncDispose]();
});

const runs = (): number => host.host.status().components[0]!.calls;

describe('with credentials of a kind', () => {
  it('RSP-05 nobody sees an answer to somebody else', async () => {
    const inboxes = [
      '>',
      '*.>',
      '_INBOX.>',
      '_INBOX_RPC.>',
      '_INBOX_RPC.lab.>',
      '_INBOX_RPC.*.*.>',
      '_INBOX_CTL.>',
      '_INBOX_CTL.lab.>',
      '_R_.>',
    ];
    const others = Object.values(users).flatMap(({ publicKey }) => [
      `_INBOX_RPC.lab.${publicKey}.>`,
      `_INBOX_CTL.lab.${publicKey}.*.*`,
    ]);
    for (const key of Object.keys(users)) {
      const user = await attacker(key);
      const subscribe = [...inboxes, ...others.filter((subject) => !subject.includes(users[key]!.publicKey))];
      const seen: string[] = [];
      for (const subject of subscribe)
        user.nc.subscribe(subject, { callback: (error, { subject: to }) => void (error ?? seen.push(to)) });
      expect(await user.tries({ subscribe })).toEqual(attemptNames({ subscribe }));
      await callTiny(caller);
      await caller.describe('tiny', 20_000);
      await user.nc.flush();
      expect(seen, key).toEqual([]);
    }
  });

  it('CRD-09 stolen rpc credentials reach nothing of the control partition', async () => {
    const publish = [
      `wasmbus.ctl.v1.lab.host.stop.${host.host.id}`,
      'wasmbus.ctl.v1.lab.trust.renew',
      'wasmbus.ctl.v1.lab.component.describe.tiny',
      'wasmbus.evt.lab.host_stopped',
      '$KV.LATTICETRUST_lab.revoked.X',
      '$JS.API.STREAM.MSG.GET.KV_LATTICETRUST_lab',
      '$JS.API.INFO',
      'wadm.api.lab.model.list',
      'wasmcloud.secrets.v1alpha1.vault.get',
      'wasmcloud.policy',
      '$SYS.REQ.SERVER.PING',
    ];
    const subscribe = [
      'wasmbus.ctl.>',
      'wasmbus.ctl.v1.lab.trust.pass',
      'wasmbus.evt.lab.>',
      '$KV.>',
      'wadm.>',
      '$SYS.>',
      '$JS.>',
    ];
    const before = readFileSync(join(jwt.server.dir, 'audit.jsonl'), 'utf8');
    for (const key of ['stolen-host-rpc', 'stolen-provider', 'caller-rpc', 'one-one-account-rpc']) {
      const user = await attacker(key);
      expect(await user.tries({ publish, subscribe }), key).toEqual(attemptNames({ publish, subscribe }));
    }
    // No command arrived, so none was recorded.
    expect(readFileSync(join(jwt.server.dir, 'audit.jsonl'), 'utf8')).toBe(before);
  });

  it('CRD-10 stolen control credentials forge no invocation, and those of a host give no command', async () => {
    const before = runs();
    const publish = [
      CALL,
      'lab.tiny.wrpc.0.0.1.x',
      'wasmbus.rpc.lab.prov.default.shutdown',
      `_INBOX_RPC.lab.${users['caller-rpc']!.publicKey}.x.results`,
      `wasmbus.ctl.v1.lab.host.stop.${host.host.id}`,
      'wasmbus.ctl.v1.lab.link.put',
    ];
    const subscribe = [CALL, 'lab.tiny.wrpc.>', 'lab.*.wrpc.>', '_INBOX_RPC.lab.>'];
    for (const key of ['stolen-host-ctl', 'caller-ctl', 'provisioning', 'maker', 'one-one-account-ctl']) {
      const user = await attacker(key);
      expect(await user.tries({ publish, subscribe }), key).toEqual(attemptNames({ publish, subscribe }));
    }
    expect(runs()).toBe(before);
    expect([...(await callTiny(caller))]).toEqual([3, 1, 2, 3]);
    expect(runs()).toBe(before + 1);
  });

  it('CRD-10 commands that stolen control credentials may give are recorded', async () => {
    const user = await attacker('stolen-host-ctl');
    // What is more than a few a second is one record with the exact number.
    const count = (): number => {
      const lines = readFileSync(join(jwt.server.dir, 'audit.jsonl'), 'utf8').trim().split('\n');
      const records = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
      const commands = records.filter((record) => record['kind'] === 'control' || record['of'] === 'control');
      return commands.reduce((sum, record) => sum + Number(record['count'] ?? 1), 0);
    };
    const before = count();
    for (let i = 0; i < 20; i++) await user.nc.request('wasmbus.ctl.v1.lab.trust.report');
    await expect.poll(count).toBe(before + 20);
  });

  it('CRD-10 a stream over the calls is made in vain by whoever may make streams, and cannot be made in a shared account', async () => {
    const make = (user: PermittedUser): Promise<unknown> =>
      user.nc
        .request(
          '$JS.API.STREAM.CREATE.KV_LATTICEDATA_x',
          JSON.stringify({ name: 'KV_LATTICEDATA_x', subjects: ['lab.*.wrpc.>'] }),
          { timeout: 2_000 },
        )
        .then((answer) => answer.json());
    await expect(make(await attacker('stolen-host-ctl'))).rejects.toThrow();
    await expect(make(await attacker('one-one-account-ctl'))).rejects.toThrow();
    // Where hosts make buckets: theirs may hold any subject of the control account, in which there are no calls.
    const maker = await attacker('maker');
    const subject = '$JS.API.STREAM.CREATE.KV_CONFIGDATA_lab';
    await jetstreamless(maker, '$JS.API.STREAM.DELETE.KV_CONFIGDATA_lab');
    const answer = await maker.nc.request(subject, JSON.stringify({ name: 'KV_CONFIGDATA_lab', subjects: ['lab.*.wrpc.>'] }));
    expect(answer.string()).toContain('error');
    for (let i = 0; i < 5; i++) expect([...(await callTiny(caller))]).toEqual([3, 1, 2, 3]);
  });

  it('CRD-10 a consumer that delivers to a component reaches no component', async () => {
    const user = await attacker('watcher');
    const before = runs();
    const kv = await new Kvm(user.nc).open('LATTICEDATA_lab');
    await kv.put('forged', 'an invocation');
    const config = {
      deliver_subject: CALL,
      deliver_policy: 'all',
      ack_policy: 'none',
      replay_policy: 'instant',
      mem_storage: true,
      num_replicas: 1,
    };
    await user.nc.request(
      '$JS.API.CONSUMER.CREATE.KV_LATTICEDATA_lab',
      JSON.stringify({ stream_name: 'KV_LATTICEDATA_lab', config }),
    );
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(runs()).toBe(before);
    expect(host.logged.some((line) => JSON.stringify(line).includes('LATTICEDATA_lab.forged'))).toBe(false);
    // Hosts that do not need it may not, or the server would give commands to others for them; and never in a shared account.
    const shared = await attacker('one-one-account-ctl');
    const own = await attacker('stolen-host-ctl');
    const publish = ['$JS.API.CONSUMER.CREATE.KV_LATTICEDATA_lab', '$JS.API.CONSUMER.CREATE.KV_LATTICEDATA_lab.name'];
    for (const each of [shared, own]) expect(await each.tries({ publish })).toEqual(attemptNames({ publish }));
  });

  it('CRD-10 an answer of the server that is sent to a component is no call, and one that is sent to hosts has no inbox', async () => {
    const before = runs();
    const heard: string[] = [];
    const other = await attacker('host-ctl');
    const stop = 'wasmbus.ctl.v1.lab.host.stop.NHOST';
    other.nc.subscribe(stop, { callback: (_error, { reply }) => void heard.push(reply ?? '') });
    await other.nc.flush();
    const control = await attacker('stolen-host-ctl');
    await new Kvm(control.nc).open('CONFIGDATA_lab').then((kv) => kv.put('forged', '{}'));
    // The server has the right to publish that the user has not.
    control.nc.publish('$JS.API.DIRECT.GET.KV_CONFIGDATA_lab.$KV.CONFIGDATA_lab.forged', '', { reply: stop });
    const calling = await attacker('stolen-host-rpc');
    calling.nc.publish('$SYS.REQ.USER.INFO', '', { reply: CALL });
    await Promise.all([control.nc.flush(), calling.nc.flush()]);
    await expect.poll(() => heard).toEqual(['']);
    expect(runs()).toBe(before);
  });

  it('INJ-01 INJ-02 nobody is given rights by a name with a wildcard, a dot or a line in it', async () => {
    for (const value of ['*', '>', 'lab.>', 'a b', 'a\r\nPUB x 0\r\n\r\n', 'a\0', '{{tag(x)}}', '', 'é', 'x'.repeat(5_000)]) {
      for (const [kind, values] of [
        ['host-ctl', { lattice: value }],
        ['host-rpc', { lattice: 'lab', components: [value] }],
        ['caller-rpc', { lattice: 'lab', targets: ['tiny', value] }],
        ['provider', { lattice: 'lab', provider: value }],
      ] as const) {
        expect(() => fillTemplate(kind, values)).toThrow(expect.objectContaining({ code: 'TRELLIS_PERMISSION_VALUE' }));
      }
    }
  });

  it('INJ-02 a provider is held to its own id and its links', async () => {
    const user = await attacker('stolen-provider');
    const publish = ['lab.other.wrpc.0.0.1.x', 'wasmbus.rpc.lab.rival.default.shutdown', 'wasmbus.rpc.lab.prov.default.shutdown'];
    const subscribe = ['lab.tiny.wrpc.>', 'wasmbus.rpc.lab.>', 'wasmbus.rpc.lab.rival.>', 'wasmbus.rpc.lab.*.linkdefs.put'];
    expect(await user.tries({ publish, subscribe })).toEqual(attemptNames({ publish, subscribe }));
  });
});

/** Tries what must be refused, whatever the answer would be. */
async function jetstreamless(user: PermittedUser, subject: string): Promise<void> {
  expect(await user.tries({ publish: [subject] })).toEqual([`publish ${subject}`]);
}
