import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SigningKey } from '../../src/trust/nkey.ts';
import { echoComponent } from '../support/components.ts';
import { startJwtServer, startServer, type JwtTestServer } from '../support/nats-server.ts';
import { Program, runProgram } from '../support/program.ts';
import { RawPeer } from '../support/raw-peer.ts';

const dir = mkdtempSync(join(tmpdir(), 'trellis-leak-'));
let lattice: JwtTestServer;
beforeAll(async () => {
  lattice = await startJwtServer();
});
afterAll(async () => {
  await lattice[Symbol.asyncDispose]();
  rmSync(dir, { recursive: true, force: true });
});

const newSeed = (kind: 'cluster' | 'server' | 'user'): string => SigningKey.generate(kind).exportSeed().reveal();
function secretFile(name: string, text: string): string {
  const file = join(dir, name);
  writeFileSync(file, text, { mode: 0o600 });
  return file;
}
/** The text of the one file of `folder` with that extension, once its end is there, which nothing before it looks like. */
async function written(folder: string, extension: string, end: RegExp): Promise<string> {
  const path = (): string | undefined => readdirSync(folder).find((name) => name.endsWith(extension));
  await expect.poll(path).toBeDefined();
  const file = join(folder, path()!);
  await expect.poll(() => readFileSync(file).subarray(-8).toString('latin1')).toMatch(end);
  return readFileSync(file, 'utf8');
}
/** Pids of the direct children of `pid`. */
const childrenOf = (pid: number): number[] =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number);

describe('a running daemon that has its seeds from files', () => {
  it('LEK-03, LEK-04, LEK-06 has no seed in its heap or in a diagnostic report, and no memory in core dumps', async () => {
    const diagnostics = mkdtempSync(join(dir, 'diagnostics-'));
    const [cluster, host] = [newSeed('cluster'), newSeed('server')];
    const [ctl, rpc] = [lattice.ctl.addUser('ctl'), lattice.rpc.addUser('rpc')];
    await using daemon = new Program('daemon', ['--component', `echo=${echoComponent().file}`], {
      env: {
        TRELLIS_CTL_SERVERS: lattice.url,
        TRELLIS_RPC_SERVERS: lattice.url,
        TRELLIS_CTL_CREDS_FILE: secretFile('ctl.creds', readFileSync(ctl.credsFile, 'utf8')),
        TRELLIS_RPC_CREDS_FILE: secretFile('rpc.creds', readFileSync(rpc.credsFile, 'utf8')),
        TRELLIS_HOST_SEED_FILE: secretFile('host.seed', `${host}\n`),
        TRELLIS_DEV: 'true',
        TRELLIS_TRUST_CLUSTER_SEED_FILE: secretFile('cluster.seed', `${cluster}\n`),
        TRELLIS_CACHE_DIR: join(dir, 'cache'),
        TRELLIS_STATE_DIR: join(dir, 'state'),
        NODE_OPTIONS: '--heapsnapshot-signal=SIGIO --report-on-signal --report-signal=SIGPWR',
      },
      cwd: diagnostics,
    });
    await daemon.logLine(({ msg }) => msg === 'ready', 60_000);
    for (const pid of [daemon.pid, ...childrenOf(daemon.pid)])
      expect(Number.parseInt(readFileSync(`/proc/${pid}/coredump_filter`, 'utf8'), 16)).toBe(0);
    daemon.signal('SIGPWR');
    const report = await written(diagnostics, '.json', /\n\}\s*$/);
    daemon.signal('SIGIO');
    const heap = await written(diagnostics, '.heapsnapshot', /"\]\}\s*$/);
    // A snapshot without its strings would prove nothing.
    expect(heap).toContain(SigningKey.fromSeed(cluster, 'cluster').publicKey);
    for (const seed of [cluster, host, ctl.seed, rpc.seed]) {
      for (const text of [seed, seed.slice(4, 50), Buffer.from(seed).toString('base64').slice(0, 60)]) {
        expect(heap.includes(text), 'a seed in the heap').toBe(false);
        expect(report.includes(text), 'a seed in the report').toBe(false);
      }
    }
  });
});

describe('a malformed seed', () => {
  const mistyped = `SCA${'BCDEFGHJKM'.repeat(6).slice(0, 55)}`;
  const env = { TRELLIS_DEV: 'true', TRELLIS_CACHE_DIR: join(dir, 'cache'), TRELLIS_STATE_DIR: join(dir, 'state') };
  const file = (): string => secretFile('mistyped.seed', mistyped);
  it.each([
    ['trust.clusterSeed', () => ({ WASMCLOUD_CLUSTER_SEED: mistyped })],
    ['trust.clusterSeedFile', () => ({ WASMCLOUD_CLUSTER_SEED_FILE: file() })],
    ['trust.clusterIssuers', () => ({ WASMCLOUD_CLUSTER_ISSUERS: mistyped })],
    ['hostSeedFile', () => ({ TRELLIS_HOST_SEED_FILE: file() })],
    ['ctl.seedFile', () => ({ TRELLIS_CTL_SEED_FILE: file() })],
    ['rpc.seedFile', () => ({ TRELLIS_RPC_SEED_FILE: file() })],
    [
      'rpc.credsFile',
      () => ({ TRELLIS_RPC_CREDS_FILE: secretFile('mistyped.creds', `-----BEGIN USER NKEY SEED-----\n${mistyped}\n`) }),
    ],
    // A seed where a name or a path belongs is one too.
    ['lattice', () => ({ TRELLIS_LATTICE: `${mistyped}${mistyped}` })],
    ['trust.clusterSeedFile', () => ({ WASMCLOUD_CLUSTER_SEED_FILE: mistyped })],
  ])('LEK-02 in %s: the error names the setting and not the value', async (setting, given) => {
    for (const args of [['--check-config'], []]) {
      const end = await runProgram('daemon', args, { env: { ...env, ...given() } });
      expect(end.code).toBe(78);
      const said = end.stdout + end.stderr;
      expect(said).toContain(setting);
      expect(said).not.toContain(mistyped.slice(3, 23));
    }
  });
});

describe('what strangers write', () => {
  it('LEK-07 comes out of a log for people on one line, without control characters', async () => {
    await using server = await startServer();
    const env = {
      TRELLIS_CTL_SERVERS: server.url,
      TRELLIS_RPC_SERVERS: server.url,
      TRELLIS_CACHE_DIR: join(dir, 'cache'),
      // Of its own: what another host kept of its issuers would be believed here.
      TRELLIS_STATE_DIR: join(dir, 'state-of-strangers'),
      TRELLIS_DEV: 'true',
      TRELLIS_AUDIT_FILE: join(dir, 'audit.jsonl'),
    };
    const args = ['--component', `echo=${echoComponent().file}`, '--log-format', 'pretty', '--log-level', 'debug'];
    await using daemon = new Program('daemon', args, { env });
    await expect.poll(() => daemon.stderr.includes(' ready ')).toBe(true);
    await using peer = await RawPeer.connect(server.url);
    const subject = 'default.echo.wrpc.0.0.1.trellis-samples:echo/values@0.1.0.echo-string';
    const evil = 'x\u001b[2J\u001b]0;owned\u0007\u009b31m\u202eend';
    for (const headers of [
      [['source-id', evil]],
      [
        ['source-id', 'a'],
        ['link-name', evil],
      ],
      [
        ['source-id', 'a'],
        ['Lattice-Invocation', evil],
      ],
      [
        ['source-id', 'a'],
        ['traceparent', evil],
      ],
      [
        ['source-id', 'a'],
        ['Lattice-Length', evil],
      ],
    ] as const)
      await peer.call(subject, Buffer.from(evil), headers).refused();
    await expect.poll(() => statSync(env.TRELLIS_AUDIT_FILE).size).toBeGreaterThan(500);
    for (const text of [daemon.stderr, readFileSync(env.TRELLIS_AUDIT_FILE, 'utf8')]) {
      // eslint-disable-next-line no-control-regex
      expect(text).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/);
    }
  });
});
