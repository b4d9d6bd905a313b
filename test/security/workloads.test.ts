import { once } from 'node:events';
import { chmodSync, copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { connect, credsAuthenticator } from 'nats';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fillTemplate } from '../../src/auth/permission-templates.ts';
import type { HostConfigInput } from '../../src/config/schema.ts';
import { sampleFile } from '../../src/development.ts';
import { mintDelegation } from '../../src/trust/delegation.ts';
import { SigningKey } from '../../src/trust/nkey.ts';
import { switchboardComponent } from '../support/components.ts';
import { RawControlClient } from '../support/control-host.ts';
import { callEcho } from '../support/daemon-lattice.ts';
import { startJwtServer } from '../support/nats-server.ts';
import { asUserPermissions } from '../support/permitted-users.ts';
import { Program } from '../support/program.ts';
import { memberConfig, seedFile, startTrustHost, TINY, until } from '../support/trust-lattice.ts';
import { type HeardEvent, startWorkloadLattice, type WorkloadHost, type WorkloadLattice } from '../support/workload-lattice.ts';

/** What whoever may send control messages can have a host run, and as whom: WRK. */

let lattice: WorkloadLattice;
let ref: string;

beforeAll(async () => {
  lattice = await startWorkloadLattice();
  const file = join(lattice.server.dir, 'tiny.wasm');
  copyFileSync(sampleFile('echo/tiny.wasm'), file);
  ref = pathToFileURL(file).href;
});
afterAll(async () => lattice[Symbol.asyncDispose]());

/** A host whose delegation comes from a file that names these. */
async function narrowed(name: string, ids: readonly string[], more: HostConfigInput = {}): Promise<WorkloadHost> {
  const key = SigningKey.generate('server');
  const minted = { lattice: 'default', subject: key.publicKey, epoch: 0, nowMs: Date.now(), lifetimeMs: 3_600_000 };
  const delegationFile = join(lattice.server.dir, `${name}.dlg`);
  writeFileSync(delegationFile, mintDelegation(lattice.issuer, { ...minted, origins: ids, targets: ids }), { mode: 0o600 });
  return lattice.host({
    hostSeedFile: seedFile(lattice.server.dir, name, key),
    ...more,
    trust: { delegationFile, clusterIssuers: [lattice.issuer.publicKey], ...more.trust },
  });
}

const pids = (host: WorkloadHost): number => host.host.status().components.flatMap((each) => each.pids).length;
const errorOf = ({ data }: HeardEvent): string => String(data['error']);

describe('what a host runs for the lattice', () => {
  it('WRK-01 is nothing that its delegation does not name: refused before anything is fetched, and not bid for', async () => {
    const host = await narrowed('narrow', ['wrk-named']);
    const refused = await host.scaled('wrk-other', { component_ref: 'file:///nowhere.wasm', count: 1 });
    expect(refused.name).toBe('component_scale_failed');
    // Not that the file is missing: it was not looked for.
    expect(errorOf(refused)).toContain('the delegation of this host does not name component wrk-other');
    expect(pids(host)).toBe(0);
    await host.scaled('wrk-named', { component_ref: ref, count: 1 });
    await callEcho(lattice.caller, 'wrk-named');
    const bids = async (id: string): Promise<number> => {
      const answers = await lattice.client.gather(
        'component.auction',
        { component_ref: ref, component_id: id, constraints: {} },
        300,
      );
      return answers.filter((answer) => answer.includes(host.id)).length;
    };
    expect([await bids('wrk-other'), await bids('wrk-named')]).toEqual([0, 0]);
    await host.scaled('wrk-named', { count: 0 });
    await expect.poll(() => bids('wrk-named')).toBe(1);
    await host.stop();
  });

  it('WRK-02 is nothing that the issuer service refuses to name; what runs goes on', async () => {
    const dir = lattice.server.dir;
    const key = SigningKey.generate('server');
    const allow = join(dir, 'allow.yaml');
    writeFileSync(
      allow,
      JSON.stringify({
        allow: [{ host: key.publicKey, origins: ['wrk-allowed'], targets: ['wrk-allowed'], lifetimeMs: 60_000 }],
      }),
    );
    const ops = join(dir, 'ops.yaml');
    const connections = { ctl: { servers: [lattice.server.url] }, rpc: { servers: [lattice.server.url] } };
    writeFileSync(
      ops,
      JSON.stringify({ dev: true, lattice: 'default', ...connections, trust: { clusterIssuers: [lattice.issuer.publicKey] } }),
    );
    const seed = seedFile(dir, 'service', lattice.issuer);
    await using service = new Program('cli', ['issuer', '--seed-file', seed, '--allow', allow, '--config', ops]);
    await service.logLine((line) => line['msg'] === 'issuer service ready');
    const host = await lattice.host({
      hostSeedFile: seedFile(dir, 'issued', key),
      trust: { issuerService: true, clusterIssuers: [lattice.issuer.publicKey] },
    });
    await host.scaled('wrk-allowed', { component_ref: ref, count: 1 });
    await callEcho(lattice.caller, 'wrk-allowed');
    const refused = await host.scaled('wrk-denied', { component_ref: ref, count: 1 });
    expect(refused.name).toBe('component_scale_failed');
    expect(errorOf(refused)).toContain('does not name component wrk-denied');
    await callEcho(lattice.caller, 'wrk-allowed');
    expect(pids(host)).toBe(1);
    await host.stop();
  });

  it('WRK-03 is nothing that its NATS user may not serve: no runner stays, and whoever asked is told', async () => {
    await using jwt = await startJwtServer();
    const user = (kind: string, values: Record<string, string | string[]>) =>
      asUserPermissions(fillTemplate(kind, { lattice: 'default', ...values }, kind === 'host-ctl' ? ['make-buckets'] : []));
    const users = {
      ctl: jwt.ctl.addScopedUser('host-ctl', user('host-ctl', {})),
      rpc: jwt.rpc.addScopedUser('host-rpc', user('host-rpc', { components: ['wrk-may'] })),
      client: jwt.ctl.addUser('client'),
    };
    await jwt.reload();
    const clusterSeedFile = seedFile(jwt.server.dir, 'cluster', SigningKey.generate('cluster'));
    const connection = ({ credsFile }: { credsFile: string }) => ({ servers: [jwt.url], credsFile });
    await using host = await startTrustHost(
      memberConfig(jwt.url, {
        stateDir: join(jwt.server.dir, 'state'),
        artifacts: { allowFiles: true },
        ctl: connection(users.ctl),
        rpc: connection(users.rpc),
        trust: { clusterSeedFile },
      }),
    );
    const authenticator = credsAuthenticator(readFileSync(users.client.credsFile));
    await using client = RawControlClient.over(await connect({ servers: jwt.url, authenticator }), 'wasmbus.ctl.v1.default');
    const events = await client.events('default');
    for (const component_id of ['wrk-may', 'wrk-may-not'])
      await client.ask(`component.scale.${host.host.id}`, { component_id, component_ref: ref, count: 1 });
    const of = (id: string): string[] => events.filter(({ data }) => data['component_id'] === id).map(({ name }) => name);
    await until(() => of('wrk-may').length === 2 && of('wrk-may-not').length === 1);
    expect(of('wrk-may-not')).toEqual(['component_scale_failed']);
    expect(JSON.stringify(events)).toContain('may not serve component wrk-may-not');
    expect(host.host.status().components.map(({ id }) => id)).toEqual(['wrk-may']);
    await until(() => host.host.member?.delegation.held.claims.tgt === 'wrk-may');
  });

  it('WRK-04 START-20 is no file unless that was allowed, and none that others here can replace', async () => {
    const host = await lattice.host({ artifacts: { allowFiles: false } });
    expect(errorOf(await host.scaled('wrk-file', { component_ref: ref, count: 1 }))).toContain('file loading is disabled');
    expect(pids(host)).toBe(0);
    await host.stop();

    const open = join(lattice.server.dir, 'open');
    mkdirSync(open);
    copyFileSync(sampleFile('echo/tiny.wasm'), join(open, 'tiny.wasm'));
    chmodSync(open, 0o777);
    const replaceable = pathToFileURL(join(open, 'tiny.wasm')).href;
    const accepted = [
      'same-credentials',
      'partition',
      'clock-offset',
      'vulnerable-server',
      'root',
      'core-dumps',
      'unconfined-components',
      'anonymous',
    ];
    const strict = await lattice.host({ dev: false, allow: accepted });
    expect(errorOf(await strict.scaled('wrk-file', { component_ref: replaceable, count: 1 }))).toContain(
      'other users can replace',
    );
    expect((await strict.scaled('wrk-file', { component_ref: ref, count: 1 })).name).toBe('component_scaled');
    await strict.stop();
    const loose = await lattice.host({ dev: false, allow: [...accepted, 'replaceable-components'] });
    expect((await loose.scaled('wrk-file', { component_ref: replaceable, count: 1 })).name).toBe('component_scaled');
    // Whoever schedules can see what its operator has accepted.
    const { response } = await lattice.client.ask(`host.get.${loose.id}`);
    expect((response as { labels: Record<string, string> }).labels['trellis.allow']).toContain('replaceable-components');
    await loose.stop();
  });

  it('WRK-05 has nothing of what an operator granted to a component of the same id', async () => {
    const secret = { token: 'for the eyes of one program only' };
    const host = await lattice.host({
      components: [{ ...TINY, id: 'wrk-own', config: secret, env: secret, grants: { network: ['localhost:1'] } }],
    });
    const board = pathToFileURL(switchboardComponent().file).href;
    expect(await host.update('wrk-own', board)).toMatchObject({ success: false });
    await host.scaled('wrk-own', { count: 0 });
    await host.scaled('wrk-own', { component_ref: board, count: 1 });
    expect((await lattice.call('wrk-own', 'settings')).json).toEqual([]);
    await host.scaled('wrk-own', { component_ref: board, count: 2 });
    expect((await lattice.call('wrk-own', 'settings')).json).toEqual([]);
    await host.stop();
  });

  it('WRK-06 lives through names, numbers and references that nobody should send, and through very many of them', async () => {
    const host = await lattice.host();
    const send = (body: object): Promise<{ success: boolean }> => lattice.client.ask(`component.scale.${host.id}`, body);
    for (const component_id of ['', '*', '>', 'a.b', 'a b', '../../etc', 'a\r\nPUB x 0', 'ä', 'x'.repeat(129), '__proto__ '])
      expect(await send({ component_id, component_ref: ref, count: 1 }), component_id).toMatchObject({ success: false });
    for (const count of [-1, 1.5, 2 ** 32, '1', null])
      expect(await send({ component_id: 'wrk-odd', component_ref: ref, count }), String(count)).toMatchObject({ success: false });
    for (const [at, component_ref] of [
      'file://%00',
      'file:///etc/../etc/passwd',
      'file:///proc/self/mem',
      'x'.repeat(5_000),
      'wasmcloud+builtin://http-server',
    ].entries())
      expect((await host.scaled(`wrk-ref-${at}`, { component_ref, count: 1 })).name, component_ref).toBe(
        'component_scale_failed',
      );
    // Ids that mean something to JavaScript mean nothing here.
    for (const id of ['constructor', '__proto__', 'toString']) {
      expect((await host.scaled(id, { component_ref: ref, count: 1, annotations: { ['__proto__']: 'x' } })).name).toBe(
        'component_scaled',
      );
      await host.scaled(id, { count: 0 });
    }
    const floods = await Promise.allSettled(
      Array.from({ length: 6_000 }, (_, at) =>
        send({ component_id: `wrk-flood-${at % 3_000}`, component_ref: 'file:///nowhere.wasm', count: 1 + (at % 3) }),
      ),
    );
    expect(floods.some(({ status }) => status === 'fulfilled')).toBe(true);
    await until(async () => (await lattice.client.ask(`host.get.${host.id}`).catch(() => ({ success: false }))).success);
    await until(() => host.logged.filter(({ msg }) => msg === 'a component could not be scaled').length > 0);
    expect((await host.scaled('wrk-after', { component_ref: ref, count: 1 })).name).toBe('component_scaled');
    expect(host.host.status().components.map(({ id }) => id)).toEqual(['wrk-after']);
    await host.stop();
  });

  it('WRK-07 is no more than the host has room for, and no component gets more instances than the host gives one', async () => {
    const host = await lattice.host({ limits: { maxComponents: 2, maxInstances: 3 } });
    const outcomes = await Promise.all(
      ['wrk-1', 'wrk-2', 'wrk-3', 'wrk-4'].map((id) => host.scaled(id, { component_ref: ref, count: 4_294_967_295 })),
    );
    expect(outcomes.map(({ name }) => name).toSorted()).toEqual([
      'component_scale_failed',
      'component_scale_failed',
      'component_scaled',
      'component_scaled',
    ]);
    expect(outcomes.filter(({ name }) => name === 'component_scale_failed').map(errorOf)[0]).toContain('2 components');
    const bids = await lattice.client.gather(
      'component.auction',
      { component_ref: ref, component_id: 'wrk-5', constraints: {} },
      300,
    );
    expect(bids.filter((bid) => bid.includes(host.id))).toEqual([]);
    await host.stop();
  });

  it('WRK-08 keeps nothing that is larger than anybody needs, and looks up no more configurations than that', async () => {
    const host = await lattice.host();
    const config = Array.from({ length: 90_000 }, (_, at) => `n${at}`);
    const large = 'x'.repeat(70_000);
    for (const asked of [
      { config },
      { annotations: { a: large } },
      { component_limits: { a: large } },
      { component_ref: large },
    ]) {
      const { success, message } = await host.scale('wrk-large', { component_ref: ref, count: 1, ...asked });
      expect([success, message]).toEqual([false, expect.stringMatching(/this host takes (?:256|65536)$/)]);
    }
    expect(await host.update('wrk-large', large)).toMatchObject({ success: false });
    const link = { source_id: 'a', target: 'b', wit_namespace: 'x', wit_package: 'y', interfaces: ['z'] };
    for (const more of [{ source_config: config }, { target_config: config }, { interfaces: [large] }]) {
      const answer = await lattice.client.ask('link.put', { ...link, ...more });
      expect(answer).toMatchObject({ success: false });
    }
    // As many as that are answered, each once, in the words of 1.x.
    const few = config.slice(0, 256);
    const { message } = await lattice.client.ask('link.put', { ...link, source_config: few });
    expect(message.match(/not found in config store/g)).toHaveLength(256);
    expect(host.host.status().components).toEqual([]);
    await host.stop();
  });

  it('WRK-09 keeps no reload waiting for a registry that says nothing, however often it is asked for', async () => {
    const pit = createServer(() => {}).listen(0, '127.0.0.1');
    await once(pit, 'listening');
    const registry = `127.0.0.1:${(pit.address() as AddressInfo).port}`;
    const artifacts = { allowFiles: true, insecureRegistries: [registry], pullTimeoutMs: 120_000 };
    const settings = { artifacts, components: [{ ...TINY, id: 'wrk-conf' }] };
    const host = await lattice.host(settings);
    await host.scaled('wrk-conf', { component_ref: pathToFileURL(TINY.file!).href, count: 0 });
    const asked = ['wrk-conf', 'wrk-conf', ...Array.from({ length: 7 }, (_, at) => `wrk-pit-${at}`), 'wrk-conf'];
    for (const id of asked) expect((await host.scale(id, { component_ref: `${registry}/a/b:1`, count: 1 })).success).toBe(true);
    const outcome = await host.host.reload(memberConfig(lattice.server.url, { ...settings, labels: { zone: 'new' } }));
    expect(outcome).not.toHaveProperty('errors');
    // Nobody has given up on the registry by then.
    expect(lattice.of('wrk-pit-0')).toEqual([]);
    await until(() => lattice.of('wrk-conf').filter(({ name }) => name === 'component_scale_failed').length === 3);
    expect(errorOf(lattice.of('wrk-conf').at(-1)!)).toContain('ask again');
    // Whoever asks again after it is served as ever.
    const again = await host.scaled('wrk-conf', { component_ref: pathToFileURL(TINY.file!).href, count: 1 });
    expect(again.name).toBe('component_scaled');
    await host.stop();
    pit.close();
  });
});
