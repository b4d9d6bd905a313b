import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, credsAuthenticator } from 'nats';
import { jetstreamManager } from '@nats-io/jetstream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { HostConfigInput } from '../../src/config/schema.ts';
import { SigningKey } from '../../src/trust/nkey.ts';
import type { NatsUser } from '../support/accounts.ts';
import { leastRights } from '../support/least-rights.ts';
import { type JwtTestServer, startJwtServer, startServer, startTlsServer } from '../support/nats-server.ts';
import { serverAllowances, tellsTime } from '../support/server-facts.ts';
import { runProgram, type ProgramEnd } from '../support/program.ts';
import { memberConfig, seedFile, startTrustHost } from '../support/trust-lattice.ts';

const rights = leastRights('default');
let jwt: JwtTestServer;
let dir: string;
let cluster: string;
beforeAll(async () => {
  jwt = await startJwtServer();
  dir = mkdtempSync(join(tmpdir(), 'trellis-doctor-'));
  cluster = seedFile(dir, 'cluster', SigningKey.generate('cluster'));
});
afterAll(async () => {
  await jwt[Symbol.asyncDispose]();
  rmSync(dir, { recursive: true, force: true });
});

interface Report {
  readonly ok: boolean;
  readonly allowed: string[];
  readonly checks: {
    name: string;
    verdict: string;
    found: string;
    problems: { code: string }[];
    values: { name: string; value: number }[];
  }[];
}
let files = 0;
function doctor(config: HostConfigInput, ...flags: string[]): Promise<ProgramEnd> {
  const file = join(dir, `host-${++files}.yaml`);
  writeFileSync(file, JSON.stringify(config));
  return runProgram('cli', ['doctor', '--config', file, ...flags]);
}
async function report(
  config: HostConfigInput,
): Promise<{ code: number | undefined; report: Report; of(name: string): Report['checks'][number] }> {
  const { code, stdout } = await doctor(config, '--output', 'json');
  const found = JSON.parse(stdout) as Report;
  return { code, report: found, of: (name) => found.checks.find((check) => check.name === name)! };
}
const connections = (ctl: NatsUser, rpc: NatsUser): HostConfigInput => ({
  ctl: { servers: [jwt.url], credsFile: ctl.credsFile },
  rpc: { servers: [jwt.url], credsFile: rpc.credsFile },
  trust: { clusterSeedFile: cluster },
  allow: serverAllowances(jwt.server.version),
});
const verdicts = ({ checks }: Report): Record<string, string> =>
  Object.fromEntries(checks.map(({ name, verdict }) => [name, verdict]));

describe('trellis doctor', () => {
  it('finds a good configuration good, beside the host that runs with it, and leaves no trace', async () => {
    const [ctl, rpc] = [jwt.ctl.addUser('host', rights.ctl), jwt.ctl.addUser('host', rights.rpc)];
    const hostSeedFile = seedFile(dir, 'host', SigningKey.generate('server'));
    const config = { ...connections(ctl, rpc), hostSeedFile };
    await using running = await startTrustHost(memberConfig(jwt.url, { ...config, dev: false, stateDir: join(dir, 'state') }));
    const adminCreds = readFileSync(jwt.ctl.addUser('admin').credsFile);
    const admin = await connect({ servers: jwt.url, authenticator: credsAuthenticator(adminCreds) });
    try {
      const manager = await jetstreamManager(admin);
      const before = (await manager.streams.info('KV_LATTICETRUST_default')).state.last_seq;
      const lines = running.logged.length;
      const seen = await report(config);
      expect(verdicts(seen.report)).toMatchObject({
        settings: 'ok',
        'ctl-connection': 'ok',
        'rpc-credentials': 'ok',
        partition: 'ok',
        clock: tellsTime(jwt.server.version) ? 'ok' : 'unknown',
        'trust-bucket': 'ok',
        'lattice-data': 'ok',
        delegation: 'ok',
      });
      expect([seen.code, seen.report.ok]).toEqual([0, true]);
      expect(seen.of('delegation').values[0]!.value).toBeGreaterThan(1_000);
      expect(seen.of('rpc-connection').found).toContain(rpc.publicKey);
      expect((await manager.streams.info('KV_LATTICETRUST_default')).state.last_seq).toBe(before);
      expect(running.host.status().ready).toBe(true);
      expect(running.logged.slice(lines).filter(({ level }) => level === 'error' || level === 'warn')).toEqual([]);
    } finally {
      await admin.close();
    }
  });

  it('START-07 CRD-07 ends with 78 when credentials are swapped, and with 2 for Nagios', async () => {
    const config = connections(jwt.ctl.addUser('host', rights.rpc), jwt.ctl.addUser('host', rights.ctl));
    const { code, of } = await report(config);
    expect(code).toBe(78);
    expect(of('partition')).toMatchObject({
      verdict: 'failed',
      problems: expect.arrayContaining([expect.objectContaining({ code: 'START-07' })]) as unknown,
    });
    const nagios = await doctor(config, '--format', 'nagios');
    expect([nagios.code, nagios.stdout.split('\n').length]).toEqual([2, 2]);
    expect(nagios.stdout).toMatch(/^TRELLIS CRITICAL - .*partition failed.* \| .*'ctl_latency'=/);
    const table = await doctor({ ...config, allow: ['partition', ...serverAllowances(jwt.server.version)] });
    expect([table.code, table.stdout]).toEqual([0, expect.stringMatching(/partition +(?:allowed|warning) /)]);
  });

  it('says how long credentials and certificates last, and how the connection is encrypted', async () => {
    await using server = await startTlsServer({ mutual: true });
    const { caFile, clientCertFile: certFile, clientKeyFile: keyFile } = server.certificates;
    const soon = jwt.rpc.addUser('host', { ...rights.rpc, expiresInMs: 86_400_000 });
    const { of } = await report({
      ctl: { servers: [server.url], tls: { caFile, certFile, keyFile } },
      rpc: { servers: [jwt.url], credsFile: soon.credsFile },
      trust: { clusterSeedFile: cluster, store: 'off' },
    });
    expect(of('ctl-connection').found).toContain('TLSv1.3');
    expect(of('ctl-certificates').values).toMatchObject([{ name: 'certificates_left' }]);
    expect(of('rpc-credentials')).toMatchObject({ verdict: 'warning', found: expect.stringContaining('in 1.0 days') as string });
    expect(of('trust-bucket').found).toContain('not used');
    // That server has no JetStream.
    expect(of('lattice-data')).toMatchObject({ verdict: 'warning', problems: [{ code: 'TRELLIS_LATTICE_DATA' }] });
  });

  it('gives every check a verdict when no server answers, or the settings cannot be read', async () => {
    const away = { servers: ['nats://127.0.0.1:1'], connectTimeoutMs: 300 };
    const seen = await report({ dev: true, ctl: away, rpc: away });
    expect([seen.code, seen.of('ctl-connection').verdict, seen.of('partition').verdict]).toEqual([78, 'failed', 'unknown']);
    const metrics = await doctor({ dev: true, ctl: away, rpc: away }, '--format', 'prometheus');
    expect(metrics.code).toBe(0);
    expect(metrics.stdout).toContain('trellis_doctor_check{lattice="default",check="rpc-connection"} 2');
    expect(metrics.stdout).toContain('trellis_doctor_check{lattice="default",check="partition"} 3');
    const broken = await doctor({ latice: 'x' } as HostConfigInput, '--format', 'nagios');
    expect([broken.code, broken.stdout]).toEqual([2, expect.stringContaining('settings failed: 1 refused')]);
  });

  it('START-07 warns on a development machine of a server without users', async () => {
    await using plain = await startServer({ jetstream: true });
    const both = { servers: [plain.url] };
    const text = await doctor({ dev: true, ctl: both, rpc: both });
    expect(text.code).toBe(0);
    expect(text.stdout).toMatch(/partition +warning .*knows no users/);
    expect(text.stdout).toContain('a host would start');
    expect(text.stderr).toBe('');
    // Looking made nothing there.
    const nc = await connect({ servers: plain.url });
    expect(await (await jetstreamManager(nc)).streams.names().next()).toEqual([]);
    await nc.close();
  });

  it('shows no secret in any form, not even one in the wrong place', async () => {
    const seed = SigningKey.generate('user').exportSeed().reveal();
    const config = { allow: [seed], rpc: { servers: [`nats://${seed}@127.0.0.1:4222`], seedFile: seed }, dev: true };
    for (const flags of [[], ['--output', 'json'], ['--format', 'nagios'], ['--format', 'prometheus']]) {
      const end = await doctor(config, ...flags);
      expect(end.stdout + end.stderr).not.toContain(seed.slice(2, 40));
    }
  });
});
