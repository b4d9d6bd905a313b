import { fork, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { TrellisError } from '../errors.ts';
import type { LoadCase, LoadResult, LoadSetup } from './messages.ts';

// Runs from the sources as well as from the build.
const extension = extname(import.meta.url);
const program = (name: string): string => fileURLToPath(new URL(`${name}${extension}`, import.meta.url));

async function ready(child: ChildProcess, what: string): Promise<void> {
  const [message] = await Promise.race([once(child, 'message'), once(child, 'exit').then(() => ['gone'])]);
  if (message !== 'ready') throw new TrellisError('TRELLIS_INTERNAL', { message: `the benchmark's ${what} did not start` });
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGTERM');
  await gone;
}

/** The load process. */
export class LoadProcess {
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess) {
    this.#child = child;
  }

  static async start(setup: LoadSetup): Promise<LoadProcess> {
    const child = fork(program('load'), [JSON.stringify(setup)], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    await ready(child, 'load process');
    return new LoadProcess(child);
  }

  /** Runs one case. */
  async run(test: LoadCase): Promise<LoadResult> {
    const answer = once(this.#child, 'message');
    this.#child.send(test);
    const [result] = await Promise.race([answer, once(this.#child, 'exit').then(() => [undefined])]);
    if (result === undefined) throw new TrellisError('TRELLIS_INTERNAL', { message: 'the load process ended' });
    return result as LoadResult;
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
  const child = fork(program('bare-handler'), [url, subject], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  await ready(child, 'bare handler');
  return { pid: child.pid ?? 0, startMs: performance.now() - begin, stop: () => end(child) };
}

/** Starts a host, the real daemon, with a configuration file and waits until it says it is ready. */
export async function startHostProcess(configFile: string): Promise<BenchProcess> {
  const begin = performance.now();
  const daemon = fileURLToPath(new URL(`../daemon/main${extension}`, import.meta.url));
  const child = spawn(process.execPath, [daemon, '--config', configFile], { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  await new Promise<void>((resolve, reject) => {
    const fail = (): void =>
      reject(new TrellisError('TRELLIS_HOST_START', { message: `the benchmark's host did not start: ${said.slice(-2000)}` }));
    child.once('exit', fail);
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      said = (said + text).slice(-20_000);
      if (!/"msg":"ready"/.test(said)) return;
      child.off('exit', fail);
      resolve();
    });
  });
  return { pid: child.pid ?? 0, startMs: performance.now() - begin, stop: () => end(child) };
}
