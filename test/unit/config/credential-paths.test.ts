import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { loadConfig } from '../../../src/config/load.ts';
import { isExposedMode, readSecretFile } from '../../../src/config/secret-files.ts';

const dir = mkdtempSync(join(tmpdir(), 'trellis-credentials-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

describe('credential:NAME', () => {
  it('names a file of the service manager, from environment and file', () => {
    const file = join(dir, 'host.yaml');
    writeFileSync(
      file,
      'trust: { clusterSeedFile: "credential:cluster.seed" }\nrpc: { tls: { keyFile: "credential:rpc.key" } }\n',
    );
    const env = { CREDENTIALS_DIRECTORY: '/run/credentials/trellis.service', TRELLIS_CTL_CREDS_FILE: 'credential:ctl.creds' };
    const { config, problems } = loadConfig({ file, env });
    expect(problems).toEqual([]);
    expect(config?.trust.clusterSeedFile).toBe('/run/credentials/trellis.service/cluster.seed');
    expect(config?.rpc.tls?.keyFile).toBe('/run/credentials/trellis.service/rpc.key');
    expect(config?.ctl.credsFile).toBe('/run/credentials/trellis.service/ctl.creds');
  });

  it.each(['credential:', 'credential:../../etc/shadow', 'credential:a/b', 'credential:.hidden'])('refuses %s', (path) => {
    const env = { CREDENTIALS_DIRECTORY: '/run/credentials/x', TRELLIS_HOST_SEED_FILE: path };
    const { problems } = loadConfig({ env });
    expect(problems).toMatchObject([{ code: 'START-06', severity: 'refused', setting: 'hostSeedFile' }]);
    expect(JSON.stringify(problems)).not.toContain('shadow');
  });

  it('says so where no service manager gave any', () => {
    expect(loadConfig({ env: { TRELLIS_HOST_SEED_FILE: 'credential:host.seed' } }).problems).toMatchObject([
      { code: 'START-06', setting: 'hostSeedFile', fix: expect.stringContaining('LoadCredential=') },
    ]);
  });
});

describe('the mode of a secret file', () => {
  it.each([
    [0o600, 1000, false],
    [0o400, 1000, false],
    [0o400, 0, false],
    // A pod's secret with an fsGroup, and an access list of systemd's.
    [0o440, 0, false],
    [0o640, 0, false],
    [0o440, 1000, true],
    [0o640, 1000, true],
    [0o660, 0, true],
    [0o444, 0, true],
    [0o604, 0, true],
    [0o650, 0, true],
  ])('%o of user %i', (mode, uid, exposed) => {
    expect(isExposedMode(mode, uid)).toBe(exposed);
  });

  it('is that of the file behind the links of a Kubernetes mount', () => {
    const mount = join(dir, 'mount');
    mkdirSync(join(mount, '..2026'), { recursive: true });
    const target = join(mount, '..2026', 'cluster.seed');
    writeFileSync(target, 'text');
    chmodSync(target, 0o440);
    if (process.getuid?.() === 0) chownSync(target, 0, 12_345);
    symlinkSync('..2026', join(mount, '..data'));
    symlinkSync('..data/cluster.seed', join(mount, 'cluster.seed'));
    expect(readSecretFile(join(mount, 'cluster.seed'))).toMatchObject({ ok: true, text: 'text', mode: 0o440 });
  });
});
