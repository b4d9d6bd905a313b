import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll } from 'vitest';
import type { Caller } from '../../src/caller.ts';
import { parseConfig, type HostConfigInput } from '../../src/config/schema.ts';
import { SigningKey } from '../../src/trust/nkey.ts';
import { CACHE_DIR } from './cache-dir.ts';
import { startJwtServer, type JwtTestServer } from './nats-server.ts';
import { Program } from './program.ts';
import { seedFile, startTrustCaller, TINY } from './trust-lattice.ts';

/** A daemon as an operator runs it: a process of its own with a configuration file. */
export interface RunningDaemon extends AsyncDisposable {
  readonly program: Program;
  readonly name: string;
  /** Its configuration file; write it and signal HUP. */
  readonly configFile: string;
  /** `http://127.0.0.1:port` of health and metrics. */
  readonly admin: string;
  /** Status and body of `/readyz`. */
  readyz(): Promise<{ readonly status: number; readonly body: Record<string, unknown> }>;
  /** Value of a metric, 0 if it is not there. */
  metric(series: string): Promise<number>;
}

/** A lattice of daemons on a real server with JWT accounts, one for each partition. */
export interface DaemonLattice extends AsyncDisposable {
  readonly jwt: JwtTestServer;
  readonly dir: string;
  /** Settings of a member: credentials of its own, one cluster seed for all. `settings` stand over them. */
  config(name: string, settings?: HostConfigInput): HostConfigInput;
  /** Starts one and resolves when it is ready. */
  start(name: string, settings?: HostConfigInput): Promise<RunningDaemon>;
  /** A caller in this process. */
  caller(settings?: HostConfigInput): Promise<Caller>;
}

/** Writes a configuration as the file of a daemon (JSON is YAML). */
export function writeConfig(file: string, config: HostConfigInput): void {
  writeFileSync(file, JSON.stringify(config, undefined, 2));
}

/** One lattice and one caller for all tests of a file. */
export function latticeOfFile(): { readonly lattice: DaemonLattice; readonly caller: Caller } {
  let lattice: DaemonLattice;
  let caller: Caller;
  beforeAll(async () => {
    lattice = await startDaemonLattice();
    caller = await lattice.caller();
  });
  afterAll(async () => {
    await caller[Symbol.asyncDispose]();
    await lattice[Symbol.asyncDispose]();
  });
  return {
    get lattice() {
      return lattice;
    },
    get caller() {
      return caller;
    },
  };
}

/** Starts the server; hosts come later. */
export async function startDaemonLattice(): Promise<DaemonLattice> {
  const jwt = await startJwtServer();
  const { dir } = jwt.server;
  const clusterSeedFile = seedFile(dir, 'cluster', SigningKey.generate('cluster'));
  // On a machine that has other work to do, too, a login can take longer than the five seconds it has by default.
  const connectTimeoutMs = 30_000;
  const connections = (name: string): HostConfigInput => ({
    ctl: { servers: [jwt.url], credsFile: jwt.ctl.addUser(name).credsFile, connectTimeoutMs },
    rpc: { servers: [jwt.url], credsFile: jwt.rpc.addUser(name).credsFile, connectTimeoutMs },
  });
  const config = (name: string, settings: HostConfigInput = {}): HostConfigInput => ({
    dev: true,
    ...connections(name),
    components: [TINY],
    cacheDir: CACHE_DIR,
    stateDir: join(dir, `state-${name}`),
    ...settings,
    trust: { clusterSeedFile, unlinkedOrigins: ['caller'], ...settings.trust },
  });
  return {
    jwt,
    dir,
    config,
    async start(name, settings) {
      const configFile = join(dir, `${name}.yaml`);
      writeConfig(configFile, config(name, settings));
      return startDaemon(name, configFile);
    },
    caller: (settings = {}) =>
      startTrustCaller(
        parseConfig({ dev: true, ...connections('caller'), ...settings, trust: { clusterSeedFile, ...settings.trust } }),
      ),
    [Symbol.asyncDispose]: () => jwt[Symbol.asyncDispose](),
  };
}

/** Starts a daemon from its file, also a second time, and resolves when it is ready. */
export async function startDaemon(name: string, configFile: string, env: Record<string, string> = {}): Promise<RunningDaemon> {
  const program = new Program('daemon', ['--config', configFile], { env });
  try {
    const ended = program.ended.then(({ code, stderr }) => {
      throw new Error(`the daemon ended with ${code} before it was ready:\n${stderr}`);
    });
    await Promise.race([program.logLine(({ msg }) => msg === 'ready', 60_000), ended]);
    ended.catch(() => {});
  } catch (error) {
    await program[Symbol.asyncDispose]();
    throw error;
  }
  const admin = String(program.logLines().find(({ msg }) => msg === 'health and metrics')?.['url']);
  return {
    program,
    name,
    configFile,
    admin,
    async readyz() {
      const response = await fetch(`${admin}/readyz`);
      return { status: response.status, body: (await response.json()) as Record<string, unknown> };
    },
    async metric(series) {
      const text = await (await fetch(`${admin}/metrics`)).text();
      const line = text.split('\n').find((each) => each.startsWith(`${series} `));
      return line === undefined ? 0 : Number(line.slice(series.length + 1));
    },
    [Symbol.asyncDispose]: () => program[Symbol.asyncDispose](),
  };
}

/** Calls that go on until {@link Load.stop}. */
export interface Load extends AsyncDisposable {
  readonly sent: number;
  readonly ok: number;
  /** What came instead of the answer, with its number. */
  readonly failures: ReadonlyMap<string, number>;
  /** Longest call that was answered, milliseconds. */
  readonly worstMs: number;
  /** Sends no more, and resolves when every call has its end. */
  stop(): Promise<void>;
}

/** More calls at once than this would be answered busy, which is another matter. */
const MAX_OPEN = 300;

/** One verified call, whose answer must be what was sent. @throws what became of it instead */
export async function callEcho(caller: Caller, target: string, timeoutMs = 20_000): Promise<void> {
  const text = Buffer.from(`${target} ${Math.random()}`.padEnd(40).slice(0, 40));
  const params = Buffer.concat([Buffer.of(text.length), text]);
  const answer = await caller.call({
    target,
    instance: 'trellis-samples:echo/bytes@0.1.0',
    func: 'echo-bytes',
    params,
    timeoutMs,
  });
  if (!params.equals(answer)) throw new Error('a WRONG answer');
}

/** About `perSecond` verified calls a second, whether or not the ones before have been answered. */
export function startLoad(caller: Caller, perSecond = 1_000, { target = 'tiny', timeoutMs = 20_000 } = {}): Load {
  const failures = new Map<string, number>();
  const counts = { sent: 0, ok: 0, worstMs: 0 };
  const open = new Set<Promise<void>>();
  const one = async (): Promise<void> => {
    const sentMs = performance.now();
    counts.sent += 1;
    try {
      await callEcho(caller, target, timeoutMs);
      counts.ok += 1;
      counts.worstMs = Math.max(counts.worstMs, performance.now() - sentMs);
    } catch (error) {
      const what = error instanceof Error ? error.message : String(error);
      failures.set(what, (failures.get(what) ?? 0) + 1);
    }
  };
  let lastMs = performance.now();
  let owed = 0;
  const timer = setInterval(() => {
    const nowMs = performance.now();
    // What this process slept through is not made up for at once: that would be another load.
    owed += Math.min(50, nowMs - lastMs) * (perSecond / 1_000);
    lastMs = nowMs;
    for (; owed >= 1 && open.size < MAX_OPEN; owed -= 1) {
      const call: Promise<void> = one().finally(() => open.delete(call));
      open.add(call);
    }
  }, 2);
  const stop = async (): Promise<void> => {
    clearInterval(timer);
    await Promise.all(open);
  };
  return {
    get sent() {
      return counts.sent;
    },
    get ok() {
      return counts.ok;
    },
    get worstMs() {
      return counts.worstMs;
    },
    failures,
    stop,
    [Symbol.asyncDispose]: stop,
  };
}
