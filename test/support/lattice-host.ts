import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, type ConnectionOptions } from 'nats';
import type { HostConfigInput } from '../../src/config/schema.ts';
import { CACHE_DIR } from './cache-dir.ts';
import { startDaemon, writeConfig, type RunningDaemon } from './daemon-lattice.ts';

/** A daemon of Trellis on a lattice without accounts, as its neighbours see it. */
export interface LatticeHost extends AsyncDisposable {
  readonly daemon: RunningDaemon;
  readonly id: string;
  readonly friendlyName: string;
  readonly version: string;
}

/** Starts one on the server at `url`, and resolves when it has said so to its lattice, which is heard with the login of `listener`. */
export async function startLatticeHost(
  url: string,
  settings: HostConfigInput = {},
  listener: ConnectionOptions = {},
): Promise<LatticeHost> {
  const dir = mkdtempSync(join(tmpdir(), 'trellis-test-'));
  const nc = await connect({ servers: url, ...listener });
  const lattice = settings.lattice ?? 'default';
  const started = nc.subscribe(`wasmbus.evt.${lattice}.host_started`, { max: 1 });
  await nc.flush();
  const late = setTimeout(() => started.unsubscribe(), 60_000);
  try {
    const configFile = join(dir, 'host.yaml');
    writeConfig(configFile, {
      dev: true,
      artifacts: { allowFiles: true },
      cacheDir: CACHE_DIR,
      stateDir: join(dir, 'state'),
      ...settings,
      ctl: { servers: [url], connectTimeoutMs: 30_000, ...settings.ctl },
      rpc: { servers: [url], connectTimeoutMs: 30_000, ...settings.rpc },
    });
    const daemon = await startDaemon('host', configFile);
    for await (const message of started) {
      const { source, data } = message.json<{ source: string; data: { friendly_name: string; version: string } }>();
      return {
        daemon,
        id: source,
        friendlyName: data.friendly_name,
        version: data.version,
        async [Symbol.asyncDispose]() {
          await daemon[Symbol.asyncDispose]();
          rmSync(dir, { recursive: true, force: true });
        },
      };
    }
    await daemon[Symbol.asyncDispose]();
    throw new Error(`the host never said that it has started:\n${daemon.program.stderr}`);
  } finally {
    clearTimeout(late);
    await nc.close();
  }
}
