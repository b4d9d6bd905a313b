import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { TrellisError } from '../errors.ts';

/** The oldest nats-server Trellis runs with (Debian 12's), as `major.minor.patch`. */
export const MINIMUM_NATS_SERVER_VERSION = '2.9.10';

/** A nats-server program on this machine. */
export interface NatsServerProgram {
  readonly path: string;
  /** As `nats-server --version` says it, without the `v`. */
  readonly version: string;
  readonly source: 'NATS_SERVER' | 'PATH' | 'cache';
}

/** What {@link startNatsServer} takes. Everything has a default; none opens a port beyond loopback. */
export interface NatsServerOptions {
  readonly host?: '127.0.0.1';
  /** 0 (default) = a free port. */
  readonly port?: number;
  /** Turns JetStream on, with its files here. The folder outlives the server. */
  readonly jetstreamDir?: string;
  /** Configuration in nats-server's own language, beside the address and JetStream: TLS, accounts, limits. */
  readonly configText?: string;
  /** Where the server's log goes; appended to. By default a file that is removed with the server. */
  readonly logFile?: string;
  /** How long the server may take to accept connections, milliseconds. Default 10 000. */
  readonly startTimeoutMs?: number;
  /** The program to run; what {@link findNatsServer} finds when left out. */
  readonly program?: NatsServerProgram;
}

/** A running nats-server that this process started and owns. */
export interface NatsServer {
  /** `nats://127.0.0.1:<port>`; a client that wants TLS says so in its own options. */
  readonly url: string;
  readonly port: number;
  readonly pid: number;
  readonly program: NatsServerProgram;
  /** True while the server runs. */
  readonly ready: boolean;
  /** Resolves when the server has ended, whoever ended it. */
  readonly exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  /** The server's log so far. */
  readLog(): string;
  /** Sends a signal: `SIGUSR2` lame duck, `SIGSTOP`/`SIGCONT` freeze. Nothing happens when the server is gone. */
  signal(name: NodeJS.Signals): void;
  /** Replaces the configuration text and makes the running server read it. @throws TRELLIS_NATS_SERVER_FAILED when it refuses. */
  reload(configText: string): Promise<void>;
  /** Ends the server (default SIGTERM, SIGKILL after 5 s) and removes its temporary files. May be called again. */
  stop(signal?: NodeJS.Signals): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

const CACHED = fileURLToPath(new URL('../../.trellis/bin/nats-server', import.meta.url));
const NOT_ALWAYS_IN_PATH = ['/usr/local/bin', '/usr/local/sbin', '/usr/sbin', '/opt/homebrew/bin'];
// An empty configuration makes the server complain.
const BASE_CONFIG = 'server_tags: ["trellis"]\n';
const LOG_TAIL_CHARS = 600;

/**
 * Finds a nats-server without fetching one: `NATS_SERVER`, then `PATH` and the folders a user's PATH often misses,
 * then the one that set-up left in `.trellis/bin`.
 *
 * @throws TRELLIS_NATS_SERVER_MISSING, saying every place that was tried. A `NATS_SERVER` that cannot be used is an error:
 * who names a program does not want another one.
 */
export function findNatsServer(env: NodeJS.ProcessEnv = process.env): NatsServerProgram {
  const tried: string[] = [];
  const judge = (path: string, source: NatsServerProgram['source']): NatsServerProgram | undefined => {
    const version = versionOf(path);
    if (version !== undefined && compareVersions(version, MINIMUM_NATS_SERVER_VERSION) >= 0) return { path, version, source };
    const why = version === undefined ? 'does not run' : `is ${version}, older than ${MINIMUM_NATS_SERVER_VERSION}`;
    tried.push(`${path} (${source}) ${why}`);
    return undefined;
  };
  if (env['NATS_SERVER']) {
    const named = judge(env['NATS_SERVER'], 'NATS_SERVER');
    if (named !== undefined) return named;
    throw missing(tried);
  }
  const folders = new Set([...(env['PATH'] ?? '').split(delimiter).filter(Boolean), ...NOT_ALWAYS_IN_PATH]);
  for (const folder of folders) {
    const path = join(folder, 'nats-server');
    const found = isFile(path) ? judge(path, 'PATH') : undefined;
    if (found !== undefined) return found;
  }
  const cached = isFile(CACHED) ? judge(CACHED, 'cache') : undefined;
  if (cached !== undefined) return cached;
  tried.push('no other nats-server in PATH', `none in ${CACHED}`);
  throw missing(tried);
}

/**
 * Starts a real nats-server on loopback as a child of this process and resolves when it accepts connections.
 *
 * The server is in a process group of its own, so that Ctrl-C in a terminal reaches Trellis, which drains first. It never
 * outlives this process, not even when this process is killed.
 *
 * @throws TRELLIS_NATS_SERVER_MISSING, or TRELLIS_NATS_SERVER_FAILED with the end of the server's log.
 */
export async function startNatsServer(options: NatsServerOptions = {}): Promise<NatsServer> {
  const program = options.program ?? findNatsServer();
  const runDir = mkdtempSync(join(tmpdir(), 'trellis-nats-'));
  const configFile = join(runDir, 'server.conf');
  const logFile = options.logFile ?? join(runDir, 'server.log');
  writeFileSync(configFile, BASE_CONFIG + (options.configText ?? ''), { mode: 0o600 });
  const args = [
    '-c',
    configFile,
    '-a',
    options.host ?? '127.0.0.1',
    '-p',
    String(options.port || -1),
    '--ports_file_dir',
    runDir,
  ];
  if (options.jetstreamDir !== undefined) args.push('-js', '-sd', options.jetstreamDir);
  // A file and not a pipe: a server must not block on its log when this process is busy.
  const log = openSync(logFile, 'a', 0o600);
  const logStart = statSync(logFile).size;
  const child = spawn(program.path, args, { stdio: ['ignore', log, log], detached: true, env: childEnv() });
  closeSync(log);
  const readLog = (): string => readFileSync(logFile).subarray(logStart).toString('utf8');

  let gone = false;
  const guard = guardAgainstOrphan(child, runDir);
  const exited = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve) => {
    const onEnd = (code: number | null, signal: NodeJS.Signals | null): void => {
      gone = true;
      guard?.kill('SIGKILL');
      resolve({ code, signal });
    };
    child.once('exit', onEnd);
    child.once('error', () => onEnd(null, null));
  });

  const stop = async (signal: NodeJS.Signals = 'SIGTERM'): Promise<void> => {
    if (!gone) {
      child.kill(signal);
      child.kill('SIGCONT'); // a frozen server would not see the first signal
      if ((await Promise.race([exited, sleep(5000, undefined, { ref: false })])) === undefined) child.kill('SIGKILL');
      await exited;
    }
    rmSync(runDir, { recursive: true, force: true });
  };

  try {
    const port = await waitForPort(runDir, child, () => gone, options.startTimeoutMs ?? 10_000);
    return {
      url: `nats://127.0.0.1:${port}`,
      port,
      pid: child.pid!,
      program,
      get ready() {
        return !gone;
      },
      exited,
      readLog,
      signal: (name) => void child.kill(name),
      reload: async (configText) => {
        const before = readLog().length;
        writeFileSync(configFile, BASE_CONFIG + configText, { mode: 0o600 });
        child.kill('SIGHUP');
        await waitForReload(
          () => readLog().slice(before),
          () => gone,
        );
      },
      stop,
      [Symbol.asyncDispose]: () => stop(),
    };
  } catch (cause) {
    const tail = readLog().trimEnd().slice(-LOG_TAIL_CHARS);
    await stop('SIGKILL');
    throw new TrellisError('TRELLIS_NATS_SERVER_FAILED', {
      message: `nats-server ${program.version} did not start: ${(cause as Error).message}${tail === '' ? '' : `\n${tail}`}`,
      details: { path: program.path, port: options.port ?? 0 },
    });
  }
}

/** The version a nats-server program reports, without the `v`; undefined when it cannot be run. */
function versionOf(path: string): string | undefined {
  try {
    const text = execFileSync(path, ['--version'], { encoding: 'utf8', timeout: 5000, stdio: ['ignore', 'pipe', 'ignore'] });
    return /v(\d+\.\d+\.\d+\S*)/.exec(text)?.[1];
  } catch {
    return undefined;
  }
}

/** Compares the numeric parts of two versions: below 0, 0 or above 0. */
function compareVersions(left: string, right: string): number {
  const [a, b] = [left, right].map((text) => text.split(/[.-]/).slice(0, 3).map(Number)) as [number[], number[]];
  for (let i = 0; i < 3; i++) {
    const difference = (a[i] || 0) - (b[i] || 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** No child of ours sees the seeds and settings in this process' environment. */
function childEnv(): NodeJS.ProcessEnv {
  const { PATH, HOME, TMPDIR, TZ } = process.env;
  return Object.fromEntries(Object.entries({ PATH, HOME, TMPDIR, TZ }).filter(([, value]) => value !== undefined));
}

function isFile(path: string): boolean {
  try {
    return statSync(path, { throwIfNoEntry: false })?.isFile() === true;
  } catch {
    return false; // a folder in PATH that this user may not enter
  }
}

function missing(tried: readonly string[]): TrellisError {
  return new TrellisError('TRELLIS_NATS_SERVER_MISSING', { message: `No nats-server found: ${tried.join('; ')}` });
}

/**
 * A shell that waits for the end of a pipe that only this process holds open, and then ends the server: it works however
 * this process ends. Windows has no such shell; there the server stays until somebody stops it.
 */
function guardAgainstOrphan(server: ChildProcess, runDir: string): ChildProcess | undefined {
  if (server.pid === undefined || process.platform === 'win32') return undefined;
  const script =
    'trap "" INT TERM HUP; read -r _; kill -TERM "$1"; n=0; ' +
    'while kill -0 "$1" && [ $n -lt 50 ]; do sleep 0.1; n=$((n+1)); done; kill -KILL "$1"; rm -rf -- "$2"';
  const guard = spawn('/bin/sh', ['-c', script, 'trellis-nats-guard', String(server.pid), runDir], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
    env: childEnv(),
  });
  guard.once('error', () => {});
  guard.stdin?.once('error', () => {});
  guard.unref();
  (guard.stdin as unknown as { unref(): void } | null)?.unref();
  return guard;
}

/** The server writes its ports file when it accepts connections. */
async function waitForPort(dir: string, child: ChildProcess, gone: () => boolean, timeoutMs: number): Promise<number> {
  const endMs = performance.now() + timeoutMs;
  const waitMs = 10;
  while (!gone()) {
    const file = readdirSync(dir).find((name) => name.endsWith(`_${child.pid}.ports`));
    const port = file === undefined ? undefined : portIn(readFileSync(join(dir, file), 'utf8'));
    if (port !== undefined) return port;
    if (performance.now() > endMs) throw new Error(`not ready after ${timeoutMs} ms`);
    await sleep(waitMs);
  }
  throw new Error(child.exitCode === null ? 'it could not be run' : `it ended with code ${child.exitCode}`);
}

function portIn(portsFile: string): number | undefined {
  try {
    const urls = (JSON.parse(portsFile) as { nats?: string[] }).nats;
    const port = Number(/:(\d+)$/.exec(urls?.[0] ?? '')?.[1]);
    return port > 0 ? port : undefined;
  } catch {
    return undefined; // half-written
  }
}

async function waitForReload(newLog: () => string, gone: () => boolean): Promise<void> {
  const endMs = performance.now() + 5000;
  while (!gone() && performance.now() < endMs) {
    const text = newLog();
    if (text.includes('Reloaded server configuration')) return;
    if (text.includes('Failed to reload server configuration')) {
      throw new TrellisError('TRELLIS_NATS_SERVER_FAILED', {
        message: `nats-server refused its new configuration:\n${text.trimEnd().slice(-LOG_TAIL_CHARS)}`,
      });
    }
    await sleep(10);
  }
  throw new TrellisError('TRELLIS_NATS_SERVER_FAILED', { message: 'nats-server did not read its new configuration within 5 s' });
}
