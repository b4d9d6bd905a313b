import { createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { dialingGuest } from '../support/dialing-guest.ts';
import { takesAtMost } from '../support/takes-at-most.ts';
import { until } from '../support/until.ts';

/** A TCP server on loopback that gives back what it gets, unless told otherwise. */
async function tcpServer(serve: (socket: Socket) => void = (socket) => void socket.pipe(socket)) {
  const sockets = new Set<Socket>();
  let opened = 0;
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    opened += 1;
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket)).on('error', () => {});
    serve(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    get opened() {
      return opened;
    },
    get open() {
      return sockets.size;
    },
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

describe('a guest with a network grant and a socket', () => {
  it('connects to a granted address, sends, and reads to the end', async () => {
    await using server = await tcpServer();
    await using guest = await dialingGuest([`127.0.0.1:${server.port}`]);
    expect(await guest.exchange('127.0.0.1', server.port, 'hello')).toEqual({ bytes: 5, start: 'hello' });
    await until(() => server.open === 0);
  });

  it('sends and receives more than fits anywhere', async () => {
    await using server = await tcpServer((socket) => {
      let bytes = 0;
      socket.on('data', (chunk: Buffer) => (bytes += chunk.length));
      socket.on('end', () => socket.end(Buffer.concat([Buffer.from(`${bytes} `), Buffer.alloc(bytes)])));
    });
    await using guest = await dialingGuest([`127.0.0.1:${server.port}`]);
    const answer = await guest.exchange('127.0.0.1', server.port, 'x'.repeat(60_000), { times: 200 });
    expect(answer).toMatchObject({ bytes: 12_000_009, start: expect.stringMatching(/^12000000 /) });
    expect(guest.test.component.stats.rssBytes).toBeLessThan(200 * 1024 * 1024);
  });

  it('connects to what a granted name leads to, and only at its ports', async () => {
    await using server = await tcpServer();
    await using other = await tcpServer();
    await using guest = await dialingGuest([`localhost:${server.port}`], { policy: 'reuse', maxInstances: 1 });
    // An address is not a name: it is known only after the name was looked up.
    expect(await guest.exchange('127.0.0.1', server.port, 'hello')).toBe('connect access-denied');
    expect(await guest.lookUp('localhost')).toEqual(['127.0.0.1']);
    expect(await guest.exchange('127.0.0.1', server.port, 'hello')).toEqual({ bytes: 5, start: 'hello' });
    expect(await guest.exchange('127.0.0.1', other.port, 'hello')).toBe('connect access-denied');
    expect(await guest.exchange('127.0.0.2', server.port, 'hello')).toBe('connect access-denied');
    expect(other.opened).toBe(0);
  });

  it('GST-13 connects to nothing else, looks up nothing else, and is no server', async () => {
    await using server = await tcpServer();
    await using guest = await dialingGuest([`127.0.0.1:1`, 'granted.test:80']);
    for (const address of ['127.0.0.1', '0.0.0.0', '255.255.255.255', '169.254.169.254'])
      expect(await guest.exchange(address, server.port, 'hello')).toBe('connect access-denied');
    for (const name of ['localhost', 'sub.granted.test', 'test'])
      expect(await guest.lookUp(name), name).toBe('look-up access-denied');
    for (const name of ['', 'a b', '127.1', '0x7f000001', 'x.', '*.granted.test', 'granted.test\0'])
      expect(await guest.lookUp(name), name).toBe('look-up invalid-argument');
    expect(await guest.lookUp('127.0.0.1')).toEqual(['127.0.0.1']);
    expect(await guest.serve()).toEqual(['bind access-denied', 'listen access-denied', 'udp access-denied']);
    expect(server.opened).toBe(0);
  });

  it('GST-13 gets no socket at all without a grant', async () => {
    await using server = await tcpServer();
    await using guest = await dialingGuest([]);
    expect(await guest.exchange('127.0.0.1', server.port, 'hello')).toBe('create access-denied');
    expect(await guest.lookUp('localhost')).toBe('look-up access-denied');
    expect(server.opened).toBe(0);
  });

  it('is told of a connection that is refused or cut', async () => {
    await using server = await tcpServer((socket) => socket.resetAndDestroy());
    await using guest = await dialingGuest([`127.0.0.1:${server.port}`, '127.0.0.1:1']);
    expect(await guest.exchange('127.0.0.1', 1, 'hello')).toBe('connect connection-refused');
    expect(await guest.exchange('127.0.0.1', server.port, 'hello')).toMatch(/^(connect connection-reset|write 255|read 255)$/);
  });

  it('ends with its deadline, and its connections with it', async () => {
    let ended = 0;
    await using server = await tcpServer((socket) => {
      // Trickles for ever: only that shows that nobody is there any more.
      const timer = setInterval(() => socket.write('.'), 10);
      socket.resume().on('close', () => {
        clearInterval(timer);
        ended += 1;
      });
    });
    await using guest = await dialingGuest([`127.0.0.1:${server.port}`], { policy: 'reuse' });
    const [pid] = guest.test.component.pids;
    await takesAtMost(1_250, async () => {
      const startedMs = performance.now();
      expect(await guest.exchange('127.0.0.1', server.port, 'hello', { timeoutMs: 1_000 })).toContain('timeout');
      const tookMs = performance.now() - startedMs;
      await until(() => ended === server.opened);
      return tookMs;
    });
    expect(ended).toBeGreaterThan(0);
    expect(guest.test.component.pids).toEqual([pid]);
  });
});
