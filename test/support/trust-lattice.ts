import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connectCaller, type Caller } from '../../src/caller.ts';
import { parseConfig, type HostConfig, type HostConfigInput } from '../../src/config/schema.ts';
import { sampleFile } from '../../src/development.ts';
import { startHost, type Host } from '../../src/host.ts';
import type { LatticeConnection } from '../../src/nats/connection.ts';
import { silentLogger } from '../../src/telemetry/log.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import type { SigningKey } from '../../src/trust/nkey.ts';
import { CACHE_DIR } from './cache-dir.ts';
import { recordedLog } from './recorded-log.ts';
import { until } from './until.ts';

export { until };

/** Writes a file of seeds, one a line, in a folder of the test's own. */
export function seedFile(dir: string, name: string, ...keys: readonly SigningKey[]): string {
  const file = join(dir, `${name}.seed`);
  writeFileSync(file, keys.map((key) => `${key.exportSeed().reveal()}\n`).join(''), { mode: 0o600 });
  return file;
}

/** A host of a test, and what it said. */
export interface TrustHost extends AsyncDisposable {
  readonly host: Host;
  readonly logged: Record<string, unknown>[];
  stop(): Promise<void>;
}

// Not that of the machine: what a lattice of the same name once had there would count.
const stateDir = mkdtempSync(join(tmpdir(), 'trellis-state-'));

/** The settings that all members of a test's lattice share, over `more`. */
export function memberConfig(url: string, more: HostConfigInput = {}): HostConfig {
  // On a machine that has other work to do, too, a login can take longer than the five seconds it has by default.
  const connection = { servers: [url], connectTimeoutMs: 30_000 };
  return parseConfig({
    dev: true,
    cacheDir: CACHE_DIR,
    stateDir,
    admin: { listen: false },
    ...more,
    ctl: { ...connection, ...more.ctl },
    rpc: { ...connection, ...more.rpc },
  });
}

/** Starts a host in this process. Without components it is a light one: no runner. */
export async function startTrustHost(config: HostConfig): Promise<TrustHost> {
  const { log, logged } = recordedLog();
  const host = await startHost({ config, log, metrics: createMetrics({ eventLoop: false }) });
  const stop = (): Promise<void> => host.drain();
  return { host, logged, stop, [Symbol.asyncDispose]: stop };
}

/** A caller of a test's lattice. */
export function startTrustCaller(config: HostConfig, origin = 'caller'): Promise<Caller> {
  return connectCaller({ config, log: silentLogger(), metrics: createMetrics({ eventLoop: false }), origin });
}

/** The component of one function that calls here go to. */
export const TINY: NonNullable<HostConfigInput['components']>[number] = {
  id: 'tiny',
  file: sampleFile('echo/tiny.wasm'),
  policy: 'reuse',
  maxInstances: 4,
};

/** One call of it: three bytes, which come back. */
export const callTiny = (caller: Caller, timeoutMs = 20_000): Promise<Uint8Array> =>
  caller.call({
    target: 'tiny',
    instance: 'trellis-samples:echo/bytes@0.1.0',
    func: 'echo-bytes',
    params: Uint8Array.of(3, 1, 2, 3),
    timeoutMs,
  });

/**
 * Does what ends these connections, and resolves when all of them are back. Their state alone would not tell: a server can be up
 * again before a busy process has heard that it was away.
 */
export async function acrossReconnect(connections: readonly LatticeConnection[], change: () => Promise<void>): Promise<void> {
  const before = connections.map(({ stats }) => stats.reconnects);
  await change();
  await until(() => connections.every(({ stats }, at) => stats.reconnects > before[at]!));
  await Promise.all(connections.map((connection) => connection.flush()));
}
