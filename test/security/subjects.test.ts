import { connect, type NatsConnection } from 'nats';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseConfig, type HostConfigInput } from '../../src/config/schema.ts';
import { componentId, functionName, instanceName, latticeName, linkName } from '../../src/ids.ts';
import { connectPartition, type LatticeConnection } from '../../src/nats/connection.ts';
import { silentLogger } from '../../src/telemetry/log.ts';
import { startServer, type TestServer } from '../support/nats-server.ts';

/** Names that would reach further than one token, or out of the protocol line. */
const HOSTILE = [
  '*',
  '>',
  'a.b',
  'a.*',
  'a.>',
  '.',
  '',
  ' ',
  'a b',
  'a\tb',
  'a\r\nPUB wasmbus.ctl.v1.default.host.stop.H 2\r\nhi\r\n',
  'a\n',
  '\0',
  'a\0b',
  'a\x7f',
  'x'.repeat(5000),
];
const NON_ASCII = ['ä', 'dе\u0066ault', '\u202eabc', 'a\u00a0b', 'ａ', '\ud800', 'a\u200b'];
const code = (name: string) => expect.objectContaining({ code: name });
const EMPTY = new Uint8Array(0);

let server: TestServer;
let connection: LatticeConnection;
let monitor: NatsConnection;
const smuggled: string[] = [];

const open = (more: Partial<Parameters<typeof connectPartition>[0]> = {}): Promise<LatticeConnection> =>
  connectPartition({ partition: 'rpc', lattice: 'default', servers: [server.url], name: 'test', log: silentLogger(), ...more });

beforeAll(async () => {
  server = await startServer();
  connection = await open();
  monitor = await connect({ servers: server.url });
  monitor.subscribe('>', {
    callback: (_, message) => {
      smuggled.push(message.subject);
    },
  });
  await monitor.flush();
});
afterAll(async () => {
  await monitor.close();
  await connection.close();
  await server[Symbol.asyncDispose]();
});

describe('names that would become subject tokens', () => {
  it.each(HOSTILE)('INJ-01 lattice %j is refused', async (name) => {
    expect(() => latticeName(name)).toThrow(code('TRELLIS_ID_INVALID'));
    await expect(open({ lattice: name })).rejects.toEqual(code('TRELLIS_ID_INVALID'));
  });

  it.each(HOSTILE)('INJ-02 component id %j is refused', (name) => {
    expect(() => componentId(name)).toThrow(code('TRELLIS_ID_INVALID'));
  });

  it.each(HOSTILE.filter((name) => name !== 'a.b'))('INJ-03 link name and operation %j are refused', (name) => {
    expect(() => linkName(name)).toThrow(code('TRELLIS_ID_INVALID'));
    expect(() => functionName(name)).toThrow(code('TRELLIS_ID_INVALID'));
    if (name !== '') expect(() => instanceName(name)).toThrow(code('TRELLIS_ID_INVALID'));
  });

  it.each(NON_ASCII)('INJ-04 %j is refused everywhere', (name) => {
    for (const check of [latticeName, componentId, linkName, functionName, instanceName]) {
      expect(() => check(name)).toThrow(code('TRELLIS_ID_INVALID'));
    }
  });
});

describe('names of what is shared with other lattices', () => {
  const share = { lattice: 'other', issuers: ['CABC'], origins: ['caller'], target: 'hello', interface: 'n:p/iface' };
  const link = { source: 'caller', target: 'their-hello', namespace: 'n', package: 'p', interfaces: ['iface'] };
  const refused = (input: HostConfigInput): void => expect(() => parseConfig(input)).toThrow(/must/);

  it('INJ-01, INJ-02, INJ-03, INJ-04 are refused before a subject is made of them', () => {
    parseConfig({ trust: { foreign: [share] }, links: [{ ...link, shared: { lattice: 'other', issuers: ['CABC'] } }] });
    for (const name of [...HOSTILE, ...NON_ASCII]) {
      for (const more of [{ lattice: name }, { origins: [name] }, { target: name }, { interface: name }, { functions: [name] }]) {
        // A method of a resource has a dot in its name.
        if (name !== 'a.b' || more.functions === undefined) refused({ trust: { foreign: [{ ...share, ...more }] } });
      }
      refused({ links: [{ ...link, shared: { lattice: name, issuers: ['CABC'] } }] });
      refused({ links: [{ ...link, shared: { lattice: 'other', component: name, issuers: ['CABC'] } }] });
    }
  });
});

describe('what reaches the client library', () => {
  const subjects = [
    ...HOSTILE.filter((text) => text !== 'a.b'),
    ...NON_ASCII,
    'a..b',
    '.a',
    'a.',
    'a.b c',
    'comp.a _INBOX.victim',
  ];

  it('INJ-05 no subject, reply, queue or header ends its line; nothing is smuggled and the connection stays', async () => {
    for (const subject of subjects) {
      expect(() => connection.publish(subject, EMPTY), JSON.stringify(subject)).toThrow(code('TRELLIS_NATS_SUBJECT_INVALID'));
      if (subject !== '')
        expect(() => connection.publish('quiet', EMPTY, { reply: subject })).toThrow(code('TRELLIS_NATS_SUBJECT_INVALID'));
      await expect(connection.request(subject, EMPTY, { timeoutMs: 50 })).rejects.toEqual(code('TRELLIS_NATS_SUBJECT_INVALID'));
    }
    // A wildcard is a fair subscription; everything else is not.
    for (const subject of subjects.filter((text) => !['*', '>', 'a.*', 'a.>'].includes(text))) {
      expect(() => connection.subscribe(subject, {}, () => {}), JSON.stringify(subject)).toThrow(
        code('TRELLIS_NATS_SUBJECT_INVALID'),
      );
    }
    for (const queue of HOSTILE.filter((text) => !['a.b', '.'].includes(text))) {
      expect(() => connection.subscribe('quiet', { queue }, () => {}), JSON.stringify(queue)).toThrow(
        code('TRELLIS_NATS_SUBJECT_INVALID'),
      );
    }
    for (const bad of ['a\r\nPUB x 0\r\n\r\n', 'a\nb', 'a\rb', 'a\0b']) {
      for (const headers of [
        { entries: [[bad, 'v']] },
        { entries: [['n', bad]] },
        { entries: [], status: 401, statusText: bad },
      ] satisfies Parameters<LatticeConnection['publish']>[2] extends { headers?: infer H } | undefined ? H[] : never) {
        expect(() => connection.publish('quiet', EMPTY, { headers })).toThrow(code('TRELLIS_NATS_HEADER_INVALID'));
        await expect(connection.request('quiet', EMPTY, { timeoutMs: 50, headers })).rejects.toEqual(
          code('TRELLIS_NATS_HEADER_INVALID'),
        );
      }
    }
    await connection.flush();
    await monitor.flush();
    expect(smuggled).toEqual([]);
    expect(connection.stats.reconnects).toBe(0);
    expect(connection.state).toBe('connected');
  });

  it('NAT-19 a subject that would break the control line is refused here; the longest allowed ones pass', async () => {
    const longest = 'a'.repeat(1024);
    expect(() => connection.publish('a'.repeat(4096), EMPTY)).toThrow(code('TRELLIS_NATS_SUBJECT_INVALID'));
    expect(() => connection.publish('a', EMPTY, { reply: `${longest}a` })).toThrow(code('TRELLIS_NATS_SUBJECT_INVALID'));
    expect(() => connection.subscribe(`${longest}a`, {}, () => {})).toThrow(code('TRELLIS_NATS_SUBJECT_INVALID'));
    connection.subscribe(longest, { queue: 'q'.repeat(256) }, () => {}).unsubscribe();
    connection.publish(longest, EMPTY, { reply: longest, headers: { entries: [['a', 'b']] } });
    await connection.flush();
    expect(connection.stats.reconnects).toBe(0);
  });
});
