import { type Msg, type NatsConnection, type Subscription, connect } from 'nats';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { ControlClient } from '../../src/control/control-client.ts';
import { latticeName } from '../../src/ids.ts';
import { connectPartition, type LatticeConnection } from '../../src/nats/connection.ts';
import { createLogger } from '../../src/telemetry/log.ts';
import { startServer, type TestServer } from '../support/nats-server.ts';

// What the client makes of hosts that are odd, slow, many or gone. Hosts as they should be: lattice-commands.test.ts.

const HOSTS = ['A', 'B', 'C'].map((letter) => `N${letter.repeat(55)}`);
const CTL = 'wasmbus.ctl.v1.default';

const subscriptions: Subscription[] = [];
const timers: NodeJS.Timeout[] = [];
let server: TestServer;
let peer: NatsConnection;
let ctl: LatticeConnection;
beforeAll(async () => {
  server = await startServer();
  peer = await connect({ servers: server.url });
  ctl = await connectPartition({
    partition: 'ctl',
    lattice: 'default',
    servers: [server.url],
    name: 'test',
    log: createLogger({ level: 'error' }),
  });
});
afterAll(async () => {
  await ctl.close();
  await peer.close();
  await server[Symbol.asyncDispose]();
});

afterEach(async () => {
  for (const timer of timers.splice(0)) clearInterval(timer);
  for (const subscription of subscriptions.splice(0)) subscription.unsubscribe();
  await peer.flush();
});

const client = (more: Partial<ConstructorParameters<typeof ControlClient>[0]> = {}): ControlClient =>
  new ControlClient({ ctl, lattice: latticeName('default'), ...more });

/** Answers on a subject until the test is over. */
async function answering(subject: string, answer: (message: Msg) => void): Promise<void> {
  subscriptions.push(peer.subscribe(subject, { callback: (_error, message) => answer(message) }));
  await peer.flush();
}

const reply = (response?: unknown): string => JSON.stringify({ success: true, message: '', response });

describe('what all hosts are asked', () => {
  it('gathers every host once, leaves out what is none, and goes on after an odd answer', async () => {
    await answering(`${CTL}.host.ping`, (message) => {
      message.respond('');
      message.respond('not json');
      message.respond(JSON.stringify({ success: true, response: { id: 'short' } }));
      for (const [at, id] of [HOSTS[1], HOSTS[0], HOSTS[1]].entries())
        message.respond(reply({ id, friendly_name: `host-${at === 1 ? 'a' : 'b'}` }));
    });
    const hosts = await client({ timeoutMs: 3_000 }).ping();
    expect(hosts.map(({ id }) => id)).toEqual([HOSTS[0], HOSTS[1]]);
  });

  it('waits for the second host, which is slower than the first', async () => {
    await answering(`${CTL}.host.ping`, (message) => {
      message.respond(reply({ id: HOSTS[0] }));
      setTimeout(() => message.respond(reply({ id: HOSTS[1] })), 300);
    });
    expect(await client({ timeoutMs: 6_000 }).ping()).toHaveLength(2);
  });

  it('ends in time although somebody answers for ever', async () => {
    await answering(`${CTL}.host.ping`, (message) => {
      timers.push(setInterval(() => message.respond(reply({ id: HOSTS[0] })), 20));
    });
    expect(await client({ timeoutMs: 600 }).ping()).toHaveLength(1);
  });

  it('has no hosts, at once, when nobody listens', async () => {
    const beganMs = performance.now();
    expect(await client({ timeoutMs: 60_000 }).ping()).toEqual([]);
    expect(performance.now() - beganMs).toBeLessThan(30_000);
  });

  it('takes the first offer of an auction, and no more', async () => {
    await answering(`${CTL}.component.auction`, (message) => {
      for (const host_id of HOSTS) message.respond(reply({ host_id }));
    });
    const auction = { componentRef: 'r', componentId: 'c', constraints: {} };
    expect(await client().auctionComponent(auction, 1)).toEqual([{ host_id: HOSTS[0] }]);
    expect(await client({ timeoutMs: 900 }).auctionComponent(auction)).toHaveLength(3);
  });
});

describe('what one host is asked', () => {
  it('is sent with the names of the wire', async () => {
    let body: unknown;
    await answering(`${CTL}.component.scale.${HOSTS[0]}`, (message) => {
      body = message.json();
      message.respond(reply());
    });
    const command = { componentId: 'c', componentRef: 'file:///c.wasm', maxInstances: 7, config: ['one'], allowUpdate: true };
    expect(await client().scale(HOSTS[0]!, command)).toEqual({ success: true, message: '' });
    expect(body).toEqual({
      component_id: 'c',
      component_ref: 'file:///c.wasm',
      count: 7,
      annotations: {},
      host_id: HOSTS[0],
      config: ['one'],
      allow_update: true,
    });
  });

  it('may be refused, and may be answered with nonsense', async () => {
    const answers = ['{"success":false,"message":"no"}', 'nonsense', '', '{"success":true,"response":7}'];
    await answering(`${CTL}.host.get.*`, (message) => message.respond(answers.shift()));
    const unreadable = { success: false, message: 'the answer could not be read' };
    expect(await client().inventory(HOSTS[0]!)).toEqual({ success: false, message: 'no' });
    for (let i = 0; i < 3; i++) expect(await client().inventory(HOSTS[0]!)).toEqual(unreadable);
  });

  it('fails by name when no such host is there, and when it stays silent', async () => {
    await expect(client().inventory(HOSTS[0]!)).rejects.toMatchObject({ code: 'TRELLIS_CONTROL_NO_HOST' });
    await answering(`${CTL}.host.get.*`, () => {});
    await expect(client({ timeoutMs: 200 }).inventory(HOSTS[0]!)).rejects.toMatchObject({ code: 'TRELLIS_CONTROL_TIMEOUT' });
  });

  it('is all links, in parts, of any host, and of one of Trellis alone where one of 1.x cannot answer', async () => {
    const link = (source_id: string) => ({
      source_id,
      target: 'b',
      name: 'default',
      wit_namespace: 'wasi',
      wit_package: 'keyvalue',
      interfaces: [],
      source_config: [],
      target_config: [],
    });
    const part = (ids: readonly string[], next: string | null): string =>
      JSON.stringify({ success: true, message: '', response: ids.map(link), next });
    const bodies: unknown[] = [];
    const answers = [
      part(['a'], 'a'),
      part(['b'], null),
      // A host of 1.x takes the second question.
      part(['a'], 'a'),
      reply([link('x'), link('y')]),
      part(['a'], 'a'),
      undefined,
      part(['a'], 'a'),
      part(['a'], 'a'),
    ];
    await answering(`${CTL}.link.get`, (message) => {
      bodies.push(message.json());
      const answer = answers.shift();
      if (answer !== undefined) message.respond(answer);
    });
    await answering(`${CTL}.host.ping`, (message) =>
      message.respond(reply({ id: HOSTS[1], friendly_name: '', version: '1.9.2+trellis.0.1.0' })),
    );
    await answering(`${CTL}.only.${HOSTS[1]}.link.get`, (message) =>
      message.respond(message.json<{ after: string }>().after === 'a' ? part(['c'], 'c') : part(['d'], null)),
    );
    const ids = async (): Promise<string[] | undefined> =>
      (await client({ timeoutMs: 1_000 }).links()).response?.map(({ source_id }) => source_id);
    expect(await ids()).toEqual(['a', 'b']);
    expect(await ids()).toEqual(['x', 'y']);
    expect(await ids()).toEqual(['a', 'c', 'd']);
    expect(await ids()).toBeUndefined();
    expect(bodies.slice(0, 2)).toEqual([{ after: '' }, { after: 'a' }]);
  });

  it('goes below another prefix, and signed, where that is asked for', async () => {
    let header: string | undefined;
    await answering('other.ctl.v1.default.link.get', (message) => message.respond(reply([{ source_id: 'a' }])));
    await answering('other.ctl.v1.default.label.put.*', (message) => {
      header = message.headers?.get('Signature');
      message.respond(JSON.stringify({ success: true, message: '' }));
    });
    const signing = client({ prefix: 'other.ctl', sign: async ({ subject }) => [['Signature', `of ${subject}`]] });
    expect(await signing.links()).toEqual({ success: true, message: '', response: [] });
    expect(header).toBeUndefined();
    expect(await signing.putLabel(HOSTS[0]!, 'a', 'b')).toEqual({ success: true, message: '' });
    expect(header).toBe(`of other.ctl.v1.default.label.put.${HOSTS[0]}`);
  });
});

describe('what any one host may do', () => {
  const sign = async ({ reply: inbox }: { readonly reply: string }) => [['Signature', inbox] as const];
  const done = JSON.stringify({ success: true, message: '' });
  const pinged = (...hosts: readonly (readonly [string, string])[]): Promise<void> =>
    answering(`${CTL}.host.ping`, (message) => {
      for (const [id, version] of hosts) message.respond(reply({ id, friendly_name: id, version }));
    });

  it('goes, signed, to one host of Trellis alone, with the reply subject that was signed', async () => {
    await pinged([HOSTS[0]!, '1.9.2'], [HOSTS[1]!, '1.9.2+trellis.0.1.0'], [HOSTS[2]!, '1.9.2+trellis.0.1.0']);
    const heard: string[] = [];
    await answering(`${CTL}.only.>`, (message) => {
      heard.push(message.subject);
      message.respond(message.headers?.get('Signature') === message.reply ? done : '{}');
    });
    const signing = client({ sign });
    expect(await signing.putConfig('x', { a: 'b' })).toEqual({ success: true, message: '' });
    expect(await signing.deleteConfig('x')).toEqual({ success: true, message: '' });
    expect(heard).toEqual([`${CTL}.only.${HOSTS[1]}.config.put.x`, `${CTL}.only.${HOSTS[1]}.config.del.x`]);
  });

  it('goes to any host where it is not signed, and where none is of Trellis', async () => {
    await pinged([HOSTS[0]!, '1.9.2']);
    await answering(`${CTL}.config.put.x`, (message) => message.respond(done));
    expect(await client().putConfig('x', {})).toEqual({ success: true, message: '' });
    expect(await client({ sign, timeoutMs: 1_000 }).putConfig('x', {})).toEqual({ success: true, message: '' });
  });

  it('goes to another host when the one that was chosen is gone', async () => {
    await pinged([HOSTS[1]!, '1.9.2+trellis.0.1.0']);
    const signing = client({ sign });
    await expect(signing.putConfig('x', {})).rejects.toMatchObject({ code: 'TRELLIS_CONTROL_NO_HOST' });
    await answering(`${CTL}.only.${HOSTS[1]}.config.put.x`, (message) => message.respond(done));
    expect(await signing.putConfig('x', {})).toEqual({ success: true, message: '' });
  });
});
