import { existsSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { systemClock, type Clock } from './clock.ts';
import { parseConfig, type HostConfig, type HostConfigInput } from './config/schema.ts';
import { ensureDevelopmentSecurity } from './development-security.ts';
import { startHost, type Host } from './host.ts';
import { startNatsServer, type NatsServer } from './nats/server.ts';
import { claimStateDir } from './state-dir.ts';
import type { Logger } from './telemetry/log.ts';
import type { Metrics } from './telemetry/metrics.ts';
import { SigningKey } from './trust/nkey.ts';

/** Id that the command line signs as in a development lattice. */
export const COMMAND_LINE_ORIGIN = 'trellis-cli';

/** What a development lattice is started with. */
export interface DevelopmentOptions {
  /** Folder for JetStream, the cluster seed and the caller's configuration; made if missing, mode 0700. */
  readonly stateDir: string;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** Port of the NATS server; 0 takes a free one. A port that is taken makes way for a free one. */
  readonly port: number;
  /** Settings over the ones of a development lattice. */
  readonly overrides?: HostConfigInput;
  /**
   * The secure form: the server speaks TLS and admits only users of its operator, host and command line have a user for each connection.
   * What that takes is made below `stateDir` and kept. False if left out: loopback alone protects the lattice.
   */
  readonly secure?: boolean;
  /** The host's clock; the machine's if left out. */
  readonly clock?: Clock;
  /** Told before each step, for progress. */
  readonly onStep?: (step: string) => void;
}

/** A lattice on loopback: a NATS server, one host, and the sample components. It owns what it started and nothing else. */
export interface DevelopmentLattice extends AsyncDisposable {
  readonly server: NatsServer;
  /** Where clients connect: `nats://127.0.0.1:4222`, or `tls://…` in the secure form. */
  readonly url: string;
  /** What was made or renewed for the secure form. */
  readonly made: readonly string[];
  readonly host: Host;
  readonly config: HostConfig;
  /** A configuration file with which a caller can join. */
  readonly callerConfigFile: string;
  /** A configuration with which a caller can join. */
  readonly callerConfig: HostConfig;
  /** Drains the host, then stops the server. */
  stop(): Promise<void>;
}

const packageRoot = fileURLToPath(new URL('..', import.meta.url));

/** Absolute path of a file of the sample components: `echo/echo.wasm`. */
export function sampleFile(path: string): string {
  return join(packageRoot, 'components', path);
}

/** The sample components, as a configuration lists them. */
export function sampleComponents(): NonNullable<HostConfigInput['components']> {
  const file = sampleFile;
  return [
    { id: 'hello', file: file('hello/build/hello.wasm'), policy: 'reuse', maxInstances: 4 },
    { id: 'greeter-chain', file: file('greeter-chain/build/greeter-chain.wasm'), policy: 'reuse', maxInstances: 4 },
    { id: 'echo', file: file('echo/echo.wasm'), world: 'trellis-samples:echo/echo@0.1.0' },
    { id: 'echo-streams', file: file('echo/echo-streams.wasm') },
  ];
}

/** The links of the sample components. */
export function sampleLinks(): NonNullable<HostConfigInput['links']> {
  return [{ source: 'greeter-chain', target: 'hello', namespace: 'trellis-samples', package: 'hello', interfaces: ['greeting'] }];
}

/** Starts a development lattice. @throws TRELLIS_NATS_SERVER_*, and what starting a host throws */
export async function startDevelopmentLattice(options: DevelopmentOptions): Promise<DevelopmentLattice> {
  const { stateDir, log, metrics, onStep, clock = systemClock } = options;
  await using starting = new AsyncDisposableStack();
  starting.defer(claimStateDir(stateDir));
  const clusterSeedFile = await ensureClusterSeed(join(stateDir, 'cluster.seed'));

  const lattice = options.overrides?.lattice ?? 'default';
  const security = options.secure === true ? await ensureDevelopmentSecurity(stateDir, lattice, clock) : undefined;

  onStep?.('nats-server');
  const serverOptions = {
    jetstreamDir: join(stateDir, 'jetstream'),
    logFile: join(stateDir, 'nats-server.log'),
    ...(security === undefined ? {} : { configText: security.serverConfigText }),
  };
  const server = await startNatsServer({ port: options.port, ...serverOptions }).catch((error: unknown) => {
    if (options.port === 0) throw error;
    return startNatsServer({ port: 0, ...serverOptions });
  });
  starting.defer(() => server.stop());
  const url = security === undefined ? server.url : server.url.replace(/^nats:/, 'tls:');
  const connection = (more: object = {}) => ({ servers: [url], ...more });
  const base: HostConfigInput = {
    // The secure form is one of production: what would be refused there is refused here.
    dev: security === undefined,
    ctl: connection(security?.host.ctl),
    rpc: connection(security?.host.rpc),
    trust: { clusterSeedFile },
  };
  const config = parseConfig({
    components: sampleComponents(),
    links: sampleLinks(),
    // Whoever builds a component starts it from where it was built.
    artifacts: { allowFiles: security === undefined },
    cacheDir: join(stateDir, 'components'),
    stateDir,
    ...base,
    ...options.overrides,
    trust: { unlinkedOrigins: [COMMAND_LINE_ORIGIN], clusterSeedFile, ...options.overrides?.trust },
  });
  onStep?.('host and components');
  const host = await startHost({ config, log, metrics, clock });
  starting.defer(() => host.drain());
  const callerInput: HostConfigInput = {
    ...base,
    ctl: connection(security?.commandLine.ctl),
    rpc: connection(security?.commandLine.rpc),
    lattice: config.lattice,
    trust: { ...base.trust, verify: config.trust.verify },
  };
  const callerConfigFile = join(stateDir, 'caller.yaml');
  await writeFile(
    callerConfigFile,
    `# How to join the development lattice that is running now.\n${JSON.stringify(callerInput, null, 2)}\n`,
    {
      mode: 0o600,
    },
  );
  // From here on the caller owns all of it: last started, first ended.
  starting.defer(() => rm(callerConfigFile, { force: true }));
  const owned = starting.move();
  const stop = (): Promise<void> => owned.disposeAsync();
  const callerConfig = parseConfig(callerInput);
  return {
    server,
    url,
    made: security?.made ?? [],
    host,
    config,
    callerConfigFile,
    callerConfig,
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

/** The development lattice's own key: made once, kept for the next start so that a second terminal can sign too. */
async function ensureClusterSeed(file: string): Promise<string> {
  if (existsSync(file)) return file;
  await writeFile(file, `${SigningKey.generate('cluster').exportSeed().reveal()}\n`, { mode: 0o600, flag: 'wx' });
  return file;
}
