import { setTimeout as sleep } from 'node:timers/promises';
import { connect, headers } from 'nats';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ConnectionEvent } from '../../src/nats/connection-events.ts';
import { connectPartition, type LatticeConnection } from '../../src/nats/connection.ts';
import { silentLogger } from '../../src/telemetry/log.ts';
import type { BusMessage } from '../../src/wrpc/bus.ts';
import { startServer, type TestServer } from '../support/nats-server.ts';
import { takesAtMost } from '../support/takes-at-most.ts';
import { until } from '../support/until.ts';

const open = (url: string, more: Partial<Parameters<typeof connectPartition>[0]> = {}): Promise<LatticeConnection> =>
  connectPartition({ partition: 'rpc', lattice: 'default', servers: [url], name: 'test', log: silentLogger(), ...more });

const bytes = (text: string): Uint8Array => Buffer.from(text);
const text = (message: { payload: Uint8Array }): string => Buffer.from(message.payload).toString();
const code = (name: string) => expect.objectContaining({ code: name });

/** Waits until `ready` is true. */
let server: TestServer;
beforeAll(async () => {
  server = await startServer();
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

describe('a connection', () => {
  it('has inboxes of its own that nobody can guess', async () => {
    await using a = await open(server.url);
    await using b = await open(server.url, { partition: 'ctl', lattice: 'other' });
    expect(a.inboxPrefix).toMatch(/^_INBOX_RPC\.default\.[A-Za-z0-9_-]{22}$/);
    expect(b.inboxPrefix).toMatch(/^_INBOX_CTL\.other\.[A-Za-z0-9_-]{22}$/);
    expect(a.maxPayloadBytes).toBe(1_048_576);
    expect(a.serverInfo?.version).toBe(server.version);
    expect(a.state).toBe('connected');
  });

  it.each(['_INBOX', '_INBOX_MINE.host-1'])('keeps the configured inbox root %s and adds randomness', async (inboxPrefix) => {
    await using connection = await open(server.url, { inboxPrefix });
    expect(connection.inboxPrefix.slice(0, inboxPrefix.length + 1)).toBe(`${inboxPrefix}.`);
    expect(connection.inboxPrefix.length).toBe(inboxPrefix.length + 23);
  });

  it.each(['inbox', '_INBOX.>', '_INBOX.*', 'wasmbus.ctl', ''])('refuses the inbox root %j', async (inboxPrefix) => {
    await expect(open(server.url, { inboxPrefix })).rejects.toEqual(code('TRELLIS_NATS_SUBJECT_INVALID'));
  });

  it('exchanges messages with the plain client library, byte for byte', async () => {
    await using connection = await open(server.url);
    await using plain = await connect({ servers: server.url });
    const there: { data: string; reply: string | undefined; header: string | undefined; status: number | undefined }[] = [];
    plain.subscribe('there', {
      callback: (_, m) => {
        there.push({ data: m.string(), reply: m.reply, header: m.headers?.get('A'), status: m.headers?.code });
      },
    });
    const here: BusMessage[] = [];
    connection.subscribe('here.*', { queue: 'q' }, (message) => here.push(message));
    await Promise.all([plain.flush(), connection.flush()]);

    connection.publish('there', bytes('1'), {
      reply: '_INBOX.x',
      headers: { entries: [['A', 'ü']], status: 299, statusText: 'odd' },
    });
    connection.publish('there', bytes('2'));
    const block = headers();
    block.append('A', 'one');
    block.append('A', 'two');
    plain.publish('here.a', '3', { reply: '_INBOX.y', headers: block });
    plain.publish('here.b', 'x'.repeat(200_000));
    await Promise.all([plain.flush(), connection.flush()]);
    await until(() => here.length === 2 && there.length === 2);

    expect(there).toEqual([
      { data: '1', reply: '_INBOX.x', header: 'ü', status: 299 },
      { data: '2', reply: '', header: undefined, status: undefined },
    ]);
    const [third, fourth] = here;
    expect([third?.subject, third?.reply, text(third!), third?.header('A'), third?.headerCount]).toEqual([
      'here.a',
      '_INBOX.y',
      '3',
      'one',
      2,
    ]);
    expect([fourth?.subject, fourth?.reply, fourth?.payload.length, fourth?.header('A'), fourth?.headerCount]).toEqual([
      'here.b',
      '',
      200_000,
      undefined,
      0,
    ]);
  });

  it('sends requests, and says what became of them', async () => {
    await using connection = await open(server.url);
    await using peer = await open(server.url);
    peer.subscribe('echo', {}, (message) =>
      peer.publish(message.reply, message.payload, { headers: { entries: [['A', message.header('A') ?? '']] } }),
    );
    peer.subscribe('silence', {}, () => {});
    await peer.flush();
    const answer = await connection.request('echo', bytes('hi'), { timeoutMs: 20_000, headers: { entries: [['A', 'b']] } });
    expect([text(answer), answer.header('A')]).toEqual(['hi', 'b']);
    await expect(connection.request('nobody', bytes(''), { timeoutMs: 20_000 })).rejects.toEqual(
      code('TRELLIS_NATS_NO_RESPONDERS'),
    );
    await expect(connection.request('silence', bytes(''), { timeoutMs: 50 })).rejects.toEqual(code('TRELLIS_NATS_TIMEOUT'));
    await expect(connection.request('a b', bytes(''), { timeoutMs: 50 })).rejects.toEqual(code('TRELLIS_NATS_SUBJECT_INVALID'));
  });

  it('FRM-01 refuses what is larger than the server accepts, headers included, and stays open', async () => {
    await using connection = await open(server.url);
    const entries = [['A', 'b'.repeat(100)]] as const;
    const largest = new Uint8Array(connection.maxPayloadBytes - 12 - 105);
    connection.publish('sink', largest, { headers: { entries } });
    expect(() => connection.publish('sink', new Uint8Array(largest.length + 1), { headers: { entries } })).toThrow(
      code('TRELLIS_NATS_PAYLOAD_TOO_LARGE'),
    );
    expect(() => connection.publish('sink', new Uint8Array(connection.maxPayloadBytes + 1))).toThrow(
      code('TRELLIS_NATS_PAYLOAD_TOO_LARGE'),
    );
    await connection.flush();
    expect(connection.stats.reconnects).toBe(0);
  });

  it('survives a handler that throws', async () => {
    await using connection = await open(server.url);
    let seen = 0;
    connection.subscribe('boom', {}, () => {
      seen++;
      throw new Error('handler');
    });
    await connection.flush();
    connection.publish('boom', bytes(''));
    connection.publish('boom', bytes(''));
    await connection.flush();
    await until(() => seen === 2);
    expect(connection.state).toBe('connected');
  });

  it('refuses everything after it was closed, and closes twice', async () => {
    const connection = await open(server.url);
    await connection.close();
    await connection.close();
    expect(await connection.closed).toBeUndefined();
    expect(connection.state).toBe('closed');
    expect(() => connection.publish('a', bytes(''))).toThrow(code('TRELLIS_NATS_CLOSED'));
    expect(() => connection.subscribe('a', {}, () => {})).toThrow(code('TRELLIS_NATS_CLOSED'));
    await expect(connection.flush()).rejects.toEqual(code('TRELLIS_NATS_CLOSED'));
    await expect(connection.request('a', bytes(''), { timeoutMs: 50 })).rejects.toEqual(code('TRELLIS_NATS_CLOSED'));
  });

  it('ends a flush and a drain that are under way when it is closed', async () => {
    await using own = await startServer();
    const connection = await open(own.url);
    const subscription = connection.subscribe('a', {}, () => {});
    own.signal('SIGSTOP');
    const draining = subscription.drain();
    const flushing = connection.flush();
    const outcome = expect(flushing).rejects.toEqual(code('TRELLIS_NATS_CLOSED'));
    await connection.close();
    await outcome;
    await draining;
    own.signal('SIGCONT');
  });

  it('says why there is none', async () => {
    await expect(open('nats://127.0.0.1:1')).rejects.toEqual(code('TRELLIS_NATS_UNREACHABLE'));
    await expect(open('nats://nowhere.invalid', { allowPlaintext: true, allowAnonymous: true })).rejects.toThrow(
      /host name is not known/,
    );
    await expect(open('nats://192.0.2.1')).rejects.toEqual(code('TRELLIS_NATS_TLS_REQUIRED'));
    await expect(open('tls://hub.invalid')).rejects.toEqual(code('TRELLIS_NATS_CREDENTIALS_REQUIRED'));
  });
});

describe('draining', () => {
  it('F10 waits for handlers that are still at work before it flushes and closes', async () => {
    await using caller = await open(server.url);
    let lost = 0;
    for (let round = 0; round < 5; round++) {
      const host = await open(server.url);
      const working = new Set<Promise<void>>();
      host.subscribe('work', { queue: 'w' }, (message) => {
        const { reply } = message;
        const job = sleep(Math.random() * 20).then(() => host.publish(reply, bytes('done')));
        working.add(job);
        void job.finally(() => working.delete(job));
      });
      await host.flush();
      const answers = Array.from({ length: 64 }, () =>
        caller.request('work', bytes(''), { timeoutMs: 20_000 }).catch(() => lost++),
      );
      await caller.flush();
      await host.drain({ pending: () => Promise.all(working) });
      expect(host.state).toBe('closed');
      await Promise.all(answers);
    }
    expect(lost).toBe(0);
  });

  it('keeps its own inboxes open while the services end', async () => {
    const host = await open(server.url);
    await using peer = await open(server.url);
    peer.subscribe('slow', {}, (message) => {
      const { reply } = message;
      setTimeout(() => peer.publish(reply, bytes('late but there')), 50);
    });
    await peer.flush();
    const answers: string[] = [];
    host.subscribe(`${host.inboxPrefix}.w.>`, {}, (message) => answers.push(text(message)));
    await host.flush();
    host.publish('slow', bytes(''), { reply: `${host.inboxPrefix}.w.1` });
    await host.drain({ pending: () => until(() => answers.length > 0) });
    expect(answers).toEqual(['late but there']);
  });

  it('ends in time when a handler never does', async () => {
    const host = await open(server.url);
    const start = performance.now();
    await host.drain({ pending: () => new Promise(() => {}), timeoutMs: 100 });
    expect(performance.now() - start).toBeLessThan(10_000);
    expect(host.state).toBe('closed');
  });
});

describe('an interruption', () => {
  it('NAT-01 ends with the same subscriptions, within 2 s of the server coming back', async () => {
    await using own = await startServer();
    await using connection = await open(own.url);
    const events: ConnectionEvent['type'][] = [];
    connection.onStatus((event) => events.push(event.type));
    let seen = 0;
    connection.subscribe('ping', {}, () => seen++);
    await connection.flush();
    await takesAtMost(2_000, async () => {
      const { reconnects } = connection.stats;
      events.length = seen = 0;
      await own.kill();
      await until(() => connection.state === 'disconnected');
      expect(() => connection.publish('ping', bytes(''))).toThrow(code('TRELLIS_NATS_DISCONNECTED'));
      await expect(connection.request('ping', bytes(''), { timeoutMs: 50 })).rejects.toEqual(code('TRELLIS_NATS_DISCONNECTED'));
      await sleep(300);
      await own.restart();
      const back = performance.now();
      await until(() => connection.stats.reconnects === reconnects + 1);
      const backMs = performance.now() - back;
      connection.publish('ping', bytes(''));
      await connection.flush();
      await until(() => seen === 1);
      expect(events).toEqual(['disconnected', 'reconnected']);
      return backMs;
    });
  });

  it.each(['idle', 'loaded'])('NAT-05 of a frozen server is noticed when %s, and memory stays bounded', async (load) => {
    await using own = await startServer();
    await using connection = await open(own.url, { pingIntervalMs: 200 });
    own.signal('SIGSTOP');
    const start = performance.now();
    const before = process.memoryUsage().rss;
    const big = new Uint8Array(500_000);
    const burst = load === 'loaded' ? 50 : 0;
    while (connection.state === 'connected' && performance.now() - start < 30_000) {
      // Far more than the kernel's buffers: the client alone would wait for them to empty, for ever.
      for (let left = burst; left > 0; left--) {
        try {
          connection.publish('sink', big);
        } catch (error) {
          expect((error as { code?: string }).code).toMatch(/^TRELLIS_NATS_(?:BACKLOG|DISCONNECTED)$/);
        }
      }
      await sleep(10);
    }
    // Without the shorter pings it would be at least eight seconds.
    expect(performance.now() - start).toBeLessThan(8_000);
    expect(process.memoryUsage().rss - before).toBeLessThan(400e6);
    own.signal('SIGCONT');
    await until(() => connection.state === 'connected');
  });

  it('NAT-17 may bring a smaller message limit', async () => {
    await using own = await startServer({ configText: 'max_payload: 100000\n' });
    await using connection = await open(own.url);
    expect(connection.maxPayloadBytes).toBe(100_000);
    await own.reload('max_payload: 5000\n');
    await own.restart();
    await until(() => connection.stats.reconnects === 1);
    expect(connection.maxPayloadBytes).toBe(5000);
    expect(() => connection.publish('sink', new Uint8Array(5001))).toThrow(code('TRELLIS_NATS_PAYLOAD_TOO_LARGE'));
    connection.publish('sink', new Uint8Array(5000));
    await connection.flush();
    expect(connection.stats.reconnects).toBe(1);
  });

  it('NAT-15 that is announced is reported', async () => {
    await using own = await startServer();
    await using connection = await open(own.url);
    const events: string[] = [];
    connection.onStatus((event) => events.push(event.type));
    own.signal('SIGUSR2');
    await until(() => events.includes('lame-duck'));
  });
});
