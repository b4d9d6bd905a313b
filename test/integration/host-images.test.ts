import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { SigningKey } from '../../src/trust/nkey.ts';
import { startTestLattice } from '../support/lattice.ts';
import { runProgram } from '../support/program.ts';
import { componentImage, REGISTRY_PASSWORD, REGISTRY_USER, startRegistry, type TestRegistry } from '../support/registry.ts';
import { seedFile, until } from '../support/trust-lattice.ts';
import { startWorkloadLattice } from '../support/workload-lattice.ts';

const fixture = (name: string): Buffer => readFileSync(new URL(`../${name}`, import.meta.url));
const ISSUER = 'ACHPVILB66ACDVMIV6TZJHZGZEQAJHNCXBVWC7WDZJ7HLCBXNL4WERX7';

let registry: TestRegistry;
let dir: string;
let passwordFile: string;
beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'trellis-images-'));
  passwordFile = join(dir, 'password');
  writeFileSync(passwordFile, REGISTRY_PASSWORD, { mode: 0o600 });
  registry = await startRegistry({ login: 'basic' });
  await registry.push('acme/tiny', '1.2.3', componentImage(fixture('fixtures/claims/signed.wasm')));
  await registry.push('acme/echo', '1.0', componentImage(fixture('../components/echo/echo.wasm')));
});
afterAll(async () => {
  await registry[Symbol.asyncDispose]();
  rmSync(dir, { recursive: true, force: true });
});

const artifacts = () => ({
  registry: registry.authority,
  username: REGISTRY_USER,
  passwordFile,
  tlsCaFiles: [registry.certificates.caFile],
});

it('runs the images that its configuration names, and says by which reference', async () => {
  await using lattice = await startTestLattice({
    artifacts: { ...artifacts(), issuers: [ISSUER] },
    cacheDir: join(dir, 'cache'),
    components: [{ id: 'tiny', image: `oci://${registry.authority}/acme/tiny:1.2.3` }],
    links: [],
  });
  expect(await lattice.call('tiny', 'echo-bytes', [[1, 2, 3]])).toMatchObject({ json: { hex: '010203' } });
});

it('ART-09 runs no image that nobody signed where somebody has to', async () => {
  const starting = startTestLattice({
    artifacts: { ...artifacts(), issuers: [ISSUER] },
    cacheDir: join(dir, 'cache'),
    components: [{ id: 'echo', image: `${registry.authority}/acme/echo:1.0` }],
    links: [],
  });
  await expect(starting).rejects.toMatchObject({
    code: 'TRELLIS_CLAIMS_ISSUER',
    message: expect.stringContaining('component echo') as string,
  });
});

it('inspects an image with its claims, and prints the reference that means just this one', async () => {
  const config = join(dir, 'host.yaml');
  writeFileSync(config, JSON.stringify({ artifacts: artifacts(), cacheDir: join(dir, 'cache') }));
  const inspect = (ref: string, ...more: string[]) => runProgram('cli', ['inspect', ref, '--config', config, ...more]);
  const end = await inspect(`${registry.authority}/acme/tiny:1.2.3`, '--output', 'json');
  expect(end.stderr + end.stdout).not.toContain(REGISTRY_PASSWORD);
  const { image, claims } = JSON.parse(end.stdout) as { image: string; claims: Record<string, unknown> };
  expect(image).toMatch(/\/acme\/tiny:1\.2\.3@sha256:[0-9a-f]{64}$/);
  expect(claims).toMatchObject({ issuer: ISSUER, name: 'Tiny echo', version: '1.2.3' });
  expect((await inspect(image)).stdout).toContain(`signed by ${ISSUER}`);
  expect(await inspect(`${registry.authority}/acme/none:1`)).toMatchObject({ code: 3 });
});

it('runs what was pulled and translated beforehand, where there is no registry', async () => {
  await using own = await startRegistry();
  const digest = await own.push('acme/tiny', '1', componentImage(fixture('../components/echo/tiny.wasm')));
  const config = join(dir, 'beforehand.yaml');
  const cacheDir = join(dir, 'beforehand');
  const components = [{ id: 'tiny', image: `${own.authority}/acme/tiny:1@${digest}` }];
  writeFileSync(config, JSON.stringify({ artifacts: { tlsCaFiles: [own.certificates.caFile] }, components }));
  expect(await runProgram('cli', ['translate', '--config', config, '--cache-dir', cacheDir])).toMatchObject({ code: 0 });
  await own.stop();
  await using lattice = await startTestLattice({ cacheDir, components, links: [] });
  expect(await lattice.call('tiny', 'echo-bytes', [[7]])).toMatchObject({ json: { hex: '07' } });
});

it('runs what the lattice names with credentials that the lattice puts, and brings it back while the registry is away', async () => {
  await using own = await startRegistry({ login: 'basic' });
  await own.push('acme/tiny', '1.2.3', componentImage(fixture('fixtures/claims/signed.wasm')));
  await using lattice = await startWorkloadLattice();
  const settings = {
    artifacts: { tlsCaFiles: [own.certificates.caFile] },
    cacheDir: join(lattice.server.dir, 'cache'),
    stateDir: join(lattice.server.dir, 'state'),
    hostSeedFile: seedFile(lattice.server.dir, 'host', SigningKey.generate('server')),
    restore: true,
  };
  const host = await lattice.host(settings);
  const ref = `oci://${own.authority}/acme/tiny:1.2.3`;
  const asked = { component_ref: ref, count: 3 };
  expect(await host.scaled('tiny', asked)).toMatchObject({
    name: 'component_scale_failed',
    data: { error: expect.stringContaining('asks for user and password') as string },
  });
  const login = { [own.authority]: { registryType: 'oci', username: REGISTRY_USER, password: REGISTRY_PASSWORD } };
  expect(await lattice.client.ask('registry.put', login)).toMatchObject({ success: true });
  expect(await host.scaled('tiny', asked)).toMatchObject({ name: 'component_scaled', data: { image_ref: ref } });
  expect(await host.inventory()).toMatchObject([
    { id: 'tiny', image_ref: ref, name: 'Tiny echo', revision: 7, max_instances: 3 },
  ]);
  expect(await lattice.call('tiny', 'echo-bytes', [9])).toMatchObject({ json: { hex: '09' } });
  for (const [wrong, error] of [
    [`${own.authority}/acme/none:1`, 'no such image'],
    [`${own.authority}/acme/tiny:latest`, "tagged 'latest' is currently prohibited"],
    ['file:///srv/tiny.wasm', 'file loading is disabled'],
    ['../tiny.wasm', 'names no registry'],
  ] as const) {
    const event = await host.scaled('other', { component_ref: wrong, count: 1 });
    expect([wrong, event.name, event.data['error']]).toEqual([wrong, 'component_scale_failed', expect.stringContaining(error)]);
  }
  const configured = await lattice.host({
    artifacts: { tlsCaFiles: [own.certificates.caFile], registry: own.authority, username: REGISTRY_USER, passwordFile },
    cacheDir: join(lattice.server.dir, 'other-cache'),
    components: [{ id: 'configured', image: ref }],
  });
  expect(await configured.inventory()).toMatchObject([{ id: 'configured', image_ref: ref, name: 'Tiny echo', revision: 7 }]);
  await host.stop();
  await own.stop();
  // The credentials that the lattice put are gone with the host, and the registry is away.
  const again = await lattice.host(settings);
  await until(async () => (await again.inventory()).length === 1);
  expect(await again.inventory()).toMatchObject([{ id: 'tiny', image_ref: ref, max_instances: 3 }]);
  expect(again.logged.some(({ msg }) => String(msg).includes('is taken from the cache'))).toBe(true);
  expect(await lattice.call('tiny', 'echo-bytes', [9])).toMatchObject({ json: { hex: '09' } });
  expect(JSON.stringify([host.logged, again.logged, lattice.events])).not.toContain(REGISTRY_PASSWORD);
});
