import { writeFileSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createSecureContext, createServer as createTlsServer, TLSSocket } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connectPartition, type LatticeConnection } from '../../src/nats/connection.ts';
import { silentLogger } from '../../src/telemetry/log.ts';
import type { NatsUser } from '../support/accounts.ts';
import { createCertificateAuthority, selfSignedCertificate } from '../support/certificates.ts';
import { type JwtTestServer, startJwtServer, startServer, startTlsServer } from '../support/nats-server.ts';
import { until } from '../support/until.ts';

const open = (servers: string[], more: Partial<Parameters<typeof connectPartition>[0]> = {}): Promise<LatticeConnection> =>
  connectPartition({
    partition: 'rpc',
    lattice: 'default',
    servers,
    name: 'test',
    log: silentLogger(),
    connectTimeoutMs: 2000,
    ...more,
  });
const code = (name: string) => expect.objectContaining({ code: name });
const refusal = (attempt: Promise<LatticeConnection>): Promise<{ code: string; message: string }> =>
  attempt.then(
    async (connection) => {
      await connection.close();
      throw new Error('was let in');
    },
    (error: { code: string; message: string }) => error,
  );

/** Somebody who plays nats-server: greets, answers PING, and keeps every byte it is told. */
interface Impostor {
  port: number;
  heard(): string;
  dials: number;
  sockets: Socket[];
  close(): Promise<void>;
}
async function impostor(info: object, upgrade?: (socket: Socket) => void, port = 0): Promise<Impostor> {
  const chunks: Buffer[] = [];
  const server: Server = createServer();
  const self: Impostor = {
    port: 0,
    dials: 0,
    sockets: [],
    heard: () => Buffer.concat(chunks).toString('latin1'),
    close: async () => {
      for (const socket of self.sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  server.on('connection', (socket) => {
    self.dials++;
    self.sockets.push(socket);
    socket.on('error', () => {});
    socket.write(
      `INFO ${JSON.stringify({ server_id: 'X', version: '2.14.0', headers: true, max_payload: 1048576, proto: 1, nonce: 'abc', ...info })}\r\n`,
    );
    if (upgrade === undefined) {
      socket.on('data', (data: Buffer) => {
        chunks.push(data);
        if (data.includes('PING')) socket.write('PONG\r\n');
      });
    } else {
      upgrade(socket);
    }
  });
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  self.port = (server.address() as { port: number }).port;
  return self;
}

/** A certificate for `localhost` and the file of the authority that signed it. */
function certificate(): { certPem: string; keyPem: string; caFile: string } {
  const ca = createCertificateAuthority();
  const caFile = join(jwt.server.dir, `ca-${++authorities}.pem`);
  writeFileSync(caFile, ca.certPem);
  return { ...ca.issue('localhost', { dnsNames: ['localhost'] }), caFile };
}

let authorities = 0;
let jwt: JwtTestServer;
let user: NatsUser;
beforeAll(async () => {
  jwt = await startJwtServer();
  user = jwt.rpc.addUser('host');
});
afterAll(async () => {
  await jwt[Symbol.asyncDispose]();
});

describe('an impostor without TLS', () => {
  it('F4 NAT-20 gets no login, whatever says that TLS is due', async () => {
    const fake = await impostor({});
    const attempts: [string, Partial<Parameters<typeof connectPartition>[0]>][] = [
      ['tls', {}],
      ['nats', { tls: {} }],
      ['tls', { tls: { serverName: 'localhost' } }],
    ];
    for (const [scheme, more] of attempts) {
      const error = await refusal(open([`${scheme}://localhost:${fake.port}`], { credsFile: user.credsFile, ...more }));
      expect(error).toEqual(code('TRELLIS_NATS_TLS_FAILED'));
      expect(error.message).toContain('offers no TLS');
    }
    await sleep(20);
    expect(fake.dials).toBeGreaterThanOrEqual(attempts.length);
    expect(fake.heard()).toBe('');
    await fake.close();
  });

  it('NAT-20 gets no login either when it takes the place of a server with TLS', async () => {
    const real = await startTlsServer();
    const { port } = real.server;
    const connection = await open([real.url], { credsFile: user.credsFile, tls: { caFile: real.certificates.caFile } });
    await connection.flush();
    await real.server.kill();
    const fake = await impostor({}, undefined, port);
    await expect.poll(() => fake.dials).toBeGreaterThan(2);
    expect(fake.heard()).toBe('');
    expect(connection.state).toBe('disconnected');
    await connection.close();
    await fake.close();
    await real[Symbol.asyncDispose]();
  });

  it('is told a login without these settings: what the test above would see if it failed', async () => {
    const fake = await impostor({});
    await using connection = await open([`nats://127.0.0.1:${fake.port}`], { credsFile: user.credsFile });
    expect(connection.state).toBe('connected');
    expect(fake.heard()).toContain(user.jwt);
    expect(fake.heard()).not.toContain(user.seed);
    await fake.close();
  });

  it('NAT-22 cannot send the connection to addresses of its own', async () => {
    const trap = await impostor({});
    const fake = await impostor({ connect_urls: [`127.0.0.1:${trap.port}`] });
    const connection = await open([`nats://127.0.0.1:${fake.port}`]);
    // Once more while it is connected, as servers tell of a cluster that grows.
    for (const socket of fake.sockets) socket.write(`INFO {"connect_urls":["127.0.0.1:${trap.port}"]}\r\n`);
    await connection.flush();
    for (const socket of fake.sockets) socket.destroy();
    // It comes back, and more than once: each of these dials could have gone elsewhere.
    for (let again = 2; again < 6; again++) {
      await until(() => fake.dials >= again);
      for (const socket of fake.sockets) socket.destroy();
    }
    expect(trap.dials).toBe(0);
    await connection.close();
    await trap.close();
    await fake.close();
  });
});

describe('TLS', () => {
  it('is used, with a client certificate where the server wants one', async () => {
    await using plain = await startTlsServer();
    await using connection = await open([plain.url], { tls: { caFile: plain.certificates.caFile } });
    await connection.flush();
    await using mutual = await startTlsServer({ mutual: true });
    const { caFile, clientCertFile, clientKeyFile } = mutual.certificates;
    await using authenticated = await open([mutual.url], { tls: { caFile, certFile: clientCertFile, keyFile: clientKeyFile } });
    await authenticated.flush();
    const error = await refusal(open([mutual.url], { tls: { caFile }, connectTimeoutMs: 500 }));
    expect(error.message).toContain('client certificate');
  });

  it('comes before the greeting where both sides want it so', async () => {
    // Not a real server: Debian 12's (2.9.10) does not know handshake_first.
    const { certPem, keyPem, caFile } = certificate();
    const first = createTlsServer({ cert: certPem, key: keyPem }, (socket) => {
      socket.on('error', () => {});
      socket.write(
        'INFO {"server_id":"X","version":"2.14.0","headers":true,"max_payload":1048576,"proto":1,"tls_required":true}\r\n',
      );
      socket.on('data', (data: Buffer) => {
        if (data.includes('PING')) socket.write('PONG\r\n');
      });
    });
    await new Promise<void>((resolve) => first.listen(0, '127.0.0.1', resolve));
    const { port } = first.address() as { port: number };
    const connection = await open([`tls://localhost:${port}`], { tls: { caFile, handshakeFirst: true } });
    await connection.flush();
    await connection.close();
    first.close();
    await using plain = await startServer();
    const error = await refusal(open([`tls://localhost:${plain.port}`], { tls: { caFile, handshakeFirst: true } }));
    expect(error).toEqual(code('TRELLIS_NATS_TLS_FAILED'));
    expect(error.message).toContain('handshakeFirst');
  });

  it('holds by number when the name is given', async () => {
    await using server = await startTlsServer();
    const { caFile } = server.certificates;
    const byNumber = `tls://127.0.0.1:${server.server.port}`;
    await using connection = await open([byNumber], { tls: { caFile, serverName: 'localhost' } });
    await connection.flush();
    expect(await refusal(open([byNumber], { tls: { caFile } }))).toEqual(code('TRELLIS_NATS_TLS_INVALID'));
    expect((await refusal(open([byNumber], { tls: { caFile, serverName: 'hub.example' } }))).message).toContain('another name');
  });

  it('NAT-21 refuses a foreign authority, another name, dates past and to come and a self-signed one, each in its own words', async () => {
    await using host = await startServer();
    const ca = createCertificateAuthority();
    const file = (name: string, text: string): string => {
      writeFileSync(join(host.dir, name), text, { mode: 0o600 });
      return join(host.dir, name);
    };
    const caFile = file('ca.pem', ca.certPem);
    const withCertificate = async (
      { certPem, keyPem }: { certPem: string; keyPem: string },
      trusted = caFile,
    ): Promise<string> => {
      await using server = await startServer({
        configText: `tls { cert_file: "${file('c.pem', certPem)}", key_file: "${file('k.pem', keyPem)}" }\n`,
      });
      const error = await refusal(open([`tls://localhost:${server.port}`], { tls: { caFile: trusted } }));
      expect(error).toEqual(code('TRELLIS_NATS_TLS_FAILED'));
      return error.message;
    };
    const good = ca.issue('localhost', { dnsNames: ['localhost'] });
    const foreign = file('foreign.pem', createCertificateAuthority('Somebody else').certPem);
    const messages = [
      await withCertificate(good, foreign),
      await withCertificate(ca.issue('hub.example', { dnsNames: ['hub.example'] })),
      await withCertificate(ca.issue('localhost', { dnsNames: ['localhost'], notAfter: new Date(Date.now() - 60_000) })),
      await withCertificate(ca.issue('localhost', { dnsNames: ['localhost'], notBefore: new Date(Date.now() + 60_000) })),
      await withCertificate(selfSignedCertificate('localhost', ['localhost'])),
    ].map((message) => message.replace(/^.*?: /, ''));
    expect(messages).toEqual([
      'the server certificate is signed by an authority that is not trusted here',
      'the server certificate is for another name',
      'the server certificate has expired',
      'the server certificate is not valid yet',
      'the server certificate is self-signed and not trusted here',
    ]);
    expect(new Set(messages).size).toBe(messages.length);
  });

  it('NAT-21 refuses a server that speaks only TLS 1.1', async () => {
    const { certPem, keyPem, caFile } = certificate();
    const secureContext = createSecureContext({
      cert: certPem,
      key: keyPem,
      minVersion: 'TLSv1',
      maxVersion: 'TLSv1.1',
      ciphers: 'ALL:@SECLEVEL=0',
    });
    const fake = await impostor({ tls_required: true }, (socket) => {
      new TLSSocket(socket, { isServer: true, secureContext }).on('error', () => {});
    });
    const error = await refusal(open([`tls://localhost:${fake.port}`], { tls: { caFile } }));
    expect(error).toEqual(code('TRELLIS_NATS_TLS_FAILED'));
    expect(error.message).toContain('no TLS newer than 1.1');
    await fake.close();
  });
});
