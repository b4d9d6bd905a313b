import { spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Caller } from '../../src/caller.ts';
import { startAdmin } from '../../src/daemon/admin.ts';
import { connectPartition } from '../../src/nats/connection.ts';
import { Alarms } from '../../src/telemetry/alarms.ts';
import { silentLogger } from '../../src/telemetry/log.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { SigningKey } from '../../src/trust/nkey.ts';
import { startServer, startJwtServer, type TestServer } from '../support/nats-server.ts';
import {
  acrossReconnect,
  memberConfig,
  seedFile,
  startTrustCaller,
  startTrustHost,
  TINY,
  type TrustHost,
  until,
} from '../support/trust-lattice.ts';

const LIMITS = 'max_pending: 1MB\nwrite_deadline: "500ms"\n';
/** Publishes to `flood` as fast as the server reads. */
const FLOODER = `
  const socket = require('node:net').connect(Number(process.argv[1]), '127.0.0.1');
  const burst = Buffer.from(('PUB flood 4096\\r\\n' + 'x'.repeat(4096) + '\\r\\n').repeat(64));
  const more = () => { while (socket.write(burst)); };
  socket.on('drain', more).on('data', (data) => { if (data.includes('PING')) socket.write('PONG\\r\\n'); });
  socket.write('CONNECT {"verbose":false}\\r\\n');
  more();
`;
let server: TestServer;
let host: TrustHost;
let caller: Caller;

beforeAll(async () => {
  server = await startServer({ configText: LIMITS });
  const issuer = SigningKey.generate('cluster');
  const trust = { clusterSeedFile: seedFile(server.dir, 'cluster', issuer), unlinkedOrigins: ['caller'] };
  host = await startTrustHost(memberConfig(server.url, { components: [TINY], stateDir: server.dir, trust }));
  caller = await startTrustCaller(memberConfig(server.url, { trust }));
});
afterAll(async () => {
  await caller[Symbol.asyncDispose]();
  await host.stop();
  await server[Symbol.asyncDispose]();
});

/** Calls with so many bytes, which come back. */
async function echo(length: number): Promise<number> {
  const prefix = [];
  for (let rest = length; ; rest >>>= 7) {
    prefix.push(rest > 127 ? (rest & 127) | 128 : rest);
    if (rest <= 127) break;
  }
  const params = Buffer.concat([Buffer.from(prefix), Buffer.alloc(length, 7)]);
  const call = { target: 'tiny', instance: 'trellis-samples:echo/bytes@0.1.0', func: 'echo-bytes', params, timeoutMs: 8_000 };
  const answer = await caller.call(call);
  expect(Buffer.compare(answer, params)).toBe(0);
  return answer.length;
}

describe('limits of the server', () => {
  it('NAT-17 max_payload that shrinks on reconnect: what fitted one message goes in several', async () => {
    await echo(100_000);
    await server.reload(`max_payload: 8192\n${LIMITS}`);
    const { rpc } = host.host.member!;
    await acrossReconnect([rpc, caller.member.rpc], () => server.restart());
    expect(rpc.maxPayloadBytes).toBe(8192);
    const reconnects = (): number[] => [rpc.stats.reconnects, caller.member.rpc.stats.reconnects];
    const before = reconnects();
    for (const length of [10, 7_000, 8_192, 100_000]) await echo(length);
    expect(reconnects()).toEqual(before);
    expect(host.host.status()).toMatchObject({ ready: true });
  });

  it('NAT-16 a host that stands still is cut off by the server, and comes back by itself with its memory bounded', async () => {
    const { rpc } = host.host.member!;
    const before = rpc.stats.reconnects;
    let taken = 0;
    const flood = rpc.subscribe('flood', {}, () => taken++);
    await rpc.flush();
    // Another process floods: in this one nobody could while it stands still.
    const flooder = spawn(process.execPath, ['-e', FLOODER, String(server.port)], { stdio: 'ignore' });
    const rss = process.memoryUsage().rss;
    try {
      await until(() => taken > 0);
      const end = performance.now() + 2_500;
      while (performance.now() < end);
      await until(() => rpc.stats.reconnects > before);
    } finally {
      flooder.kill('SIGKILL');
    }
    expect(server.log()).toMatch(/Slow Consumer/);
    flood.unsubscribe();
    await until(() => host.host.status().ready && caller.member.rpc.state === 'connected');
    await echo(10);
    expect(process.memoryUsage().rss - rss).toBeLessThan(200e6);
    expect(host.host.status().ready).toBe(true);
  });

  it('NAT-16 what a server does not take is dropped beyond 128 MiB, counted and alarmed', async () => {
    await using own = await startServer();
    const alarms = new Alarms(silentLogger());
    const options = { partition: 'rpc', lattice: 'default', servers: [own.url], name: 'test', log: silentLogger() } as const;
    await using connection = await connectPartition({ ...options, alarms, pingIntervalMs: 60_000 });
    let shed = 0;
    connection.onStatus(({ type }) => {
      if (type === 'shed') shed++;
    });
    own.signal('SIGSTOP');
    const rss = process.memoryUsage().rss;
    const big = new Uint8Array(500_000);
    let refused = 0;
    for (let n = 0; n < 600; n++) {
      try {
        connection.publish('sink', big);
      } catch (error) {
        expect(error).toMatchObject({ code: 'TRELLIS_NATS_BACKLOG', retryable: true });
        refused++;
      }
      if (n % 10 === 0) await sleep(1);
    }
    expect(refused).toBeGreaterThan(100);
    expect(shed).toBe(refused);
    expect(process.memoryUsage().rss - rss).toBeLessThan(300e6);
    expect(alarms.list()).toMatchObject([{ code: 'TRELLIS_ALARM_NATS_BACKLOG', scope: 'rpc' }]);
    own.signal('SIGCONT');
    await connection.flush();
    connection.publish('sink', big);
  });

  it('NAT-18 a subject that is refused at runtime is named in the status', async () => {
    await using jwt = await startJwtServer();
    const rights = { publish: ['lab.>', '_INBOX_RPC.>'], subscribe: ['lab.>', '_INBOX_RPC.>'] };
    await using limited = await startTrustHost(
      memberConfig(jwt.url, {
        lattice: 'lab',
        stateDir: jwt.server.dir,
        ctl: { servers: [jwt.url], credsFile: jwt.ctl.addUser('ctl').credsFile },
        rpc: { servers: [jwt.url], credsFile: jwt.rpc.addUser('rpc', rights).credsFile },
      }),
    );
    const { rpc } = limited.host.member!;
    rpc.publish('other.comp.wrpc.0.0.1.run', Buffer.from('x'));
    rpc.subscribe('other.>', {}, () => {});
    await rpc.flush();
    await until(() => /other\.>/.test(limited.host.status().alarms[0]?.detail ?? ''));
    expect(limited.host.status().alarms).toMatchObject([
      {
        code: 'TRELLIS_ALARM_NATS_PERMISSION',
        scope: 'rpc',
        detail: 'rpc: the server refused publishing to other.comp.wrpc.0.0.1.run; the server refused subscribing to other.>',
      },
    ]);
    // It is for people: taking the host out of service would not help.
    const metrics = createMetrics({ eventLoop: false });
    const admin = await startAdmin({ listen: '127.0.0.1:0', metrics, status: () => limited.host.status() });
    const response = await fetch(`${admin.url}/readyz`);
    const [{ sinceMs, ...alarm } = { sinceMs: 0 }] = limited.host.status().alarms;
    expect([response.status, await response.json()]).toEqual([
      200,
      { status: 'ok', alarms: [{ ...alarm, since: new Date(sinceMs).toISOString() }] },
    ]);
    await admin.close();
  });
});
