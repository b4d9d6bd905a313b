import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from 'nats';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { linkOf, startDataHost } from '../support/lattice-data.ts';
import { startServer, type TestServer } from '../support/nats-server.ts';
import { until } from '../support/trust-lattice.ts';

let server: TestServer;
let lattices = 0;
const newLattice = (): string => `lattice${++lattices}`;
beforeAll(async () => {
  server = await startServer({ jetstream: true });
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

const CLAIMS = { call_alias: '', issuer: 'A1', name: 'echo', revision: '1', subject: 'MECHO', tags: ['x'], version: '1.0' };

describe('links', () => {
  it('reach every host, and are replaced, refused and deleted as in wasmCloud 1.x', async () => {
    const lattice = newLattice();
    await using a = await startDataHost(server.url, lattice);
    await using b = await startDataHost(server.url, lattice);
    expect([a.data.state, b.data.state]).toEqual(['current', 'current']);
    const heard: string[] = [];
    b.data.onLinks((sources) => void heard.push([...sources].join()));
    const link = linkOf('front', 'kv', { interfaces: ['store', 'atomics'] });
    expect(await a.data.putLink(link)).toBe('set');
    expect(a.data.links()).toEqual([link]);
    await until(() => b.data.links().length === 1);
    expect([b.data.linksOf('front'), heard]).toEqual([[link], ['front']]);

    expect(await b.data.putLink(linkOf('front', 'other'))).toBe('conflict');
    expect(await b.data.putLink(linkOf('front', 'other', { name: 'second' }))).toBe('set');
    expect(await b.data.putLink({ ...link, source_config: ['c'] })).toBe('set');
    await until(() => a.data.links().length === 2 && a.data.links()[0]!.source_config.length === 1);

    const key = { source_id: 'front', name: 'default', wit_namespace: 'wasi', wit_package: 'keyvalue' };
    expect(await a.data.deleteLink({ ...key, source_id: 'unknown' })).toEqual({ spec: false });
    expect(await a.data.deleteLink({ ...key, wit_package: 'blobstore' })).toEqual({ spec: true });
    expect(await a.data.deleteLink(key)).toMatchObject({
      spec: true,
      deleted: { target: 'kv', interfaces: ['store', 'atomics'] },
    });
    expect(await a.data.deleteLink(key)).toEqual({ spec: true });
    await until(() => b.data.links().length === 1);
    expect(b.data.links()[0]!.name).toBe('second');
  });

  it('loses none of them when several hosts write to one source at once', async () => {
    const lattice = newLattice();
    await using a = await startDataHost(server.url, lattice);
    await using b = await startDataHost(server.url, lattice);
    const puts = Array.from({ length: 40 }, (_, at) =>
      (at % 2 === 0 ? a : b).data.putLink(linkOf('front', `kv${at}`, { name: `n${at}` })),
    );
    expect(new Set(await Promise.all(puts))).toEqual(new Set(['set']));
    for (const { data } of [a, b]) await until(() => data.links().length === 40);
  });

  it('are written in turn by one host, which then never writes in vain', async () => {
    const lattice = newLattice();
    await using a = await startDataHost(server.url, lattice);
    let tries = 0;
    const listener = await connect({ servers: server.url });
    listener.subscribe(`$KV.LATTICEDATA_${lattice}.>`, { callback: () => void tries++ });
    await listener.flush();
    await Promise.all(Array.from({ length: 40 }, (_, at) => a.data.putLink(linkOf('front', `kv${at}`, { name: `n${at}` }))));
    await listener.drain();
    expect([a.data.linksOf('front').length, tries]).toEqual([40, 40]);
  });

  it('counts claims and specs of both kinds, and puts specs back as they are', async () => {
    const lattice = newLattice();
    await using a = await startDataHost(server.url, lattice);
    await a.data.ensureSpec('echo', 'file:///echo.wasm');
    await a.data.putLink(linkOf('echo', 'kv'));
    await a.data.ensureSpec('echo', 'another');
    await a.data.putClaims(CLAIMS);
    await using b = await startDataHost(server.url, lattice);
    expect(b.data.links()).toHaveLength(1);
    expect(b.data.claims()).toEqual([expect.objectContaining({ sub: 'MECHO', tags: 'x' })]);
    const message = await (
      await b.streams()
    ).getMessage(`KV_LATTICEDATA_${lattice}`, {
      last_by_subj: `$KV.LATTICEDATA_${lattice}.COMPONENT_echo`,
    });
    expect(message!.json()).toEqual({ url: 'file:///echo.wasm', links: [linkOf('echo', 'kv')] });
  });
});

describe('configurations', () => {
  it('are put, read, deleted and missed', async () => {
    const lattice = newLattice();
    await using a = await startDataHost(server.url, lattice);
    await using b = await startDataHost(server.url, lattice);
    await a.data.putConfig('one', { a: '1' });
    expect(await b.data.getConfig('one')).toEqual({ a: '1' });
    expect(await b.data.getConfig('two')).toBeUndefined();
    expect(await b.data.missingConfig(['two', 'one', 'SECRET_x', 'a.b'])).toEqual(['two', 'SECRET_x', 'a.b']);
    await b.data.deleteConfig('one');
    await b.data.deleteConfig('one');
    expect(await a.data.getConfig('one')).toBeUndefined();
    await expect(a.data.putConfig('a.b', {})).rejects.toMatchObject({ code: 'TRELLIS_ID_INVALID' });
  });

  it('follow the store: later names win, a deleted one is empty', async () => {
    const lattice = newLattice();
    await using a = await startDataHost(server.url, lattice);
    await using b = await startDataHost(server.url, lattice);
    await expect(b.data.openConfig(['one', 'two'])).rejects.toMatchObject({ code: 'TRELLIS_CONFIG_MISSING' });
    await a.data.putConfig('one', { a: '1', b: '1' });
    await a.data.putConfig('two', { b: '2' });
    const bundle = await b.data.openConfig(['one', 'two']);
    expect(bundle.values()).toEqual({ a: '1', b: '2' });
    let changes = 0;
    bundle.onChange(() => changes++);
    await a.data.putConfig('one', { a: '3' });
    await until(() => changes === 1);
    expect(bundle.values()).toEqual({ a: '3', b: '2' });
    await a.data.deleteConfig('two');
    await until(() => changes === 2);
    expect(bundle.values()).toEqual({ a: '3' });
    bundle.close();
    await a.data.putConfig('one', { a: '4' });
    await sleep(200);
    expect([bundle.values(), changes]).toEqual([{ a: '3' }, 2]);
  });
});
