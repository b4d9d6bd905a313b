import { type AddressInfo, createServer, type Socket } from 'node:net';
import type { NatsConnection } from 'nats';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { connectPartition } from '../../src/nats/connection.ts';
import { silentLogger } from '../../src/telemetry/log.ts';
import { until } from '../support/until.ts';

/** What a nats-server says at first and to pings, by which the test can end a connection at the very moment it wants. */
const peers: Socket[] = [];
/** So many connections end after the greeting, as soon as the client says something. */
let hangUps = 0;
const server = createServer((socket) => {
  peers.push(socket);
  socket.on('error', () => {});
  if (hangUps > 0) {
    hangUps--;
    socket.once('data', () => socket.destroy());
  }
  socket.write('INFO {"server_id":"x","version":"2.14.0","max_payload":1048576,"headers":true}\r\n');
  socket.on('data', (data: Buffer) => {
    for (const _ of data.toString('latin1').matchAll(/PING\r\n/g)) socket.write('PONG\r\n');
  });
});
beforeAll(() => new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve)));
afterAll(() => {
  for (const peer of peers) peer.destroy();
  server.close();
});

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

it('a connection that is closed while a late write fails ends, and takes nothing with it', async () => {
  const uncaught: unknown[] = [];
  const hear = (error: unknown): void => void uncaught.push(error);
  process.on('uncaughtException', hear);
  try {
    const { port } = server.address() as AddressInfo;
    let late = 0;
    for (let i = 0; i < 20; i++) {
      const servers = [`nats://127.0.0.1:${port}`];
      const connection = await connectPartition({
        partition: 'rpc',
        lattice: 'default',
        servers,
        name: 'test',
        log: silentLogger(),
      });
      const { client } = connection.line as unknown as { client: NatsConnection };
      const { socket } = (client as unknown as { protocol: { transport: { socket: Socket } } }).protocol.transport;
      const half = new Promise((resolve) => socket.once('end', resolve));
      peers.pop()!.end();
      await half;
      // As long as the client has not ended its own half, it may write.
      while (!socket.writableEnded && !socket.destroyed) await turn();
      if (!socket.destroyed) {
        client.publish('a.b', 'too late');
        await Promise.resolve();
        if (socket.errored !== null) late++;
      }
      await connection.close();
      await turn();
    }
    expect(late).toBeGreaterThan(0);
    await turn();
    expect(uncaught).toEqual([]);
  } finally {
    process.off('uncaughtException', hear);
  }
});

it.each([1, 3])(
  'a server that ends the connection %i times between greeting and login is dialled again at once',
  async (times) => {
    const { port } = server.address() as AddressInfo;
    await using connection = await connectPartition({
      partition: 'rpc',
      lattice: 'default',
      servers: [`nats://127.0.0.1:${port}`],
      name: 'test',
      log: silentLogger(),
      connectTimeoutMs: 600_000,
    });
    const events: string[] = [];
    connection.onStatus(({ type }) => events.push(type));
    const before = peers.length;
    hangUps = times;
    peers.at(-1)!.destroy();
    await until(() => connection.stats.reconnects > 0);
    await connection.flush();
    expect([events, connection.stats.reconnects, peers.length]).toEqual([['disconnected', 'reconnected'], 1, before + times + 1]);
  },
);
