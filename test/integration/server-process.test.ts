import { spawn } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { findNatsServer, startNatsServer } from '../../src/nats/server.ts';
import { builtFile } from '../support/built-program.ts';
import { startJwtServer, startServer, startTlsServer } from '../support/nats-server.ts';

const SERVER_MODULE = builtFile('nats/server.ts');

const accepts = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = createConnection(port, '127.0.0.1');
    socket.once('connect', () => (socket.destroy(), resolve(true)));
    socket.once('error', () => resolve(false));
  });

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

describe('finding', () => {
  it('takes NATS_SERVER at its word', async () => {
    await using server = await startServer();
    const wrong = join(server.dir, 'old');
    writeFileSync(wrong, '#!/bin/sh\necho nats-server: v2.8.0\n');
    chmodSync(wrong, 0o755);
    expect(() => findNatsServer({ NATS_SERVER: wrong })).toThrow(/2\.8\.0, older than/);
    expect(() => findNatsServer({ NATS_SERVER: join(server.dir, 'none') })).toThrow(/does not run/);
    expect(findNatsServer({ NATS_SERVER: findNatsServer().path }).source).toBe('NATS_SERVER');
  });
});

describe('a server of our own', () => {
  it('is ready when it is started, listens on loopback only, and is gone with its files when stopped', async () => {
    const server = await startNatsServer();
    expect(await accepts(server.port)).toBe(true);
    expect(server.readLog()).toContain(`Listening for client connections on 127.0.0.1:${server.port}`);
    const folder = /configuration file: (\S+)\/server\.conf/.exec(server.readLog())![1]!;
    await server.stop();
    await server.stop();
    expect(server.ready).toBe(false);
    expect([await accepts(server.port), isRunning(server.pid), existsSync(folder)]).toEqual([false, false, false]);
  });

  it.runIf(process.platform === 'linux')('sees nothing of our environment that could be a secret', async () => {
    process.env['WASMCLOUD_CLUSTER_SEED'] = 'canary';
    try {
      await using server = await startServer();
      expect(readFileSync(`/proc/${server.pid}/environ`, 'utf8')).not.toMatch(/canary|WASMCLOUD/);
    } finally {
      delete process.env['WASMCLOUD_CLUSTER_SEED'];
    }
  });

  it('says why it did not start', async () => {
    await using first = await startServer();
    await expect(startNatsServer({ port: first.port })).rejects.toMatchObject({
      code: 'TRELLIS_NATS_SERVER_FAILED',
      message: expect.stringContaining('address already in use'),
    });
    await expect(startNatsServer({ configText: 'accounts {' })).rejects.toThrow(/Parse error/);
  });

  it('takes new configuration, and keeps the old one when the new is wrong', async () => {
    await using server = await startServer();
    await server.reload('max_payload: 2MB');
    await expect(server.reload('max_payload: {')).rejects.toMatchObject({ code: 'TRELLIS_NATS_SERVER_FAILED' });
    expect(server.running).toBe(true);
  });

  it('stops although it is frozen', async () => {
    const server = await startNatsServer();
    server.signal('SIGSTOP');
    await server.stop();
    expect(isRunning(server.pid)).toBe(false);
  });

  it('does not outlive the process that started it, however that ends', async () => {
    const program = `import { startNatsServer } from ${JSON.stringify(SERVER_MODULE)};
      const server = await startNatsServer();
      console.log(server.pid);
      setInterval(() => {}, 1000);`;
    const parent = spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: ['ignore', 'pipe', 'inherit'] });
    const [line] = (await once(parent.stdout, 'data')) as [Buffer];
    const pid = Number(line.toString());
    expect(isRunning(pid)).toBe(true);
    parent.kill('SIGKILL');
    await expect.poll(() => isRunning(pid)).toBe(false);
  });
});

describe('servers for tests', () => {
  it('come back on the same port', async () => {
    await using server = await startServer({ jetstream: true });
    const { port } = server;
    await server.kill();
    expect(await accepts(port)).toBe(false);
    await server.restart();
    expect([server.port, await accepts(port)]).toEqual([port, true]);
  });

  it('speak TLS with certificates of their own', async () => {
    await using tls = await startTlsServer({ mutual: true });
    const read = (file: string): X509Certificate => new X509Certificate(readFileSync(file));
    const { caFile, serverCertFile, clientCertFile, foreignCaFile } = tls.certificates;
    const [ca, server, client, foreign] = [read(caFile), read(serverCertFile), read(clientCertFile), read(foreignCaFile)];
    expect([ca.ca, server.ca, server.checkHost('localhost'), server.checkIP('127.0.0.1')]).toEqual([
      true,
      false,
      'localhost',
      '127.0.0.1',
    ]);
    expect([server, client].map((leaf) => leaf.checkIssued(ca) && leaf.verify(ca.publicKey))).toEqual([true, true]);
    expect(server.verify(foreign.publicKey)).toBe(false);
    expect(tls.server.log()).toMatch(/TLS required for client connections/);
  });

  it('know accounts and users by JWT', async () => {
    await using jwt = await startJwtServer();
    const user = jwt.rpc.addUser('host', { publish: ['default.>'], expiresInMs: 60_000 });
    expect(readFileSync(user.credsFile, 'utf8')).toContain(user.jwt);
    jwt.rpc.revoke(user);
    await jwt.reload();
    expect(jwt.server.log()).toContain('Reloaded: accounts');
  });
});
