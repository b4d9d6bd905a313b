import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SigningKey } from '../../src/trust/nkey.ts';
import { echoComponent } from '../support/components.ts';
import { startJwtServer } from '../support/nats-server.ts';
import type { JwtTestServer } from '../support/nats-server.ts';
import { Program } from '../support/program.ts';

let lattice: JwtTestServer;
let dir: string;
beforeAll(async () => {
  lattice = await startJwtServer();
  dir = mkdtempSync(join(tmpdir(), 'trellis-leak-'));
});
afterAll(async () => {
  await lattice[Symbol.asyncDispose]();
  rmSync(dir, { recursive: true, force: true });
});

function secretFile(name: string, text: string): string {
  const file = join(dir, name);
  writeFileSync(file, text, { mode: 0o600 });
  return file;
}
/** Pids of the processes below `pid`. */
function children(pid: number): number[] {
  const found = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((name) => {
      try {
        return /^PPid:\t(\d+)$/m.exec(readFileSync(`/proc/${name}/status`, 'utf8'))?.[1] === String(pid);
      } catch {
        return false;
      }
    })
    .map(Number);
  return found.flatMap((child) => [child, ...children(child)]);
}
const procFile = (pid: number, name: string): string => readFileSync(`/proc/${pid}/${name}`, 'utf8');

describe('a running daemon', () => {
  it.each(['file', 'environment'] as const)(
    'LEK-01, LEK-05, LEK-06, LEK-08 with its seed from the %s shows no secret, at trace level, and opens no debugger',
    async (place) => {
      const cluster = SigningKey.generate('cluster').exportSeed().reveal();
      const host = SigningKey.generate('server').exportSeed().reveal();
      const [ctl, rpc] = [lattice.ctl.addUser('ctl'), lattice.rpc.addUser('rpc')];
      for (const user of [ctl, rpc]) chmodSync(user.credsFile, 0o600);
      const password = `registry-password-${place}`;
      const canaries = [
        password,
        Buffer.from(`robot:${password}`).toString('base64'),
        cluster,
        host,
        ctl.seed,
        rpc.seed,
        ctl.jwt,
        rpc.jwt,
      ];
      await using daemon = new Program('daemon', ['--component', `echo=${echoComponent().file}`, '--log-level', 'trace'], {
        env: {
          TRELLIS_CTL_SERVERS: lattice.url,
          TRELLIS_RPC_SERVERS: lattice.url,
          TRELLIS_CTL_CREDS_FILE: ctl.credsFile,
          TRELLIS_RPC_CREDS_FILE: rpc.credsFile,
          TRELLIS_HOST_SEED_FILE: secretFile('host.seed', host),
          TRELLIS_ALLOW: 'root,seed-in-environment,partition,vulnerable-server',
          TRELLIS_CACHE_DIR: join(dir, 'cache'),
          TRELLIS_STATE_DIR: join(dir, 'state'),
          ...(place === 'file'
            ? {
                TRELLIS_TRUST_CLUSTER_SEED_FILE: secretFile('cluster.seed', cluster),
                TRELLIS_ARTIFACTS_PASSWORD_FILE: secretFile('registry.password', password),
              }
            : { WASMCLOUD_CLUSTER_SEED: cluster, WASMCLOUD_OCI_REGISTRY_PASSWORD: password }),
          WASMCLOUD_OCI_REGISTRY: 'registry.test',
          WASMCLOUD_OCI_REGISTRY_USER: 'robot',
        },
      });
      const { url } = await daemon.logLine(({ msg }) => msg === 'health and metrics');
      await daemon.logLine(({ msg }) => msg === 'ready');

      daemon.signal('SIGUSR1');
      const metrics = await (await fetch(`${String(url)}/metrics`)).text();
      const processes = children(daemon.pid);
      expect(processes.length).toBeGreaterThan(0);
      const seen = [metrics, procFile(daemon.pid, 'cmdline'), procFile(daemon.pid, 'comm')];
      for (const pid of processes) seen.push(procFile(pid, 'environ'), procFile(pid, 'cmdline'));
      // A process cannot take back the environment it was given; that is what START-11 says.
      if (place === 'file') seen.push(procFile(daemon.pid, 'environ'));
      else expect(daemon.logLines()).toContainEqual(expect.objectContaining({ code: 'START-11' }));

      daemon.signal('SIGTERM');
      const end = await daemon.ended;
      expect(end.code).toBe(0);
      expect(end.stderr).not.toContain('Debugger listening');
      seen.push(end.stderr, end.stdout);
      for (const canary of canaries) {
        for (const text of seen) expect(text.includes(canary), 'a canary was found').toBe(false);
      }
    },
  );
});
