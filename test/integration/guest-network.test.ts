import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { createServer as createRawServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { setDefaultCACertificates } from 'node:tls';
import type { TLSSocket } from 'node:tls';
import { describe, expect, it } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { createNetwork } from '../../src/component/runner/wasi/network/network.ts';
import { Lifetime } from '../../src/component/runner/wasi/poll.ts';
import { createCertificateAuthority } from '../support/certificates.ts';
import type { Certificate } from '../support/certificates.ts';
import { fetchingGuest } from '../support/fetching-guest.ts';
import { takesAtMost } from '../support/takes-at-most.ts';
import { until } from '../support/until.ts';

const MIB = 1024 * 1024;

/** A web server on loopback that counts what reaches it. */
async function webServer(answer: (request: IncomingMessage, response: ServerResponse) => void) {
  const seen: { method: string; url: string; headers: string[] }[] = [];
  const connections = { opened: 0, open: 0 };
  const server = createServer((request, response) => {
    seen.push({ method: request.method!, url: request.url!, headers: request.rawHeaders });
    answer(request, response);
  });
  server.on('connection', (socket) => {
    connections.opened += 1;
    connections.open += 1;
    socket.on('close', () => (connections.open -= 1));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    port,
    authority: `127.0.0.1:${port}`,
    seen,
    connections,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

/** A server that answers each connection with these bytes as soon as a request has come, and keeps what it was sent. */
async function rawServer(answer: string) {
  const sockets = new Set<Socket>();
  const received: string[] = [];
  const server = createRawServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('data', (bytes: Buffer) => {
      received.push(bytes.toString('latin1'));
      if (received.length === 1) socket.write(answer, 'latin1');
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    authority: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    received,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

/** A web server with this certificate, on loopback; keeps the names it was asked for. */
async function tlsServer({ certPem, keyPem }: Certificate) {
  const seen: unknown[] = [];
  const server = createTlsServer({ cert: certPem, key: keyPem }, (request, response) => {
    seen.push((request.socket as TLSSocket).servername);
    response.end('secure');
  });
  server.on('tlsClientError', () => {});
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    port,
    authority: `127.0.0.1:${port}`,
    seen,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

/** Sum of a body whose byte number n is n modulo 251. */
const patternSum = (bytes: number): number => {
  const rest = bytes % 251;
  return Math.floor(bytes / 251) * ((250 * 251) / 2) + (rest * (rest - 1)) / 2;
};

describe('a guest with a network grant', () => {
  it('sends requests to where it was granted, and reads the answers', async () => {
    await using server = await webServer((request, response) => {
      response.setHeader('set-cookie', ['a=1', 'b=2']);
      response.writeHead(request.method === 'POST' ? 201 : 200, { 'X-Mixed-Case': 'Value' });
      response.end(request.method === 'HEAD' ? undefined : `hello from ${request.url}`);
    });
    await using guest = await fetchingGuest([server.authority]);
    const answer = await guest.send({ authority: server.authority, path: '/a?b=c%20d', headers: [['X-From', 'guest']] });
    expect(answer).toMatchObject({
      status: 200,
      bodyStart: 'hello from /a?b=c%20d',
      headers: { 'x-mixed-case': ['Value'], 'set-cookie': ['a=1', 'b=2'] },
    });
    // What belongs to the connection is not the guest's.
    expect(Object.keys(answer.headers!)).not.toContain('connection');
    expect(server.seen).toEqual([
      { method: 'GET', url: '/a?b=c%20d', headers: ['x-from', 'guest', 'host', server.authority, 'Connection', 'close'] },
    ]);
    expect(await guest.send({ authority: server.authority, method: 'POST' })).toMatchObject({ status: 201 });
    expect(server.seen[1]!.headers.slice(0, 2)).toEqual(['content-length', '0']);
    expect(await guest.send({ authority: server.authority, method: 'HEAD' })).toMatchObject({ status: 200, bodyBytes: 0 });
    expect(await guest.send({ authority: server.authority, method: 'PURGE' })).toMatchObject({ status: 200 });
    expect(guest.test.component.stats.restarts).toBe(0);
  });

  it('GST-13 reaches nothing else: refused in the words of wasi:http, and nothing arrives', async () => {
    await using granted = await webServer((_request, response) => response.end('granted'));
    await using other = await webServer((_request, response) => response.end('other'));
    await using guest = await fetchingGuest([`127.0.0.1:${granted.port}`, `example.test:${other.port}`]);
    const { port } = other;
    for (const authority of [
      `127.0.0.1:${port}`,
      `localhost:${port}`,
      `127.0.0.2:${port}`,
      `[::1]:${port}`,
      `0.0.0.0:${port}`,
      `localhost:${granted.port}`,
      `sub.example.test:${port}`,
      '127.0.0.1',
    ]) {
      expect(await guest.send({ authority }), authority).toMatchObject({ failed: 'handle HTTP-request-denied' });
    }
    for (const authority of [
      `2130706433:${port}`,
      `0x7f000001:${port}`,
      `127.1:${port}`,
      `0177.0.0.1:${port}`,
      `[::ffff:127.0.0.1]:${port}`,
      `[::1%25lo]:${port}`,
      `127.0.0.1.:${port}`,
      `127.0.0.1:${granted.port}@127.0.0.1:${port}`,
      `127.0.0.1:${granted.port}/@127.0.0.1:${port}`,
      `user@127.0.0.1:${granted.port}`,
      `127.0.0.1:${granted.port}\\@127.0.0.1:${port}`,
      `127.0.0.1:0${granted.port}`,
      `127.0.0.1:${granted.port + 65_536}`,
      `127.0.0.1:`,
      `127.0.0.1 :${granted.port}`,
      `１２７.0.0.1:${port}`,
      '',
    ]) {
      expect(await guest.send({ authority }), authority).toMatchObject({ failed: 'authority 255' });
    }
    expect(await guest.send({ authority: `127.0.0.1:${granted.port}`, path: `//127.0.0.1:${port}/` })).toMatchObject({
      status: 200,
      bodyStart: 'granted',
    });
    expect(granted.seen).toHaveLength(1);
    expect(other.connections.opened).toBe(0);
  });

  it('GST-13 without a grant everything is refused, and the process itself may not connect', async () => {
    await using server = await webServer((_request, response) => response.end());
    await using guest = await fetchingGuest([]);
    const answer = await guest.send({ authority: server.authority });
    // What can only be used with a grant traps, or handle refuses.
    expect(answer.call ?? answer.failed).toMatch(/not granted|HTTP-request-denied/);
    expect(server.connections.opened).toBe(0);
    const flags = (pid: number | undefined): string => readFileSync(`/proc/${pid}/cmdline`, 'latin1');
    expect(flags(guest.test.component.pids[0])).not.toContain('--allow-net');
    await using granted = await fetchingGuest([server.authority]);
    expect(flags(granted.test.component.pids[0])).toContain('--allow-net');
  });

  it('is given a redirect and goes nowhere by itself', async () => {
    await using target = await webServer((_request, response) => response.end('moved'));
    await using server = await webServer((_request, response) => {
      response.writeHead(302, { location: `http://${target.authority}/` }).end();
    });
    await using guest = await fetchingGuest([server.authority, target.authority]);
    const answer = await guest.send({ authority: server.authority });
    expect(answer).toMatchObject({ status: 302, headers: { location: [`http://${target.authority}/`] } });
    expect(target.connections.opened).toBe(0);
  });

  it('resolves a granted name itself; `localhost` is this machine', async () => {
    await using server = await webServer((request, response) => response.end(request.headers.host));
    await using guest = await fetchingGuest([`LocalHost:${server.port}`, `no-such-name.invalid:80`]);
    expect(await guest.send({ authority: `localhost:${server.port}` })).toMatchObject({ bodyStart: `localhost:${server.port}` });
    expect((await guest.send({ authority: 'no-such-name.invalid' })).failed).toMatch(/^response DNS-(error|timeout)$/);
  });

  it('streams bodies of any size both ways without holding them', async () => {
    const bytes = 48 * MIB;
    const chunk = Buffer.from(Array.from({ length: 251 * 64 }, (_, i) => i % 251));
    await using server = await webServer((request, response) => {
      if (request.method === 'PUT') {
        let got = 0;
        let sum = 0;
        request.on('data', (part: Buffer) => {
          got += part.length;
          for (const byte of part) sum += byte;
        });
        request.on('end', () => response.end(`${got} ${sum}`));
        return;
      }
      let left = bytes;
      const more = (): void => {
        while (left > 0) {
          const part = chunk.subarray(0, Math.min(left, chunk.length));
          left -= part.length;
          if (!response.write(part)) return void response.once('drain', more);
        }
        response.end();
      };
      more();
    });
    await using guest = await fetchingGuest([server.authority]);
    await guest.send({ authority: server.authority, method: 'PUT', bodyBytes: MIB });
    const before = guest.test.component.stats.rssBytes;
    const up = await guest.send({ authority: server.authority, method: 'PUT', bodyBytes: bytes });
    expect(up).toMatchObject({ status: 200, bodyStart: `${bytes} ${patternSum(bytes)}` });
    const down = await guest.send({ authority: server.authority });
    expect(down).toMatchObject({ status: 200, bodyBytes: bytes, bodySum: patternSum(bytes) });
    expect(guest.test.component.stats.rssBytes - before).toBeLessThan(64 * MIB);
  });

  it('sends exactly the body it declared, or none', async () => {
    await using server = await webServer((request, response) => {
      request.resume();
      request.on('end', () => response.end(JSON.stringify(request.headers)));
    });
    await using guest = await fetchingGuest([server.authority]);
    const send = (bodyBytes: number, length?: string, method = 'POST') =>
      guest.send({
        authority: server.authority,
        method,
        bodyBytes,
        headers: length === undefined ? [] : [['Content-Length', length]],
      });
    expect((await send(10, '10')).bodyStart).toContain('"content-length":"10"');
    expect((await send(10)).bodyStart).toContain('"transfer-encoding":"chunked"');
    // Also where Node would send a body without saying where it ends.
    expect((await send(10, undefined, 'GET')).bodyStart).toContain('"transfer-encoding":"chunked"');
    expect(await send(11, '10')).toMatchObject({ failed: 'write HTTP-request-body-size' });
    expect(await send(9, '10')).toMatchObject({ failed: 'finish HTTP-request-body-size' });
    expect(await send(-1, '10')).toMatchObject({ failed: 'handle HTTP-request-body-size' });
    for (const length of ['-1', '1e1', '+10', '0x0a', '10, 10', '', '9999999999999999', '999999999999999']) {
      expect(await send(10, length), length).toMatchObject({ failed: 'handle HTTP-request-body-size' });
    }
    expect(server.seen.filter(({ method }) => method === 'POST').length).toBeLessThanOrEqual(4);
  });

  it('INJ-09 cannot put anything into a request that ends a line, a header or a message', async () => {
    await using server = await rawServer('HTTP/1.1 204 No Content\r\n\r\n');
    await using guest = await fetchingGuest([server.authority]);
    const { authority } = server;
    const header = async (name: string, value: string) => (await guest.send({ authority, headers: [[name, value]] })).failed;
    for (const value of ['a\r\nx: y', 'a\nx: y', 'a\r', 'a\0b', '\x7f'])
      expect(await header('x-a', value), JSON.stringify(value)).toBe('header invalid-syntax');
    for (const name of ['x a', 'x:a', 'x\r\ny', '', 'x\0', 'é', 'x(', 'x'.repeat(300)])
      expect(await header(name, 'v'), JSON.stringify(name)).toBe('header invalid-syntax');
    for (const name of [
      'Transfer-Encoding',
      'TRANSFER_ENCODING',
      'Content_Length',
      'Host',
      'connection',
      'Keep-Alive',
      'upgrade',
      'Proxy-Authorization',
      'te',
      'Trailer',
      'Expect',
    ])
      expect(await header(name, 'chunked'), name).toBe('header forbidden');
    for (const path of [
      '/ HTTP/1.1\r\nx: y',
      '/a b',
      '/a\tb',
      '/a#b',
      'http://other/',
      'a',
      '/\r\n\r\nGET / HTTP/1.1',
      '/é',
      '*',
    ])
      expect((await guest.send({ authority, path })).failed, JSON.stringify(path)).toBe('path 255');
    for (const method of ['GET / HTTP/1.1\r\nx: y\r\n\r\nGET', 'G T', '', 'GÉT', 'A'.repeat(40)])
      expect((await guest.send({ authority, method })).failed, JSON.stringify(method)).toBe('method 255');
    for (const method of ['CONNECT', 'connect'])
      expect((await guest.send({ authority, method })).failed).toBe('handle HTTP-request-method-invalid');
    expect((await guest.send({ authority, path: `/${'a'.repeat(9_000)}` })).failed).toBe('handle HTTP-request-URI-too-long');
    expect((await guest.send({ authority, headers: [['x', 'y'.repeat(70_000)]] })).call).toContain('fields of a message');
    // Two lengths would be two messages.
    const twice = [
      ['content-length', '0'],
      ['Content-Length', '5'],
    ] as const;
    expect((await guest.send({ authority, headers: twice })).failed).toBe('handle HTTP-request-body-size');
    expect(server.received).toEqual([]);
    expect(await guest.send({ authority, headers: [['x-ok', 'ü\t"']] })).toMatchObject({ status: 204 });
    expect(server.received).toEqual([`GET / HTTP/1.1\r\nx-ok: ü\t"\r\nhost: ${authority}\r\nConnection: close\r\n\r\n`]);
  });

  it.each([
    ['a refused connection', undefined, 'response connection-refused'],
    ['no HTTP', 'hello\r\n\r\n', 'response HTTP-protocol-error'],
    [
      'both lengths',
      'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
      'response HTTP-response-transfer-coding',
    ],
    ['a head without end', `HTTP/1.1 200 OK\r\nx: ${'y'.repeat(80_000)}`, 'response HTTP-response-header-section-size'],
    [
      'an upgrade',
      'HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n',
      'response HTTP-upgrade-failed',
    ],
    ['a broken chunk', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz', 'read HTTP-protocol-error'],
  ])('gets an error code for %s', async (_what, answer, failed) => {
    const server = await rawServer(answer ?? '');
    if (answer === undefined) await server[Symbol.asyncDispose]();
    await using guest = await fetchingGuest([server.authority]);
    expect(await guest.send({ authority: server.authority })).toMatchObject({ failed });
    if (answer !== undefined) await server[Symbol.asyncDispose]();
  });

  it('gets an error code for an answer that is cut off', async () => {
    await using server = await webServer((_request, response) => {
      response.writeHead(200, { 'content-length': '100' });
      response.write('half of it');
      setTimeout(() => response.destroy(), 20);
    });
    await using guest = await fetchingGuest([server.authority]);
    expect(await guest.send({ authority: server.authority })).toMatchObject({ failed: 'read HTTP-response-incomplete' });
  });

  it('does not trust a certificate that nobody vouches for, nor plain text for TLS', async () => {
    await using server = await webServer((_request, response) => response.end());
    await using secure = await tlsServer(createCertificateAuthority().issue('127.0.0.1', { ipv4: ['127.0.0.1'] }));
    await using guest = await fetchingGuest([server.authority, secure.authority]);
    expect((await guest.send({ authority: server.authority, https: true })).failed).toMatch(/^response (TLS|connection)-/);
    expect(await guest.send({ authority: secure.authority, https: true })).toMatchObject({
      failed: 'response TLS-certificate-error',
    });
    expect(server.seen.length + secure.seen.length).toBe(0);
  });

  it('speaks TLS with whom a trusted certificate names, and with nobody else', async () => {
    // In this process, where the test can say whom to trust.
    const ca = createCertificateAuthority();
    setDefaultCACertificates([ca.certPem]);
    await using right = await tlsServer(ca.issue('localhost', { dnsNames: ['localhost'] }));
    await using wrong = await tlsServer(ca.issue('other.test', { dnsNames: ['other.test'] }));
    const network = createNetwork([`localhost:${right.port}`, `localhost:${wrong.port}`])(new Lifetime(systemClock));
    // The shape is WASI's own; tests call it the way generated code does.
    // oxlint-disable-next-line typescript/no-explicit-any
    const http = network.http() as any;
    const { Fields, OutgoingRequest } = http['wasi:http/types'];
    const send = async (authority: string): Promise<string> => {
      const request = new OutgoingRequest(new Fields());
      request.setAuthority(authority);
      const future = http['wasi:http/outgoing-handler'].handle(request, undefined);
      await future.subscribe().block();
      const { tag, val } = future.get().val;
      return tag === 'ok' ? val.status() : val.tag;
    };
    expect(await send(`localhost:${right.port}`)).toBe(200);
    expect(right.seen).toEqual(['localhost']);
    expect(await send(`localhost:${wrong.port}`)).toBe('TLS-certificate-error');
    expect(wrong.seen).toEqual([]);
    network.endCall();
  });

  it('gives up after the times it was told', async () => {
    await using server = await webServer((request, response) => {
      if (request.url === '/half') response.write('a');
    });
    await using guest = await fetchingGuest([server.authority]);
    const { authority } = server;
    const first = await guest.send({ authority, firstByteTimeout: 100 });
    expect(first).toMatchObject({ failed: 'response connection-read-timeout' });
    expect(first.ms).toBeLessThan(15_000);
    const between = await guest.send({ authority, path: '/half', betweenBytesTimeout: 100 });
    expect(between).toMatchObject({ failed: 'read connection-read-timeout' });
    await until(() => server.connections.open === 0);
  });

  it('ends with its deadline, and its connections with it; others go on', async () => {
    await using server = await webServer((request, response) => {
      if (request.url === '/fine') response.end('fine');
    });
    await using guest = await fetchingGuest([server.authority], { policy: 'reuse' });
    const [pid] = guest.test.component.pids;
    const { authority } = server;
    await takesAtMost(650, async () => {
      const stuck = [1, 2, 3].map(() => guest.send({ authority, firstByteTimeout: 60_000 }, 400));
      expect(await guest.send({ authority, path: '/fine' })).toMatchObject({ bodyStart: 'fine' });
      const ended = await Promise.all(stuck);
      for (const one of ended) expect(one.call).toContain('timeout');
      await until(() => server.connections.open === 0);
      return Math.max(...ended.map(({ ms }) => ms));
    });
    expect(guest.test.component.pids).toEqual([pid]);
  });

  it('keeps nothing open beyond its call, also where instances are reused', async () => {
    await using server = await webServer(() => {});
    await using guest = await fetchingGuest([server.authority], { policy: 'reuse', maxInstances: 1 });
    for (let i = 0; i < 3; i++) expect(await guest.leave(server.authority)).toMatchObject({ hex: '00', failure: undefined });
    await until(() => server.connections.open === 0);
  });

  it('serves other calls while one waits, each with its own answer', async () => {
    // Answers when all have asked, the last one first.
    const open: (() => void)[] = [];
    await using server = await webServer((request, response) => {
      open.push(() => response.end(request.url));
      if (open.length === 20) for (const answer of open.reverse()) answer();
    });
    await using guest = await fetchingGuest([server.authority], { policy: 'reuse', maxInstances: 20 });
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, i) => guest.send({ authority: server.authority, path: `/${i}` })),
    );
    expect(answers.map((answer) => answer.bodyStart)).toEqual(Array.from({ length: 20 }, (_, i) => `/${i}`));
  });
});
