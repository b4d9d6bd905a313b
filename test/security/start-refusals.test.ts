import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SigningKey } from '../../src/trust/nkey.ts';
import { startServer, type TestServer } from '../support/nats-server.ts';
import { Program, runProgram } from '../support/program.ts';
import { seedFile } from '../support/trust-lattice.ts';

let server: TestServer;
let dir: string;
beforeAll(async () => {
  server = await startServer({ jetstream: true });
  dir = mkdtempSync(join(tmpdir(), 'trellis-start-'));
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  rmSync(dir, { recursive: true, force: true });
});

const environment = (more: Record<string, string> = {}): Record<string, string> => ({
  TRELLIS_CTL_SERVERS: server.url,
  TRELLIS_RPC_SERVERS: server.url,
  TRELLIS_CACHE_DIR: join(dir, 'cache'),
  TRELLIS_STATE_DIR: join(dir, 'state'),
  TRELLIS_DEV: 'true',
  ...more,
});

describe('a refusal that is allowed', () => {
  it('is said at every start, and shows in /readyz and to the other members of the lattice', async () => {
    const cluster = SigningKey.generate('cluster');
    const seed = seedFile(dir, 'cluster', cluster);
    const env = environment({ TRELLIS_TRUST_CLUSTER_SEED_FILE: seed });
    await using daemon = new Program('daemon', ['--allow', 'debugger', '--allow', 'START-18'], { env });
    const { url } = await daemon.logLine(({ msg }) => msg === 'health and metrics');
    await daemon.logLine(({ msg }) => msg === 'ready');
    const said = daemon.logLines().filter((line) => 'allow' in line);
    expect(said.map(({ level, code, allow }) => [level, code, allow])).toEqual([
      ['warn', 'START-19', 'debugger'],
      ['warn', 'START-18', 'root'],
    ]);
    expect(said[0]!['msg']).toContain('runs code in the host');
    expect(await (await fetch(`${String(url)}/readyz`)).json()).toEqual({ status: 'ok', allowed: ['debugger', 'root'] });

    const config = join(dir, 'ops.yaml');
    writeFileSync(config, JSON.stringify({ dev: true, ctl: { servers: [server.url] }, trust: { clusterSeedFile: seed } }));
    const seen = await runProgram('cli', ['keys', 'issuers', '--config', config, '--output', 'json']);
    expect(JSON.parse(seen.stdout)).toMatchObject({ hosts: [{ allowed: ['debugger', 'root'] }] });
    expect((await runProgram('cli', ['keys', 'issuers', '--config', config])).stdout).toMatch(
      /ALLOWED AT START[^]*debugger, root/,
    );
  });

  it('stands when the name is wrong or may not be allowed', async () => {
    const end = await runProgram('daemon', ['--allow', 'rot', '--allow', 'START-14', '--check-config'], { env: environment() });
    expect(end.code).toBe(78);
    expect(end.stdout).toContain('Did you mean root?');
    expect(end.stdout).toContain('START-14 cannot be allowed.');
  });

  it('START-18 START-11 lets the start go on that was refused without it', async () => {
    const env = environment({
      TRELLIS_DEV: 'false',
      WASMCLOUD_CLUSTER_SEED: SigningKey.generate('cluster').exportSeed().reveal(),
    });
    const refused = await runProgram('daemon', ['--check-config'], { env });
    expect(refused.code).toBe(78);
    expect(refused.stdout).toContain('START-11');
    expect(refused.stdout).toContain('--allow seed-in-environment');
    const allowed = await runProgram('daemon', ['--check-config'], {
      env: { ...env, TRELLIS_ALLOW: 'seed-in-environment,root' },
    });
    expect([allowed.code, allowed.stdout]).toEqual([0, expect.stringContaining('Allowed by name, and dangerous:')]);
  });
});
