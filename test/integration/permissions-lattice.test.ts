import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Kvm } from '@nats-io/kv';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fillTemplate, type TemplateValues } from '../../src/auth/permission-templates.ts';
import type { HostConfigInput } from '../../src/config/schema.ts';
import { SigningKey } from '../../src/trust/nkey.ts';
import type { NatsUser, TestAccount } from '../support/accounts.ts';
import { freePort } from '../support/free-port.ts';
import { type JwtTestServer, startJwtServer, startServer } from '../support/nats-server.ts';
import { asUserPermissions, PermittedUser } from '../support/permitted-users.ts';
import { Program, runProgram } from '../support/program.ts';
import { callTiny, memberConfig, seedFile, startTrustCaller, startTrustHost, TINY } from '../support/trust-lattice.ts';

const issuer = SigningKey.generate('cluster');
let leafPort: number;
let jwt: JwtTestServer;
let one: TestAccount;
let seed: string;

/** A user of a kind, in lattice `lab`. */
function add(account: TestAccount, kind: string, extensions: readonly string[] = [], values: TemplateValues = {}): NatsUser {
  return account.addScopedUser(kind, asUserPermissions(fillTemplate(kind, { lattice: 'lab', ...values }, extensions)));
}

const KINDS = ['host-ctl', 'caller-ctl', 'operator-ctl', 'issuer-ctl', 'provisioning'] as const;
let ctl: Record<(typeof KINDS)[number], NatsUser>;
let rpc: Record<'host-rpc' | 'caller-rpc', NatsUser>;
let single: Record<'provisioning' | 'one-account-ctl' | 'one-account-rpc' | 'caller-ctl' | 'caller-rpc', NatsUser>;
let leaf: Record<'host-ctl-leaf' | 'host-rpc-leaf', NatsUser>;

beforeAll(async () => {
  leafPort = freePort();
  jwt = await startJwtServer({ configText: `leafnodes { listen: "127.0.0.1:${leafPort}" }\njetstream { domain: hub }\n` });
  one = jwt.operator.addAccount('one', { jetstream: true });
  const all = <Kind extends string>(account: TestAccount, kinds: readonly Kind[]): Record<Kind, NatsUser> =>
    Object.fromEntries(kinds.map((kind) => [kind, add(account, kind)])) as Record<Kind, NatsUser>;
  ctl = all(jwt.ctl, KINDS);
  rpc = all(jwt.rpc, ['host-rpc', 'caller-rpc']);
  single = all(one, ['provisioning', 'one-account-ctl', 'one-account-rpc', 'caller-ctl', 'caller-rpc']);
  leaf = {
    'host-ctl-leaf': add(jwt.ctl, 'host-ctl-leaf', ['jetstream-domain'], { domain: 'hub' }),
    'host-rpc-leaf': add(jwt.rpc, 'host-rpc-leaf'),
  };
  seed = seedFile(jwt.server.dir, 'cluster', issuer);
  await jwt.reload();
  for (const user of [ctl.provisioning, single.provisioning]) {
    await using maker = await PermittedUser.connect(jwt.url, user, '_INBOX_CTL.lab');
    for (const bucket of ['LATTICEDATA_lab', 'CONFIGDATA_lab', 'LATTICETRUST_lab']) await new Kvm(maker.nc).create(bucket);
  }
});
afterAll(async () => {
  await jwt[Symbol.asyncDispose]();
});

const member = (name: string, users: { ctl: NatsUser; rpc: NatsUser }, more: HostConfigInput = {}, url = jwt.url) =>
  memberConfig(url, {
    lattice: 'lab',
    stateDir: join(jwt.server.dir, name),
    audit: { file: join(jwt.server.dir, `${name}.audit`) },
    ...more,
    ctl: { servers: [url], credsFile: users.ctl.credsFile },
    rpc: { servers: [url], credsFile: users.rpc.credsFile },
    trust: {
      clusterIssuers: [issuer.publicKey],
      unlinkedOrigins: ['caller'],
      store: 'required',
      ...(more.trust ?? { clusterSeedFile: seed }),
    },
  });
const refusals = (logged: readonly Record<string, unknown>[]): unknown[] =>
  logged.filter((line) => JSON.stringify(line).includes('Permissions Violation') || line['code'] === 'TRELLIS_NATS_PERMISSION');

describe('a lattice whose users have the least rights', () => {
  it('serves, calls, describes, audits, delegates, and is ruled by its operator', async () => {
    const ops = join(jwt.server.dir, 'ops.yaml');
    const settings = (user: NatsUser): void => {
      const connections = { ctl: { servers: [jwt.url], credsFile: user.credsFile }, rpc: { servers: [jwt.url] } };
      writeFileSync(
        ops,
        JSON.stringify({ dev: true, lattice: 'lab', ...connections, trust: { clusterIssuers: [issuer.publicKey] } }),
      );
    };
    settings(ctl['issuer-ctl']);
    const allow = join(jwt.server.dir, 'allow.yaml');
    const entry = { user: ctl['host-ctl'].publicKey, origins: ['tiny'], targets: ['tiny'], lifetimeMs: 60_000 };
    writeFileSync(
      allow,
      JSON.stringify({ allow: [entry, { ...entry, user: ctl['caller-ctl'].publicKey, origins: ['caller'] }] }),
    );
    await using service = new Program('cli', ['issuer', '--seed-file', seed, '--allow', allow, '--config', ops]);
    await service.logLine((line) => line['msg'] === 'issuer service ready');
    await using person = await PermittedUser.connect(jwt.url, ctl['operator-ctl'], '_INBOX_CTL.lab');
    const events: string[] = [];
    person.nc.subscribe('wasmbus.evt.lab.>', { callback: (_error, { subject }) => void events.push(subject) });
    await person.nc.flush();

    const trust = { issuerService: true };
    await using host = await startTrustHost(
      member('host', { ctl: ctl['host-ctl'], rpc: rpc['host-rpc'] }, { components: [TINY], trust }),
    );
    await using caller = await startTrustCaller(member('caller', { ctl: ctl['caller-ctl'], rpc: rpc['caller-rpc'] }, { trust }));
    expect([...(await callTiny(caller))]).toEqual([3, 1, 2, 3]);
    expect((await caller.describe('tiny', 20_000)).id).toBe('tiny');
    await expect.poll(() => events).toContain('wasmbus.evt.lab.audit_control');

    settings(ctl['operator-ctl']);
    const shown = await runProgram('cli', ['keys', 'issuers', '--config', ops, '--output', 'json']);
    expect(JSON.parse(shown.stdout)).toMatchObject({ lattice: 'lab', hosts: [{ host: host.host.id }] });
    const key = SigningKey.generate('server').publicKey;
    const revoked = await runProgram('cli', [
      'keys',
      'revoke',
      key,
      '--now',
      '--seed-file',
      seed,
      '--config',
      ops,
      '--output',
      'json',
    ]);
    expect(revoked.stderr + revoked.stdout).toContain(key);
    expect(revoked.code).toBe(0);
    expect(refusals([...host.logged, ...service.logLines()])).toEqual([]);
    expect(person.refused).toEqual([]);
  });

  it.each(['host-ctl', 'one-account-ctl'] as const)('NAT-23 runs one process under a host key (%s)', async (kind) => {
    const users =
      kind === 'host-ctl'
        ? { ctl: ctl['host-ctl'], rpc: rpc['host-rpc'] }
        : { ctl: single['one-account-ctl'], rpc: single['one-account-rpc'] };
    const hostSeedFile = seedFile(jwt.server.dir, `twin-${kind}`, SigningKey.generate('server'));
    await using first = await startTrustHost(member(`twin-1-${kind}`, users, { hostSeedFile }));
    await expect(startTrustHost(member(`twin-2-${kind}`, users, { hostSeedFile }))).rejects.toMatchObject({
      code: 'TRELLIS_HOST_DUPLICATE',
    });
    expect(refusals(first.logged)).toEqual([]);
  });

  it('works in one account as well', async () => {
    const users = { ctl: single['one-account-ctl'], rpc: single['one-account-rpc'] };
    await using host = await startTrustHost(member('one', users, { components: [TINY] }));
    await using caller = await startTrustCaller(member('one-caller', { ctl: single['caller-ctl'], rpc: single['caller-rpc'] }));
    expect([...(await callTiny(caller))]).toEqual([3, 1, 2, 3]);
    expect(refusals(host.logged)).toEqual([]);
  });

  it('waits for a bucket that it may not make, and has it as soon as somebody did', async () => {
    // No bucket of this lattice exists.
    const rights = (kind: string): ReturnType<typeof asUserPermissions> =>
      asUserPermissions(fillTemplate(kind, { lattice: 'late' }));
    const users = {
      ctl: jwt.ctl.addScopedUser('late', rights('host-ctl')),
      rpc: jwt.rpc.addScopedUser('late', rights('host-rpc')),
    };
    const maker = jwt.ctl.addScopedUser('late-maker', rights('provisioning'));
    await jwt.reload();
    const starting = startTrustHost(member('late', users, { lattice: 'late' }));
    await new Promise((resolve) => setTimeout(resolve, 500));
    await using provisioning = await PermittedUser.connect(jwt.url, maker, '_INBOX_CTL.late');
    await new Kvm(provisioning.nc).create('LATTICETRUST_late');
    await using host = await starting;
    expect(host.host.status().ready).toBe(true);
  });
});

describe('a host behind a leaf node', () => {
  it('serves a caller at the hub with the rights of a leaf user alone', async () => {
    // One local account for each partition, each with a remote of its own; a key chooses, nobody is anonymous.
    const local = { ctl: SigningKey.generate('user'), rpc: SigningKey.generate('user') };
    const remote = (account: 'CTL' | 'RPC', user: NatsUser): string =>
      `{ url: "nats-leaf://127.0.0.1:${leafPort}", account: ${account}, credentials: "${user.credsFile}" }`;
    await using sidecar = await startServer({
      configText: [
        'server_name: sidecar',
        `accounts { CTL: { users: [ { nkey: ${local.ctl.publicKey} } ] }, RPC: { users: [ { nkey: ${local.rpc.publicKey} } ] } }`,
        'default_js_domain { CTL: hub }',
        `leafnodes { remotes: [ ${remote('CTL', leaf['host-ctl-leaf'])}, ${remote('RPC', leaf['host-rpc-leaf'])} ] }`,
      ].join('\n'),
    });
    await expect.poll(() => sidecar.log().match(/Leafnode connection created/g)?.length).toBe(2);
    const connection = (partition: 'ctl' | 'rpc'): object => ({
      servers: [sidecar.url],
      seedFile: seedFile(sidecar.dir, partition, local[partition]),
      // Answers from the hub come only to inboxes of the user with which the leaf node logged in.
      inboxPrefix: `_INBOX_${partition.toUpperCase()}.lab.${leaf[`host-${partition}-leaf`].publicKey}`,
    });
    const config = memberConfig(sidecar.url, {
      lattice: 'lab',
      stateDir: join(sidecar.dir, 'host'),
      components: [TINY],
      trust: { clusterIssuers: [issuer.publicKey], clusterSeedFile: seed, unlinkedOrigins: ['caller'], store: 'required' },
      ctl: connection('ctl'),
      rpc: connection('rpc'),
    });
    await using host = await startTrustHost(config);
    await using caller = await startTrustCaller(member('leaf-caller', { ctl: ctl['caller-ctl'], rpc: rpc['caller-rpc'] }));
    expect([...(await callTiny(caller))]).toEqual([3, 1, 2, 3]);
    expect((await caller.describe('tiny', 20_000)).id).toBe('tiny');
    // The bucket at the hub holds the delegation that the host put there through the leaf node.
    await using person = await PermittedUser.connect(jwt.url, ctl['operator-ctl'], '_INBOX_CTL.lab');
    const kv = await new Kvm(person.nc).open('LATTICETRUST_lab');
    await expect.poll(async () => (await kv.get(`delegation.${host.host.id}`))?.operation).toBe('PUT');
    expect(readFileSync(leaf['host-ctl-leaf'].credsFile, 'utf8')).toContain('BEGIN NATS USER JWT');
  });
});
