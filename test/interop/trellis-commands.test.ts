import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect, type NatsConnection } from 'nats';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { sampleFile } from '../../src/development.ts';
import { startServer, type TestServer } from '../support/nats-server.ts';
import { runProgram } from '../support/program.ts';
import { WASMCLOUD } from './peer-programs.ts';
import { WasmcloudHost } from './wasmcloud-host.ts';
import { describeWithPeers } from './with-peers.ts';

describeWithPeers('commands of trellis to a wasmCloud 1.9 host', [WASMCLOUD], () => {
  let server: TestServer;
  let nc: NatsConnection;
  let host: WasmcloudHost;
  let file: string;
  beforeAll(async () => {
    server = await startServer({ jetstream: true });
    nc = await connect({ servers: server.url });
    host = await WasmcloudHost.start(nc, { port: server.port, labels: { zone: 'a' } });
    file = join(server.dir, 'tiny.wasm');
    copyFileSync(sampleFile('hello/build/hello.wasm'), file);
  });
  afterAll(async () => {
    await host[Symbol.asyncDispose]();
    await nc.close();
    await server[Symbol.asyncDispose]();
  });

  const cli = (...args: string[]) =>
    runProgram('cli', [...args, '--output', 'json'], {
      env: { TRELLIS_CTL_SERVERS: server.url, XDG_CONFIG_HOME: server.dir },
    });
  const ok = async (...args: string[]): Promise<Record<string, unknown>> => {
    const { code, stdout, stderr } = await cli(...args);
    expect(code, stdout + stderr).toBe(0);
    return JSON.parse(stdout) as Record<string, unknown>;
  };
  const running = async (): Promise<unknown> => {
    const { inventories } = (await ok('get', 'inventory')) as {
      inventories: { components: { id: string; max_instances: number }[] }[];
    };
    return inventories.flatMap(({ components }) => components.map(({ id, max_instances }) => [id, max_instances]));
  };

  it('start, scale, replace and stop a component, and know when the host is done', { timeout: 240_000 }, async () => {
    expect((await ok('get', 'hosts'))['hosts']).toEqual([expect.objectContaining({ id: host.id, version: '1.9.2' })]);
    await ok('config', 'put', 'settings', 'a=b');
    const where = ['--constraint', 'zone=a', '--config', 'settings'];
    expect(await ok('start', 'component', file, 'tiny', '--max-instances', '3', ...where)).toMatchObject({
      host_id: host.id,
      done: true,
    });
    expect(await ok('scale', 'component', host.friendlyName, file, 'tiny', '--max-instances', '7')).toMatchObject({ done: true });
    expect(await running()).toEqual([['tiny', 7]]);
    const other = join(server.dir, 'other.wasm');
    copyFileSync(file, other);
    // The host runs what it ran, in other numbers, and says so.
    expect(await ok('scale', 'component', host.id, other, 'tiny', '--max-instances', '8')).toMatchObject({
      done: true,
      message: expect.stringContaining('different image reference'),
    });
    expect(await ok('update', 'component', 'tiny', file)).toMatchObject({ done: true });
    expect(await ok('stop', 'component', 'tiny')).toMatchObject({ done: true });
    expect(await running()).toEqual([]);
    const failed = await cli('start', 'component', '/nowhere.wasm', 'nope');
    expect([failed.code, failed.stdout]).toEqual([7, expect.stringContaining('failed to fetch component')]);
  });

  it('make and delete links, configurations and labels, and stop the host', { timeout: 240_000 }, async () => {
    await ok('link', 'put', 'a', 'b', 'wasi', 'keyvalue', '--interface', 'store');
    expect((await ok('link', 'query'))['links']).toEqual([expect.objectContaining({ source_id: 'a', target: 'b' })]);
    expect((await cli('link', 'put', 'a', 'c', 'wasi', 'keyvalue', '--interface', 'store')).code).toBe(4);
    expect((await ok('link', 'del', 'a', 'wasi', 'keyvalue'))['deleted']).toHaveLength(1);
    expect((await ok('link', 'del', 'a', 'wasi', 'keyvalue'))['deleted']).toHaveLength(0);
    expect(await ok('config', 'get', 'settings')).toEqual({ a: 'b' });
    expect((await cli('config', 'get', 'nope')).code).toBe(3);
    await ok('label', host.id, 'disk=ssd');
    expect((await ok('get', 'hosts'))['hosts']).toEqual([
      expect.objectContaining({ labels: expect.objectContaining({ disk: 'ssd', zone: 'a' }) }),
    ]);
    await ok('label', host.id, 'disk', '--delete');
    expect(await ok('get', 'claims')).toEqual({ claims: [] });
    expect(await ok('down')).toEqual({ stopped: [{ host_id: host.id, done: true }] });
    await host.process.ended;
  });
});
