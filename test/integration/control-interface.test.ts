import { setTimeout as sleep } from 'node:timers/promises';
import { headers } from 'nats';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ControlClient } from '../../src/control/control-client.ts';
import { latticeName } from '../../src/ids.ts';
import { type ControlHost, RawControlClient, runs, startControlHost } from '../support/control-host.ts';
import { startServer, type TestServer } from '../support/nats-server.ts';
import { until } from '../support/until.ts';

let server: TestServer;
let client: RawControlClient;
beforeAll(async () => {
  server = await startServer({ jetstream: true });
  client = await RawControlClient.connect(server.url);
});
afterAll(async () => {
  await client[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
});

const LINK = {
  source_id: 'web',
  target: 'store',
  name: 'default',
  wit_namespace: 'wasi',
  wit_package: 'keyvalue',
  interfaces: ['store', 'atomics'],
  source_config: [],
  target_config: [],
};
const KEY = { source_id: 'web', wit_namespace: 'wasi', wit_package: 'keyvalue' };
const done = (message: string): string => `{"success":true,"message":"${message}"}`;
const failed = (message: string): string => `{"success":false,"message":"${message}"}`;
const CONFLICT = 'link already exists with different target, consider deleting the existing link or using a different link name';
const MISSING =
  'Failed to validate configuration and secrets. Configuration nope not found in config store. Secret reference SECRET_nope not found in config store. ';

/** Requests in the order in which they are sent: what they are, what is sent, what is answered, to the byte, and which events come. */
const EXCHANGES: readonly (readonly [string, unknown, string, readonly string[]])[] = [
  ['label.put.HOST', { key: 'tier', value: 'gold' }, done('successfully put label'), ['labels_changed']],
  ['label.put.HOST', { key: 'HostCore.os', value: 'x' }, failed('hostcore.* labels cannot be set dynamically'), []],
  ['label.put.HOST', 'x', failed('failed to deserialize put label request'), []],
  ['label.del.HOST', { key: 'tier' }, done('successfully deleted label'), ['labels_changed']],
  ['label.del.HOST', { key: 'tier' }, done('successfully deleted label (no such label)'), []],
  ['label.del.HOST', {}, failed('failed to deserialize delete label request'), []],

  ['config.get.a', '', done('Configuration not found'), []],
  ['config.put.a', { k: 'v', ü: '' }, done('successfully put config'), ['config_set']],
  ['config.get.a', '', '{"success":true,"message":"","response":{"k":"v","ü":""}}', []],
  ['config.put.a', { k: 1 }, failed('config data should be a map of string -> string'), []],
  ['config.put.a', { other: 'v' }, done('successfully put config'), ['config_set']],
  ['config.get.a', '', '{"success":true,"message":"","response":{"other":"v"}}', []],
  ['config.del.a', '', done('successfully deleted config'), ['config_deleted']],
  ['config.del.a', '', done('successfully deleted config'), ['config_deleted']],
  ['config.get.a', '', done('Configuration not found'), []],
  ['config.put.SECRET_a', { backend: 'x', key: 'y' }, done('successfully put config'), ['config_set']],

  ['link.get', '', '{"success":true,"message":"","response":[]}', []],
  ['link.put', LINK, done('successfully set link'), ['linkdef_set']],
  ['link.put', LINK, done('successfully set link'), ['linkdef_set']],
  ['link.put', { ...LINK, target: 'other' }, failed(CONFLICT), ['linkdef_set_failed']],
  ['link.put', { ...LINK, target: 'a.b' }, failed('target \\"a.b\\" is not allowed'), ['linkdef_set_failed']],
  ['link.put', { ...LINK, source_id: '*' }, failed('source_id \\"*\\" is not allowed'), ['linkdef_set_failed']],
  [
    'link.put',
    { ...LINK, source_config: ['nope'], target_config: ['SECRET_nope', 'SECRET_a'] },
    failed(MISSING),
    ['linkdef_set_failed'],
  ],
  ['link.put', { source_id: 'web' }, failed('failed to deserialize wrpc link definition'), []],
  ['link.get', '', `{"success":true,"message":"","response":[${JSON.stringify(LINK)}]}`, []],
  ['link.del', KEY, done('successfully deleted link'), ['linkdef_deleted']],
  ['link.del', KEY, done('successfully deleted link'), ['linkdef_deleted']],
  ['link.del', { ...KEY, source_id: 'never' }, done("successfully deleted link (spec doesn't exist)"), []],
  ['link.del', {}, failed('failed to deserialize wrpc link definition'), []],

  ['claims.get', '', '{"success":true,"message":"","response":[]}', []],

  ['component.scale.HOST', { component_id: 'x', component_ref: 'file:///x', count: 1 }, done('written down'), []],
  ['component.scale.HOST', { component_ref: 'file:///x' }, failed('failed to deserialize component scale command'), []],
  ['component.scale.HOST', { component_id: 'a.b' }, failed('component id \\"a.b\\" is not allowed'), []],
  ['component.update.HOST', { component_id: 'x', new_component_ref: 'file:///y' }, done('written down'), []],
  ['component.update.HOST', '{', failed('failed to deserialize component update command'), []],

  [
    'provider.start.HOST',
    { provider_id: 'p', provider_ref: 'ghcr.io/p:1' },
    failed('this host does not run capability providers yet (not supported yet)'),
    ['provider_start_failed'],
  ],
  ['provider.start.HOST', {}, failed('failed to deserialize provider start command'), []],
  ['provider.stop.HOST', { provider_id: 'p' }, failed('provider with that ID is not running'), []],
  ['provider.stop.HOST', '', failed('failed to deserialize provider stop command'), []],

  ['registry.put', { 'ghcr.io': { username: 'u', password: 'hunter2-hunter2' } }, done('successfully put registries'), []],
  ['registry.put', { 'ghcr.io': 'x' }, failed('failed to deserialize registries put command'), []],

  ['component.auction', '{}', failed('failed to deserialize component auction command'), []],
  ['provider.auction', '{}', failed('failed to deserialize provider auction command'), []],
  ['config.put.a.b', {}, failed('unsupported subject'), []],
  ['config.frob.a', {}, failed('unsupported subject'), []],
  ['link.frob', {}, failed('unsupported subject'), []],
  ['component.frob.HOST', {}, failed('unsupported subject'), []],
  ['component.auction.HOST', {}, failed('unsupported subject'), []],
  ['provider.frob.HOST', {}, failed('unsupported subject'), []],
  ['label.frob.HOST', {}, failed('unsupported subject'), []],
  ['host.frob.HOST', {}, failed('unsupported subject'), []],
];

describe('one host', () => {
  let host: ControlHost;
  beforeAll(async () => {
    host = await startControlHost(server.url, { silentRegistries: true });
  });
  afterAll(async () => {
    await host[Symbol.asyncDispose]();
  });

  it('answers each request as a wasmCloud 1.9 host, to the byte, and tells what has changed', async () => {
    const heard = await client.events();
    for (const [tail, body, answer, events] of EXCHANGES) {
      heard.length = 0;
      const name = `${tail} ${JSON.stringify(body)}`;
      expect(`${name}: ${await client.text(tail.replace('HOST', host.id), body)}`).toBe(`${name}: ${answer}`);
      // Events go out before the answer, on the same connection.
      expect([name, heard.map((event) => event.name)]).toEqual([name, events]);
      expect(heard.every(({ source }) => source === host.id)).toBe(true);
    }
    expect(host.asked).toEqual([
      { componentId: 'x', componentRef: 'file:///x', count: 1, hostId: '', allowUpdate: false },
      { componentId: 'x', newComponentRef: 'file:///y' },
    ]);
    expect(host.credentials).toEqual([{ 'ghcr.io': { username: 'u', password: 'hunter2-hunter2', registryType: 'oci' } }]);
  });

  it('leaves one log line and one audit record for each change, with what it was about and no secret', async () => {
    const changed = host.audited.filter(({ kind }) => kind === 'control');
    const find = (operation: string) => changed.filter((record) => record['operation'] === operation);
    expect(find('label.put').map(({ code, detail }) => [code, detail])).toEqual([
      ['ok', '"tier" = "gold"'],
      ['TRELLIS_CONTROL_FAILED', '"HostCore.os" = "x": hostcore.* labels cannot be set dynamically'],
      ['TRELLIS_CONTROL_FAILED', 'failed to deserialize put label request'],
    ]);
    expect(find('registry.put')[0]).toMatchObject({ code: 'ok', detail: '"ghcr.io"' });
    expect(find('component.scale')[0]).toMatchObject({ code: 'ok', detail: '"x" to 1 of "file:///x"' });
    expect(find('link.put')[0]).toMatchObject({ code: 'ok', detail: '"web" "wasi:keyvalue" "default" to "store"' });
    const changes = EXCHANGES.filter(([tail]) => /^(?!.*\.get)(?!.*auction)(?!.*frob)(?!config\.put\.a\.b)/.test(tail)).length;
    expect(changed).toHaveLength(changes);
    expect(host.logged.filter(({ msg }) => String(msg).startsWith('control: ')).length).toBe(changes);
    expect(JSON.stringify([host.audited, host.logged])).not.toContain('hunter2');
  });

  it('describes itself and what runs here', async () => {
    host.running.set('x', runs('x'));
    const { response: ping } = await client.ask('host.ping');
    expect(ping).toMatchObject({ id: host.id, lattice: 'lab', friendly_name: host.facts.friendlyName, ctl_host: server.url });
    const { response } = await client.ask(`host.get.${host.id}`);
    expect(response).toMatchObject({
      host_id: host.id,
      providers: [],
      labels: { zone: 'a' },
      components: [{ id: 'x', image_ref: 'file:///x.wasm', annotations: {}, revision: 0, max_instances: 1, limits: null }],
    });
    host.running.clear();
  });

  it('bids for a component that it could run, and is silent otherwise', async () => {
    const wanted = { component_ref: 'file:///a', component_id: 'a', constraints: { zone: 'a' } };
    const ack = { component_ref: 'file:///a', component_id: 'a', host_id: host.id, constraints: { zone: 'a' } };
    expect(await client.ask('component.auction', wanted)).toEqual({ success: true, message: '', response: ack });
    expect(await client.gather('component.auction', { ...wanted, constraints: { zone: 'b' } }, 200)).toEqual([]);
    expect(await client.gather('component.auction', { ...wanted, constraints: { zone: 'a', none: 'x' } }, 200)).toEqual([]);
    expect(await client.gather('component.auction', { ...wanted, component_id: 'a.b' }, 200)).toEqual([]);
    host.running.set('a', runs('a', 'file:///other'));
    expect(await client.gather('component.auction', wanted, 200)).toEqual([]);
    // By its id, not by its reference.
    host.running.set('file:///c', runs('c'));
    expect(
      await client.answers('component.auction', { ...wanted, component_ref: 'file:///c', component_id: 'b' }, 0),
    ).toHaveLength(1);
    host.running.clear();
    const provider = { provider_ref: 'ghcr.io/p', provider_id: 'default', constraints: {} };
    expect(await client.gather('provider.auction', provider, 200)).toEqual([]);
  });

  it('answers before it stops, and counts the time in milliseconds', async () => {
    const other = `N${'A'.repeat(55)}`;
    expect(await client.text(`host.stop.${host.id}`, { host_id: other })).toBe(failed(`invalid host_id [${other}]`));
    expect(await client.text(`host.stop.${host.id}`, { timeout: 'soon' })).toBe(failed('failed to deserialize stop command'));
    expect(host.stops).toEqual([]);
    expect(await client.text(`host.stop.${host.id}`)).toBe(done('successfully handled stop host'));
    await until(() => host.stops.length === 1);
    await client.text(`host.stop.${host.id}`, { host_id: host.id, timeout: 1_500 });
    await until(() => host.stops.length === 2);
    expect(host.stops).toEqual([undefined, 1_500]);
  });

  it('carries the trace of a request on in its answer, and begins none', async () => {
    const traced = headers();
    traced.set('traceparent', `00-${'1'.repeat(32)}-${'2'.repeat(16)}-01`);
    const subject = 'wasmbus.ctl.v1.lab.host.ping';
    const answer = await client.nc.request(subject, '', { timeout: 10_000, headers: traced });
    expect(answer.headers?.get('traceparent')).toMatch(new RegExp(`^00-${'1'.repeat(32)}-(?!${'2'.repeat(16)})[0-9a-f]{16}-01$`));
    expect((await client.nc.request(subject, '', { timeout: 10_000 })).headers?.get('traceparent') ?? '').toBe('');
  });

  it('takes registry credentials from who names no inbox, as libraries of 1.x send them, where that is set', async () => {
    const before = host.credentials.length;
    client.nc.publish('wasmbus.ctl.v1.lab.registry.put', JSON.stringify({ r: { token: 'tok' } }));
    await until(() => host.credentials.length === before + 1);
  });

  it('tells providers of links as hosts before 1.1 did, with the values of configurations but never with secrets', async () => {
    const told: [string, unknown][] = [];
    client.nc.subscribe('wasmbus.rpc.lab.>', { callback: (_, message) => void told.push([message.subject, message.json()]) });
    await client.nc.flush();
    for (const [name, values] of Object.entries({ one: { a: '1', b: '1' }, two: { b: '2' }, SECRET_s: { k: 'v' } })) {
      await client.text(`config.put.${name}`, values);
    }
    const link = { ...LINK, source_config: ['one', 'two'] };
    await client.text('link.put', link);
    await until(() => told.length === 2);
    const resolved = {
      ...LINK,
      source_config: { a: '1', b: '2' },
      target_config: {},
      source_secrets: null,
      target_secrets: null,
    };
    expect(told).toEqual([
      ['wasmbus.rpc.lab.web.linkdefs.put', resolved],
      ['wasmbus.rpc.lab.store.linkdefs.put', resolved],
    ]);
    told.length = 0;
    await client.text('link.put', { ...link, target_config: ['SECRET_s'] });
    await client.text('link.del', KEY);
    await until(() => told.length === 2);
    expect(told.map(([subject]) => subject)).toEqual(['wasmbus.rpc.lab.web.linkdefs.del', 'wasmbus.rpc.lab.store.linkdefs.del']);
    expect(told[0]![1]).toEqual({ ...LINK, source_config: {}, target_config: {}, source_secrets: null, target_secrets: null });
  });

  it('loses none of many requests at once', async () => {
    const asked = Array.from({ length: 600 }, (_, at) => client.text(`config.put.c${at}`, { at: String(at) }));
    expect(new Set(await Promise.all(asked))).toEqual(new Set([done('successfully put config')]));
    const got = Array.from({ length: 600 }, (_, at) => client.ask(`config.get.c${at}`));
    expect((await Promise.all(got)).every(({ response }, at) => (response as { at: string }).at === String(at))).toBe(true);
  });

  it('says so when an answer is larger than the server takes, and leaves out of an inventory what does not fit', async () => {
    await using small = await startServer({ jetstream: true, configText: 'max_payload: 8KB' });
    await using there = await startControlHost(small.url);
    await using asking = await RawControlClient.connect(small.url);
    for (let at = 0; at < 60; at++)
      expect(await asking.ask('link.put', { ...LINK, source_id: `s${at}` })).toMatchObject({ success: true });
    await until(() => there.data.links().length === 60);
    expect(await asking.ask('link.get')).toMatchObject({
      success: false,
      message: expect.stringMatching(/larger than the \d+ that the NATS server takes \(its max_payload\)/),
      // Nor is it no links at all, for who looks at nothing else.
      response: expect.stringMatching(/max_payload/),
    });
    const parts = new ControlClient({ ctl: there.ctl, lattice: latticeName('lab') });
    const { response: links = [] } = await parts.links();
    expect(new Set(links.map(({ source_id }) => source_id)).size).toBe(60);
    expect(links).toHaveLength(60);
    for (let at = 0; at < 100; at++) there.running.set(`c${at}`, runs(`c${at}`));
    const { success, message, response } = await asking.ask(`host.get.${there.id}`);
    const { components } = response as { components: readonly unknown[] };
    expect([success, components.length > 10, message]).toEqual([
      true,
      true,
      `${100 - components.length} components are left out: the NATS server takes no larger answer`,
    ]);
  });

  it('answers each request once while its connection moves to another login', async () => {
    await using moving = await startControlHost(server.url, { lattice: 'moving' });
    await using asking = await RawControlClient.connect(server.url, 'wasmbus.ctl.v1.moving');
    const answers: string[] = [];
    asking.nc.subscribe('_INBOX.moving.*', {
      callback: (_, message) => void answers.push(`${message.subject} ${message.string()}`),
    });
    const progress = { sent: 0, isMoved: false };
    const moved = (async () => {
      for (let at = 0; at < 3; at++) await moving.ctl.rotate('a test');
      progress.isMoved = true;
    })();
    while (!progress.isMoved) {
      const { sent } = progress;
      const tail = [`config.put.c${sent}`, 'config.get.c0', 'host.ping', `label.put.${moving.id}`][sent % 4]!;
      asking.nc.publish(`wasmbus.ctl.v1.moving.${tail}`, '{"key":"a","value":"b"}', { reply: `_INBOX.moving.${sent}` });
      progress.sent += 1;
      await sleep(4);
    }
    const { sent } = progress;
    await moved;
    await until(() => answers.length >= sent);
    await sleep(200);
    expect([answers.length, new Set(answers.map((answer) => answer.split(' ')[0])).size]).toEqual([sent, sent]);
    expect(answers.filter((answer) => !answer.includes('"success":true'))).toEqual([]);
  });

  it('takes no more than it could keep or read', async () => {
    const names = Array.from({ length: 257 }, (_, at) => `n${at}`);
    const annotations = { a: 'x'.repeat(64 * 1024) };
    const tooMany = { success: false, message: '257 configurations are named; this host takes 256' };
    expect(await client.ask('link.put', { ...LINK, source_config: names.slice(1), target_config: names.slice(0, 1) })).toEqual(
      tooMany,
    );
    expect(await client.ask(`component.scale.${host.id}`, { component_id: 'x', config: names })).toEqual(tooMany);
    const tooLarge = {
      success: false,
      message: expect.stringMatching(/^the request holds \d+ characters; this host takes 65536$/),
    };
    expect(await client.ask(`component.scale.${host.id}`, { component_id: 'x', annotations })).toMatchObject(tooLarge);
    expect(await client.ask(`component.update.${host.id}`, { component_id: 'x', annotations })).toMatchObject(tooLarge);
  });

  it('counts each request by command and outcome, and how long those took that were carried out', async () => {
    await using there = await startControlHost(server.url, {
      lattice: 'counted',
      admit: (_, { operation }) => (operation === 'claims.get' ? { refused: 'unsigned' } : 'ok'),
    });
    await using asking = await RawControlClient.connect(server.url, 'wasmbus.ctl.v1.counted');
    await asking.ask('host.ping');
    await asking.ask(`label.put.${there.id}`, { key: 'a', value: 'b' });
    await asking.ask(`label.put.${there.id}`, 'x');
    await asking.ask('config.get.none');
    await asking.ask('claims.get');
    // Names of others' choice do not become labels.
    for (const verb of ['a', 'b']) await asking.ask(`link.${verb}`);
    asking.nc.publish('wasmbus.ctl.v1.counted.component.auction', '{"component_id":"x","constraints":{"a":"c"}}', {
      reply: '_INBOX.counted',
    });
    await asking.ask('host.ping');
    const lines = (await there.metrics.text()).split('\n');
    expect(lines.filter((line) => line.startsWith('trellis_control_requests_total{')).toSorted()).toEqual([
      'trellis_control_requests_total{command="claims.get",outcome="refused"} 1',
      'trellis_control_requests_total{command="component.auction",outcome="silent"} 1',
      'trellis_control_requests_total{command="config.get",outcome="ok"} 1',
      'trellis_control_requests_total{command="host.ping",outcome="ok"} 2',
      'trellis_control_requests_total{command="label.put",outcome="failed"} 1',
      'trellis_control_requests_total{command="label.put",outcome="ok"} 1',
      'trellis_control_requests_total{command="other",outcome="failed"} 2',
    ]);
    expect(lines.filter((line) => line.startsWith('trellis_control_duration_seconds_count{')).toSorted()).toEqual([
      'trellis_control_duration_seconds_count{command="component.auction"} 1',
      'trellis_control_duration_seconds_count{command="config.get"} 1',
      'trellis_control_duration_seconds_count{command="host.ping"} 2',
      'trellis_control_duration_seconds_count{command="label.put"} 2',
    ]);
  });

  it('refuses a request that is too large', async () => {
    await using big = await startServer({ jetstream: true, configText: 'max_payload: 4MB' });
    await using there = await startControlHost(big.url);
    await using asking = await RawControlClient.connect(big.url);
    const answer = await asking.ask('config.put.big', { v: 'x'.repeat(1024 * 1024) });
    expect(answer).toMatchObject({ success: false, message: expect.stringContaining('larger than') });
    expect(await asking.ask('config.get.big')).toEqual({ success: true, message: 'Configuration not found' });
    expect(there.logged.some(({ code }) => code === 'TRELLIS_CONTROL_BUSY')).toBe(true);
  });
});

describe('a flood', () => {
  it('of changes leaves a host to who looks for it', async () => {
    const clock = { now: 0, monotonicMs: () => clock.now };
    await using host = await startControlHost(server.url, { lattice: 'changing', clock });
    await using flooder = await RawControlClient.connect(server.url, 'wasmbus.ctl.v1.changing');
    const label = JSON.stringify({ key: 'a', value: 'b' });
    const subject = `wasmbus.ctl.v1.changing.label.put.${host.id}`;
    for (let at = 0; at < 3_000; at++) flooder.nc.publish(subject, label, { reply: '_INBOX.changing' });
    // Its answer comes after all of them have been looked at, however long this machine takes for that.
    expect((await flooder.message('host.ping', '', 50_000)).json()).toMatchObject({ success: true });
    const counted = await host.metrics.text();
    for (const outcome of ['ok', 'busy', 'dropped'])
      expect(counted).toContain(`trellis_control_requests_total{command="label.put",outcome="${outcome}"} 1000`);
  });

  it('is refused at little cost, ends nothing, and is over a second later', async () => {
    // Its seconds are counted by a clock of the test's own: how long this machine takes for the messages is another matter.
    const clock = { now: 0, monotonicMs: () => clock.now };
    await using host = await startControlHost(server.url, { lattice: 'flood', clock });
    await using flooder = await RawControlClient.connect(server.url, 'wasmbus.ctl.v1.flood');
    // `late`: the store's answer came behind so much else that the host did not wait for it; a slow machine has some.
    const answers = { busy: 0, done: 0, late: 0, other: 0 };
    const begun = (): number => answers.done + answers.late;
    flooder.nc.subscribe('_INBOX.flood', {
      callback: (_, message) => {
        const text = message.string();
        if (text === failed('the host is busy; try again')) answers.busy += 1;
        else if (text === done('Configuration not found')) answers.done += 1;
        else answers[text.startsWith('{"success":false') ? 'late' : 'other'] += 1;
      },
    });
    for (let at = 0; at < 30_000; at++) flooder.nc.publish('wasmbus.ctl.v1.flood.config.get.x', '', { reply: '_INBOX.flood' });
    await flooder.nc.flush();
    // All of them have come in, too: any that came later would be of the next second.
    await host.ctl.flush();
    // Of 2,000 requests that are looked at, 500 are begun in this second and 1,024 wait; the rest, and 2,000 more, are told to come back.
    await until(() => answers.busy >= 2_476 && begun() >= 500);
    await sleep(300);
    expect([begun(), answers.busy <= 2_912, answers.other]).toEqual([500, true, 0]);
    clock.now = 1_000;
    expect(await flooder.ask('host.ping')).toMatchObject({ success: true });
    await until(() => {
      clock.now += 1_000;
      return begun() + answers.busy >= 4_000;
    });
    await sleep(300);
    expect([begun() + answers.busy, answers.other]).toEqual([4_000, 0]);
    expect(host.logged.filter(({ level }) => level === 'error').length).toBeLessThanOrEqual(answers.late);
  });
});

describe('two hosts', () => {
  it('share links, claims and configurations, and answer pings and auctions both', async () => {
    await using one = await startControlHost(server.url, { lattice: 'pair' });
    await using two = await startControlHost(server.url, { lattice: 'pair' });
    await using asking = await RawControlClient.connect(server.url, 'wasmbus.ctl.v1.pair');
    for (const [tail, body, answers] of [
      ['link.get', '', 1],
      ['claims.get', '', 1],
      ['config.get.x', '', 1],
      ['config.put.x', { a: 'b' }, 1],
      ['config.put.a.b', '', 1],
      ['link.put', LINK, 1],
      ['host.ping', '', 2],
      ['component.auction', { component_id: 'x', constraints: {} }, 2],
    ] as const) {
      expect(await asking.answers(tail, body, 300, answers), tail).toHaveLength(answers);
    }
    await until(() => one.data.links().length === 1 && two.data.links().length === 1);
    expect(await asking.answers(`host.get.${two.id}`, '', 200)).toHaveLength(1);
    expect(await asking.answers('registry.put', { r: { token: 't' } }, 300, 2)).toHaveLength(2);
    expect([one.credentials.length, two.credentials.length]).toEqual([1, 1]);
  });

  it('share them with a host of another make, whose queue groups have the names of 1.x', async () => {
    await using ours = await startControlHost(server.url, { lattice: 'mixed' });
    await using asking = await RawControlClient.connect(server.url, 'wasmbus.ctl.v1.mixed');
    const root = 'wasmbus.ctl.v1.mixed';
    for (const [subject, queue] of [
      [`${root}.link.*`, `${root}.link`],
      [`${root}.claims.get`, `${root}.claims`],
      [`${root}.config.>`, `${root}.config`],
    ] as const) {
      asking.nc.subscribe(subject, {
        queue,
        callback: (_, message) => void message.respond('{"success":true,"message":"theirs"}'),
      });
    }
    await asking.nc.flush();
    const answers: string[] = [];
    const inboxes: string[] = [];
    asking.nc.subscribe('_INBOX.mixed.*', {
      callback: (_, message) => {
        answers.push(message.string().includes('theirs') ? 'theirs' : 'ours');
        inboxes.push(message.subject);
      },
    });
    for (let at = 0; at < 90; at++) {
      const tail = ['link.get', 'claims.get', 'config.get.x'][at % 3]!;
      asking.nc.publish(`${root}.${tail}`, '', { reply: `_INBOX.mixed.${at}` });
    }
    await until(() => inboxes.length >= 90);
    await sleep(200);
    // Each once, by one of the two.
    expect([inboxes.length, new Set(inboxes).size]).toEqual([90, 90]);
    expect(new Set(answers)).toEqual(new Set(['ours', 'theirs']));
    expect(ours.logged.filter(({ level }) => level === 'error')).toEqual([]);
  });
});

describe('settings', () => {
  it('nobody listens to auctions that are off', async () => {
    await using _ = await startControlHost(server.url, { lattice: 'quiet', auctions: { component: false, provider: false } });
    await using asking = await RawControlClient.connect(server.url, 'wasmbus.ctl.v1.quiet');
    const auction = { component_id: 'x', constraints: {} };
    await expect(asking.message('component.auction', auction)).rejects.toThrow(/responders/);
    await expect(asking.message('provider.auction', auction)).rejects.toThrow(/responders/);
  });

  it('a host that may run some components only does not bid for others', async () => {
    await using _ = await startControlHost(server.url, { lattice: 'narrow', accepts: (id) => id === 'mine' });
    await using asking = await RawControlClient.connect(server.url, 'wasmbus.ctl.v1.narrow');
    expect(await asking.answers('component.auction', { component_id: 'mine', constraints: {} }, 0)).toHaveLength(1);
    expect(await asking.gather('component.auction', { component_id: 'other', constraints: {} }, 200)).toEqual([]);
  });

  it('another prefix is taken into subjects and queue groups', async () => {
    await using host = await startControlHost(server.url, { lattice: 'lab', prefix: 'acme.ctl' });
    await using asking = await RawControlClient.connect(server.url, 'acme.ctl.v1.lab');
    expect((await asking.ask('host.ping')).response).toMatchObject({ id: host.id });
    expect(await asking.text('config.get.none')).toBe(done('Configuration not found'));
  });

  it('requests that come while the host starts are answered when it is ready', async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    await using _ = await startControlHost(server.url, { lattice: 'early', ready: promise });
    await using asking = await RawControlClient.connect(server.url, 'wasmbus.ctl.v1.early');
    let answered = false;
    const ping = asking.ask('host.ping').then((answer) => {
      answered = true;
      return answer;
    });
    await asking.nc.flush();
    await sleep(100);
    expect(answered).toBe(false);
    resolve();
    expect(await ping).toMatchObject({ success: true });
  });

  it('whoever decides over requests is asked before anything is done', async () => {
    const seen: string[] = [];
    await using host = await startControlHost(server.url, {
      lattice: 'signed',
      admit: (_message, { operation, changes }) => {
        seen.push(`${operation} ${changes}`);
        if (operation === 'label.put') return { signer: 'NSIGNER' };
        return changes ? { refused: 'this host takes signed requests only' } : 'ok';
      },
    });
    await using asking = await RawControlClient.connect(server.url, 'wasmbus.ctl.v1.signed');
    expect(await asking.text(`component.scale.${host.id}`, { component_id: 'x' })).toBe(
      failed('this host takes signed requests only'),
    );
    expect(await asking.ask(`host.get.${host.id}`)).toMatchObject({ success: true });
    await asking.ask(`label.put.${host.id}`, { key: 'a', value: 'b' });
    expect(seen).toEqual(['component.scale true', 'host.get false', 'label.put true']);
    expect(host.asked).toEqual([]);
    expect(host.audited.map(({ operation, code, signer }) => [operation, code, signer])).toEqual([
      ['label.put', 'ok', 'NSIGNER'],
    ]);
  });
});

describe('without JetStream', () => {
  it('what needs the data of the lattice is refused with the reason, and everything else works', async () => {
    await using plain = await startServer();
    await using host = await startControlHost(plain.url);
    await using asking = await RawControlClient.connect(plain.url);
    for (const list of ['link.get', 'claims.get'])
      expect([list, await asking.ask(list)]).toMatchObject([list, { response: expect.stringContaining('JetStream') }]);
    for (const [tail, body] of [
      ['link.get', ''],
      ['claims.get', ''],
      ['config.get.x', ''],
      ['config.put.x', {}],
      ['config.del.x', ''],
      ['link.put', LINK],
      ['link.del', KEY],
    ] as const) {
      expect([tail, await asking.ask(tail, body)]).toMatchObject([
        tail,
        { success: false, message: expect.stringMatching(/JetStream|bucket|buckets/) },
      ]);
    }
    expect((await asking.ask('host.ping')).success).toBe(true);
    expect((await asking.ask(`label.put.${host.id}`, { key: 'a', value: 'b' })).success).toBe(true);
  });
});
