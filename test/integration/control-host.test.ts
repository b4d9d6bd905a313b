import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Kvm } from '@nats-io/kv';
import { connect, credsAuthenticator } from 'nats';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AddedMember } from '../../src/auth/members.ts';
import type { HostConfigInput } from '../../src/config/schema.ts';
import { SigningKey } from '../../src/trust/nkey.ts';
import { credsOf, login, makeAuthLattice } from '../support/auth-lattice.ts';
import { RawControlClient } from '../support/control-host.ts';
import { startLeafHub, templateRights } from '../support/leaf.ts';
import { LeafLattice } from '../support/leaf-lattice.ts';
import { startServer, type TestServer } from '../support/nats-server.ts';
import { memberConfig, seedFile, startTrustHost, TINY, type TrustHost } from '../support/trust-lattice.ts';

const FILE = `file://${TINY.file}`;
const done = (message: string): string => `{"success":true,"message":${JSON.stringify(message)}}`;
const failed = (message: string): string => `{"success":false,"message":${JSON.stringify(message)}}`;

describe('a host', () => {
  let server: TestServer;
  let host: TrustHost;
  let client: RawControlClient;
  const settings = (name: string): HostConfigInput => ({
    lattice: 'lab',
    stateDir: join(server.dir, name),
    artifacts: { allowFiles: true },
    labels: { zone: 'a' },
    trust: { clusterSeedFile: join(server.dir, 'cluster.seed') },
  });
  beforeAll(async () => {
    server = await startServer({ jetstream: true });
    seedFile(server.dir, 'cluster', SigningKey.generate('cluster'));
    host = await startTrustHost(memberConfig(server.url, settings('one')));
    client = await RawControlClient.connect(server.url);
  });
  afterAll(async () => {
    await client[Symbol.asyncDispose]();
    await host.stop();
    await server[Symbol.asyncDispose]();
  });

  it('answers to the byte what wash and wadm ask of it', async () => {
    const heard = await client.events();
    const { id } = host.host;
    const scaled = (): unknown[] =>
      heard.filter(({ name }) => name === 'component_scaled').map(({ data }) => data['max_instances']);
    const scale = { component_id: 'tiny', component_ref: FILE, count: 1, host_id: id, annotations: { by: 'me' } };
    expect(await client.text(`component.update.${id}`, { component_id: 'tiny', new_component_ref: FILE, host_id: id })).toBe(
      failed('component tiny not found'),
    );
    expect(await client.text(`component.update.${id}`, {})).toBe(failed('component  not found'));
    expect(await client.text(`component.scale.${id}`, scale)).toBe(done(''));
    await expect.poll(scaled).toContain(1);
    const inventory = await client.ask(`host.get.${id}`);
    expect(inventory.response).toMatchObject({
      host_id: id,
      components: [{ id: 'tiny', image_ref: FILE, annotations: { by: 'me' }, revision: 0, max_instances: 1, limits: null }],
      providers: [],
    });
    expect(await client.gather('component.auction', { component_ref: FILE, component_id: 'tiny', constraints: {} }, 200)).toEqual(
      [],
    );
    expect(await client.text(`component.update.${id}`, { component_id: 'tiny', new_component_ref: FILE, host_id: id })).toBe(
      done(`component tiny already updated to ${FILE}`),
    );
    expect(await client.text(`component.scale.${id}`, { ...scale, component_ref: 'other' })).toBe(
      done(
        `Requested to scale existing component to a different image reference: ${FILE} != other. The component will be scaled but the image reference will not be updated. If you meant to update this component to a new image ref, use the update command.`,
      ),
    );
    expect(await client.text(`component.scale.${id}`, { ...scale, count: 0 })).toBe(done(''));
    await expect.poll(scaled).toContain(0);
    expect((await client.ask(`host.get.${id}`)).response).toMatchObject({ components: [] });
  });

  it('shares requests for links, claims and configurations with another one, and answers the rest itself', async () => {
    await using other = await startTrustHost(memberConfig(server.url, settings('two')));
    const link = { source_id: 'a', target: 'b', wit_namespace: 'wasi', wit_package: 'http', interfaces: ['x'] };
    for (const [tail, body, answers] of [
      ['host.ping', '', 2],
      ['component.auction', { component_id: 'x', constraints: { zone: 'a' } }, 2],
      ['link.put', link, 1],
      ['link.get', '', 1],
      ['config.put.x', { a: 'b' }, 1],
      ['config.get.x', '', 1],
      ['claims.get', '', 1],
      ['registry.put', { r: { token: 't' } }, 2],
      [`host.get.${other.host.id}`, '', 1],
      [`label.put.${host.host.id}`, { key: 'k', value: 'v' }, 1],
    ] as const) {
      expect(await client.answers(tail, body, 400, answers), tail).toHaveLength(answers);
    }
    await client.text('link.del', link);
  });

  it('stops when it is told to, and only then is silent', async () => {
    const short = await startTrustHost(memberConfig(server.url, settings('three')));
    const { id } = short.host;
    const other = `N${'A'.repeat(55)}`;
    expect(await client.text(`host.stop.${id}`, { host_id: other })).toBe(failed(`invalid host_id [${other}]`));
    expect(await client.text(`host.stop.${id}`, { timeout: 500 })).toBe(done('successfully handled stop host'));
    expect(await short.host.closed).toBeUndefined();
    await expect(client.message(`host.get.${id}`)).rejects.toThrow(/responders/);
  });
});

describe('a host with the users that trellis auth makes', () => {
  it.each([
    ['an account for each partition', {}],
    ['one account for both', { layout: 'one-account' as const }],
  ])('takes commands from an operator, and bids for the components that it may serve: %s', async (_, more) => {
    await using lattice = await makeAuthLattice();
    await lattice.addTenant('acme', more);
    const host = await lattice.addMember('host', 'web', { components: ['echo'] });
    const operator = await lattice.addMember('operator', 'ops');
    const provisioning = await lattice.addMember('provisioning', 'setup');
    const server = await lattice.server();
    const maker = await login(server.url, provisioning, 'ctl');
    for (const bucket of ['LATTICEDATA_acme', 'CONFIGDATA_acme', 'LATTICETRUST_acme']) await new Kvm(maker).create(bucket);
    await maker.close();
    const at = (member: AddedMember, partition: 'ctl' | 'rpc') => ({
      servers: [server.url],
      credsFile: credsOf(member, partition),
    });
    const clusterSeedFile = seedFile(lattice.dir, 'cluster', SigningKey.generate('cluster'));
    await using running = await startTrustHost(
      memberConfig(server.url, {
        lattice: 'acme',
        stateDir: join(lattice.dir, 'state'),
        artifacts: { allowFiles: true },
        ctl: at(host, 'ctl'),
        rpc: at(host, 'rpc'),
        trust: { clusterSeedFile },
      }),
    );
    await using client = RawControlClient.over(await login(server.url, operator, 'ctl'), 'wasmbus.ctl.v1.acme');
    const { id } = running.host;
    const heard = await client.events('acme');
    const auction = async (component: string): Promise<number> =>
      (await client.gather('component.auction', { component_id: component, constraints: {} }, 300)).length;
    await expect.poll(() => Promise.all([auction('echo'), auction('other')])).toEqual([1, 0]);
    const link = { source_id: 'echo', target: 'b', wit_namespace: 'wasi', wit_package: 'http', interfaces: ['x'] };
    for (const [tail, body] of [
      ['host.ping', ''],
      [`host.get.${id}`, ''],
      [`label.put.${id}`, { key: 'k', value: 'v' }],
      ['config.put.x', { a: 'b' }],
      ['config.get.x', ''],
      ['link.put', { ...link, source_config: ['x'] }],
      ['link.get', ''],
      ['link.del', link],
      ['config.del.x', ''],
      ['claims.get', ''],
      ['registry.put', { r: { token: 't' } }],
      [`component.scale.${id}`, { component_id: 'echo', component_ref: FILE, count: 1 }],
    ] as const) {
      expect([tail, await client.ask(tail, body)]).toMatchObject([tail, { success: true }]);
    }
    await expect.poll(() => heard.map(({ name }) => name)).toContain('component_scaled');
    const known = heard.map(({ name }) => name);
    for (const name of ['labels_changed', 'config_set', 'linkdef_set', 'linkdef_deleted', 'config_deleted'])
      expect(known).toContain(name);
    // Its user may not tell providers of links, and it has left off after the first try; nothing else was refused.
    const refused = running.logged.filter(({ code }) => code === 'TRELLIS_NATS_PERMISSION');
    expect(refused.map(({ subject }) => subject)).toEqual([]);
    expect(await client.text(`host.stop.${id}`)).toBe(done('successfully handled stop host'));
    expect(await running.host.closed).toBeUndefined();
  });
});

describe('a host behind a leaf node', () => {
  it('takes commands from an operator at the hub', async () => {
    const root = mkdtempSync(join(tmpdir(), 'trellis-test-'));
    {
      await using hub = await startLeafHub(root);
      await using lattice = await LeafLattice.start(hub, 'both', 'far');
      await using near = await lattice.host(lattice.direct(), []);
      await using behind = await lattice.host(lattice.behind({ artifacts: { allowFiles: true } }), []);
      const operator = hub.ctl.addUser('ops', templateRights('operator-ctl', 'far'));
      const nc = await connect({
        servers: hub.url,
        authenticator: credsAuthenticator(readFileSync(operator.credsFile)),
        inboxPrefix: `_INBOX_CTL.far.${operator.publicKey}.test`,
        tls: { caFile: hub.certificates.caFile },
      });
      await using client = RawControlClient.over(nc, 'wasmbus.ctl.v1.far');
      const { id } = behind.host;
      const hosts = async (): Promise<number> => (await client.gather('host.ping', '', 500)).length;
      await expect.poll(hosts).toBe(2);
      const link = { source_id: 'a', target: 'b', wit_namespace: 'wasi', wit_package: 'http', interfaces: ['x'] };
      for (const [tail, body] of [
        [`host.get.${id}`, ''],
        [`label.put.${id}`, { key: 'k', value: 'v' }],
        [`component.scale.${id}`, { component_id: 'tiny', component_ref: FILE, count: 1 }],
        ['config.put.x', { a: 'b' }],
        ['config.get.x', ''],
        ['link.put', { ...link, target_config: ['x'] }],
        ['link.del', link],
        ['claims.get', ''],
      ] as const) {
        for (let again = 0; again < 2; again++) {
          const answers = await client.answers(tail, body, 200);
          // Once, whichever of the two took it.
          expect([tail, answers.length, answers.filter((text) => text.includes('"success":true')).length]).toEqual([tail, 1, 1]);
        }
      }
      await expect
        .poll(async () => ((await client.ask(`host.get.${id}`)).response as { components: unknown[] }).components.length)
        .toBe(1);
      const refused = [...near.logged, ...behind.logged].filter(({ code }) => code === 'TRELLIS_NATS_PERMISSION');
      expect(refused).toEqual([]);
    }
    rmSync(root, { recursive: true, force: true });
  });
});
