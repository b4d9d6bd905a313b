import { fork, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { TrellisError } from '../errors.ts';

/**
 * Where programs are started from: the build, which is what people run, also when the benchmark itself runs from sources and the
 * build is not older than they are.
 */
export function programForm(): 'build' | 'sources' {
  if (extname(import.meta.url) === '.js' || buildIsFresh()) return 'build';
  return 'sources';
}

const srcDir = fileURLToPath(new URL('..', import.meta.url));
const distDir = fileURLToPath(new URL('../../dist/', import.meta.url));

function buildIsFresh(): boolean {
  const built = join(distDir, 'daemon', 'main.js');
  if (!existsSync(built)) return false;
  const builtMs = statSync(built).mtimeMs;
  const sources = readdirSync(srcDir, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'));
  return sources.every((file) => statSync(join(srcDir, file)).mtimeMs <= builtMs);
}

/** Absolute path of a program of this package, without its extension: `bench/load`. */
function program(name: string): string {
  const own = extname(import.meta.url);
  if (own === '.ts' && programForm() === 'build') return join(distDir, `${name}.js`);
  return join(srcDir, name + own);
}

/** Resolves with the next message of a child; rejects when the child ends first. Leaves no listener behind. */
function nextMessage<T>(child: ChildProcess, what: string): Promise<T> {
  return new Promise((resolve, reject) => {
    const onMessage = (message: unknown): void => {
      child.off('exit', onExit);
      resolve(message as T);
    };
    const onExit = (): void => {
      child.off('message', onMessage);
      reject(new TrellisError('TRELLIS_INTERNAL', { message: `the benchmark's ${what} ended` }));
    };
    child.once('message', onMessage);
    child.once('exit', onExit);
  });
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  // Children with a channel end by themselves when it closes, in order, so that a profile they keep is written.
  if (child.connected) child.disconnect();
  else child.kill('SIGTERM');
  await gone;
}

/** A program of the benchmark in a process of its own: it answers each message with one of its own. */
export class BenchChild<Ask, Answer> {
  readonly pid: number;
  readonly #name: string;
  readonly #child: ChildProcess;

  private constructor(name: string, child: ChildProcess) {
    this.#name = name;
    this.#child = child;
    this.pid = child.pid ?? 0;
  }

  /** Starts `name` (`bench/load`) with its set-up and waits until it is ready. */
  static async start<Ask, Answer>(name: string, setup: object): Promise<BenchChild<Ask, Answer>> {
    const child = fork(program(name), [JSON.stringify(setup)], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    await nextMessage(child, name);
    return new BenchChild(name, child);
  }

  /** Sends one message and resolves with the answer. */
  ask(message: Ask): Promise<Answer> {
    this.#child.send(message as object);
    return nextMessage<Answer>(this.#child, this.#name);
  }

  stop(): Promise<void> {
    return end(this.#child);
  }
}

/** A child of the benchmark with a process id and an end. */
export interface BenchProcess {
  readonly pid: number;
  /** From spawn to the word that it is ready, milliseconds. */
  readonly startMs: number;
  stop(): Promise<void>;
}

/** Starts the bare handler. */
export async function startBareHandler(url: string, subject: string): Promise<BenchProcess> {
  const begin = performance.now();
  const child = fork(program('bench/bare-handler'), [url, subject], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  await nextMessage(child, 'bare handler');
  return { pid: child.pid ?? 0, startMs: performance.now() - begin, stop: () => end(child) };
}

/** Starts a host, the real daemon, with a configuration file and waits until it says it is ready; `onLog` gets what it logs. */
export async function startHostProcess(configFile: string, onLog?: (text: string) => void): Promise<BenchProcess> {
  const begin = performance.now();
  const child = spawn(process.execPath, [program('daemon/main'), '--config', configFile], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let said = '';
  await new Promise<void>((resolve, reject) => {
    const fail = (): void =>
      reject(new TrellisError('TRELLIS_HOST_START', { message: `the benchmark's host did not start: ${said.slice(-2000)}` }));
    child.once('exit', fail);
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      onLog?.(text);
      said = (said + text).slice(-20_000);
      if (!/"msg":"ready"/.test(said)) return;
      child.off('exit', fail);
      resolve();
    });
  });
  return { pid: child.pid ?? 0, startMs: performance.now() - begin, stop: () => end(child) };
}
