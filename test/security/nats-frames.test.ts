import { randomBytes } from 'node:crypto';
import { connect, headers, type MsgHdrs, type NatsConnection } from 'nats';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connectPartition, type LatticeConnection } from '../../src/nats/connection.ts';
import { silentLogger } from '../../src/telemetry/log.ts';
import { prepareCall } from '../../src/wrpc/client.ts';
import { createInbox, type Inbox } from '../../src/wrpc/inbox.ts';
import { type IncomingInvocation, serveFunction } from '../../src/wrpc/server.ts';
import { startServer, type TestServer } from '../support/nats-server.ts';
import { takesAtMost } from '../support/takes-at-most.ts';
import { until } from '../support/until.ts';

const SUBJECT = 'default.comp-a.wrpc.0.0.1.run';
const EMPTY = new Uint8Array(0);

let server: TestServer;
let bus: LatticeConnection;
let inbox: Inbox;
let attacker: NatsConnection;
let invocations: IncomingInvocation[] = [];
const strangers: string[] = [];

/** Resolves when both sides have seen everything that was sent. */
async function settle(): Promise<void> {
  for (let i = 0; i < 2; i++) {
    await attacker.flush();
    await bus.flush();
  }
}

beforeAll(async () => {
  server = await startServer({ jetstream: true });
  bus = await connectPartition({
    partition: 'rpc',
    lattice: 'default',
    servers: [server.url],
    name: 'test',
    log: silentLogger(),
  });
  inbox = createInbox(bus);
  attacker = await connect({ servers: server.url });
  serveFunction({
    bus,
    inbox,
    subject: SUBJECT,
    queue: 'default.comp-a',
    onInvocation: (invocation) => invocations.push(invocation),
  });
  for (const subject of ['wasmbus.>', 'default.victim.>', 'other.>']) {
    attacker.subscribe(subject, {
      callback: (_, message) => {
        strangers.push(message.subject);
      },
    });
  }
  await settle();
});
afterAll(async () => {
  await attacker.close();
  await bus.close();
  await server[Symbol.asyncDispose]();
});

describe('a first message', () => {
  it('FRM-16 without a reply subject is dropped and counted', async () => {
    invocations = [];
    attacker.publish(SUBJECT, 'x');
    await settle();
    expect(invocations).toEqual([]);
    expect(inbox.stats.withoutReply).toBe(1);
  });

  it('cannot make the server publish where its sender may not: a reply subject must be an inbox', async () => {
    invocations = [];
    const before = inbox.stats.malformed;
    const targets = [
      'wasmbus.ctl.v1.default.host.stop.H',
      'default.victim.wrpc.0.0.1.run',
      'other.thing',
      '$SYS.REQ.USER.INFO',
      'wasmbus.*',
      'x',
    ];
    for (const reply of targets) attacker.publish(SUBJECT, 'x', { reply });
    await settle();
    expect(invocations).toEqual([]);
    expect(strangers).toEqual([]);
    expect(inbox.stats.malformed - before).toBe(targets.length);
  });

  it('that a consumer redirects from a stream is not taken for an invocation', async () => {
    const subject = 'default.plain.wrpc.0.0.1.run';
    let invoked = 0;
    // A consumer reaches a queue group that it names, and no other.
    const queue = 'default.plain';
    const subscription = serveFunction({ bus, inbox, subject, queue, onInvocation: () => invoked++ });
    await settle();
    const before = inbox.stats.malformed;
    const ask = async (to: string, body: object): Promise<string> => (await attacker.request(to, JSON.stringify(body))).string();
    await ask('$JS.API.STREAM.CREATE.KV_B', { name: 'KV_B', subjects: ['_INBOX.b.>'] });
    await attacker.request('_INBOX.b.key', 'forged parameters');
    const config = { deliver_subject: subject, deliver_group: queue, ack_policy: 'explicit', deliver_policy: 'all' };
    expect(await ask('$JS.API.CONSUMER.CREATE.KV_B', { stream_name: 'KV_B', config })).not.toContain('"error"');
    await until(() => inbox.stats.malformed > before);
    expect(invoked).toBe(0);
    subscription.unsubscribe();
  });

  it('FRM-02 with ten thousand headers, or 64 KB of them, costs little', async () => {
    // The client library needs seconds to build such a block; all it asks of one is its bytes.
    const block = (lines: string): MsgHdrs => ({ encode: () => Buffer.from(`NATS/1.0\r\n${lines}\r\n`) }) as unknown as MsgHdrs;
    const many = block(Array.from({ length: 10_000 }, (_, i) => `h${i}: v\r\n`).join(''));
    const long = block(`long: ${'v'.repeat(65_536)}\r\n`);
    await takesAtMost(10, async () => {
      invocations = [];
      attacker.publish(SUBJECT, 'x', { reply: '_INBOX.a.b', headers: many });
      attacker.publish(SUBJECT, 'x', { reply: '_INBOX.a.b', headers: long });
      await until(() => invocations.length === 2);
      const start = performance.now();
      expect(invocations.map((invocation) => invocation.headerCount)).toEqual([10_000, 1]);
      for (const invocation of invocations) expect(invocation.header('Lattice-Invocation')).toBeUndefined();
      return performance.now() - start;
    });
  });
});

describe('frames', () => {
  it('FRM-06 of ten thousand random shapes never throw and never reach a listener with a bad path', async () => {
    invocations = [];
    attacker.publish(SUBJECT, 'x', { reply: '_INBOX.a.b' });
    await until(() => invocations.length === 1);
    const [invocation] = invocations;
    const paths: string[] = [];
    invocation!.onParams((path) => paths.push(path));
    const rs = invocation!.inbox();
    const tails = [
      '',
      '.params',
      '.params.0',
      '.params.00',
      '.params.-1',
      '.params.x',
      '.results',
      `.params${'.0'.repeat(17)}`,
      '.params.99999999999',
      '.Params',
    ];
    for (let i = 0; i < 10_000; i++) {
      const tail = tails[i % tails.length]!;
      attacker.publish(rs + tail, randomBytes(1 + (i % 6)), i % 11 === 0 ? { reply: 'wasmbus.ctl.x' } : {});
    }
    await settle();
    expect(new Set(paths)).toEqual(new Set(['', '0']));
    expect(paths.length).toBe(2000);
    expect(strangers).toEqual([]);
    invocation!.close();
    attacker.publish(`${rs}.params`, 'late');
    await settle();
    expect(paths.length).toBe(2000);
  });

  it('addresses of one connection say nothing about the next call’s', () => {
    const receiver = { onInboxMessage: (): void => {}, onLineEnding: (): void => {} };
    const addresses = Array.from({ length: 20_000 }, () => inbox.open(receiver));
    expect(new Set(addresses).size).toBe(addresses.length);
    const ids = addresses.map((address) => address.slice(-12));
    expect(ids.every((id) => /^[A-Za-z0-9_-]{12}$/.test(id))).toBe(true);
    // 72 random bits: every character position takes all 64 values, about equally often.
    for (let at = 0; at < 12; at++) {
      const counts = new Map<string, number>();
      for (const id of ids) counts.set(id[at]!, (counts.get(id[at]!) ?? 0) + 1);
      expect(counts.size).toBe(64);
      expect(Math.max(...counts.values())).toBeLessThan(450);
    }
    for (const address of addresses) inbox.close(address);
  });

  it('RSP-07 nobody there, somebody slow and a refusal are told apart', async () => {
    const outcome = (subject: string, withinMs = 30_000): Promise<string> =>
      new Promise((resolve) => {
        const call = prepareCall({ bus, inbox });
        const end = (text: string): void => {
          clearTimeout(timer);
          call.cancel();
          resolve(text);
        };
        const timer = setTimeout(() => end('deadline'), withinMs);
        const events = {
          accepted: () => true,
          unary: () => end('result'),
          refused: (status: number) => end(`refused ${status}`),
          lineEnding: () => end('line ending'),
          result: () => end('result'),
        };
        call.send({ subject, params: EMPTY, headers: [], unary: true }, events);
      });
    attacker.subscribe('default.slow.wrpc.0.0.1.run', { callback: () => {} });
    attacker.subscribe('default.no.wrpc.0.0.1.run', {
      callback: (_, message) => {
        message.respond('', { headers: headers(401, 'denied') });
      },
    });
    await settle();
    expect(await outcome('default.nobody.wrpc.0.0.1.run')).toBe('refused 503');
    expect(await outcome('default.slow.wrpc.0.0.1.run', 200)).toBe('deadline');
    expect(await outcome('default.no.wrpc.0.0.1.run')).toBe('refused 401');
  });
});
