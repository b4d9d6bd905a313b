import { copyFileSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sampleFile } from '../../src/development.ts';
import { componentImage, startRegistry, type TestRegistry } from '../support/registry.ts';
import { SilentServer } from '../support/silent-server.ts';
import { until } from '../support/trust-lattice.ts';
import { startWorkloadLattice, type WorkloadHost, type WorkloadLattice } from '../support/workload-lattice.ts';

/** A registry that accepts and then says nothing holds up nothing but what comes from there: WRK. */

const OVERTAKEN = 'something else was asked of its component meanwhile';
/** All pulls at once, and those from one registry: what `artifacts.maxPulls` is by default, and a quarter. */
const [MAX_PULLS, SHARE] = [16, 4] as const;
const tiny = readFileSync(sampleFile('echo/tiny.wasm'));

let lattice: WorkloadLattice;
let registry: TestRegistry;
let silent: SilentServer;
let host: WorkloadHost;
const refs = { first: '', second: '', pulled: '', pinned: '', silent: '' };

beforeAll(async () => {
  [lattice, registry, silent] = await Promise.all([
    startWorkloadLattice(),
    startRegistry({ protocol: 'http' }),
    new SilentServer().start(),
  ]);
  for (const name of ['first', 'second'] as const) {
    const file = join(lattice.server.dir, `${name}.wasm`);
    copyFileSync(sampleFile('echo/tiny.wasm'), file);
    refs[name] = pathToFileURL(file).href;
  }
  const digest = await registry.push('acme/tiny', '1', componentImage(tiny));
  refs.pulled = `${registry.authority}/acme/tiny:1`;
  refs.pinned = `${registry.authority}/acme/tiny@${digest}`;
  refs.silent = `${silent.authority}/acme/tiny:1`;
  host = await lattice.host({
    artifacts: { allowFiles: true, insecureRegistries: [registry.authority, silent.authority], pullTimeoutMs: 600_000 },
    cacheDir: join(lattice.server.dir, 'cache'),
    limits: { maxComponents: 200 },
  });
});
afterAll(async () => {
  await silent[Symbol.asyncDispose]();
  await lattice[Symbol.asyncDispose]();
  await registry[Symbol.asyncDispose]();
});

/** What was said of a component, in short. */
const said = (id: string): unknown[][] =>
  lattice.of(id).map(({ name, data }) => [name, data['image_ref'], data['max_instances'], data['error']]);
const overtaken = (ref: string, count: number): unknown[] => [
  'component_scale_failed',
  ref,
  count,
  expect.stringContaining(OVERTAKEN),
];
const scaled = (ref: string, count: number): unknown[] => ['component_scaled', ref, count, undefined];
const isPulling = (connections: number): Promise<unknown> => until(() => silent.open.size === connections);

describe('a registry that accepts and says nothing', { timeout: 120_000 }, () => {
  it('WRK-10 holds up neither files nor other registries nor what is cached, however much is asked of it', async () => {
    const ids = Array.from({ length: MAX_PULLS + SHARE }, (_, at) => `wrk-silent-${at}`);
    for (const [at, id] of ids.entries()) await host.scale(id, { component_ref: `${refs.silent}${at}`, count: 1 });
    await isPulling(SHARE);
    const beside = { 'wrk-file': refs.first, 'wrk-pulled': refs.pulled };
    for (const [id, ref] of Object.entries(beside))
      expect(await host.scaled(id, { component_ref: ref, count: 1 })).toMatchObject({ name: 'component_scaled' });
    expect(silent.open.size).toBe(SHARE);

    // The registry that worked hangs now, too: what a digest names was pulled before.
    const { port } = registry;
    await registry.stop();
    await using gone = await new SilentServer().start(port);
    const others = Array.from({ length: SHARE }, (_, at) => `wrk-gone-${at}`);
    for (const id of others) await host.scale(id, { component_ref: `${registry.authority}/acme/${id}:1`, count: 1 });
    await until(() => gone.open.size === SHARE);
    expect((await host.scaled('wrk-cached', { component_ref: refs.pinned, count: 1 })).name).toBe('component_scaled');
    expect([silent.open.size, gone.open.size]).toEqual([SHARE, SHARE]);

    const all = [...ids, ...others, ...Object.keys(beside), 'wrk-cached'];
    for (const id of all) await host.scale(id, { count: 0 });
    await until(() => all.every((id) => said(id).at(-1)?.[2] === 0));
    await isPulling(0);
    expect(said(ids.at(-1)!)).toEqual([overtaken(`${refs.silent}${ids.length - 1}`, 1), scaled('', 0)]);
  });

  it('WRK-11 keeps its component neither from being stopped nor from another image, and each request has its event', async () => {
    const id = 'wrk-stopped';
    // One that asks for the same waits for the same.
    for (const count of [1, 2]) await host.scale(id, { component_ref: refs.silent, count });
    await host.scale('wrk-same', { component_ref: refs.silent, count: 1 });
    await isPulling(1);
    await host.scale(id, { count: 0 });
    await until(() => said(id).length === 3);
    expect(said(id)).toEqual([overtaken(refs.silent, 1), overtaken(refs.silent, 2), scaled('', 0)]);
    // Somebody else wants it still.
    expect(silent.open.size).toBe(1);
    await host.scale('wrk-same', { component_ref: refs.first, count: 1 });
    await until(() => said('wrk-same').length === 3);
    expect(said('wrk-same')).toEqual([overtaken(refs.silent, 1), scaled(refs.first, 1), scaled(refs.first, 1)]);
    await isPulling(0);

    // Of one that runs, and behind another request that would have to ask the same registry.
    expect((await host.update('wrk-same', refs.silent)).success).toBe(true);
    await isPulling(1);
    expect((await host.update('wrk-same', `${refs.silent}2`)).success).toBe(true);
    expect((await host.update('wrk-same', refs.second)).success).toBe(true);
    await until(() => said('wrk-same').length === 6);
    expect(said('wrk-same').slice(3)).toEqual([
      overtaken(refs.silent, 1),
      overtaken(`${refs.silent}2`, 1),
      scaled(refs.second, 1),
    ]);
    expect(await host.inventory()).toMatchObject([{ id: 'wrk-same', image_ref: refs.second }]);
    await isPulling(0);
  });

  it('WRK-11 gives up nothing that needs no registry: it is carried out in its order', async () => {
    const id = 'wrk-ordered';
    await host.scale(id, { component_ref: refs.silent, count: 1 });
    await isPulling(1);
    for (const count of [2, 0, 3]) await host.scale(id, { component_ref: refs.first, count });
    await host.scale(id, { component_ref: refs.second, count: 3, allow_update: true });
    await host.scale(id, { component_ref: refs.second, count: 0 });
    await until(() => said(id).at(-1)?.[1] === refs.second && said(id).at(-1)?.[2] === 0);
    expect(said(id)).toEqual([
      overtaken(refs.silent, 1),
      ...[2, 2, 0, 3, 3, 3].map((count) => scaled(refs.first, count)),
      scaled(refs.second, 3),
      scaled(refs.second, 0),
    ]);
    await isPulling(0);
  });
});
