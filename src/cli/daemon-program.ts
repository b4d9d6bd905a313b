import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { fileURLToPath } from 'node:url';

/**
 * Becomes the daemon: the program of `node host.js`, with these flags, in this process' place (so that signals and the exit
 * code are its own). Where a process cannot be replaced (Windows) the daemon runs as a child and this process ends with it.
 */
export async function replaceByDaemon(flags: readonly string[]): Promise<never> {
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
  const args = [...process.execArgv, fileURLToPath(new URL(`../daemon/main.${extension}`, import.meta.url)), ...flags];
  if (process.platform !== 'win32' && typeof process.execve === 'function') {
    process.execve(process.execPath, [process.execPath, ...args], process.env);
  }
  const child = spawn(process.execPath, args, { stdio: 'inherit' });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGUSR2'] as const) process.on(signal, () => child.kill(signal));
  const code = await new Promise<number>((resolve) => {
    child.once('exit', (status, signal) => resolve(signal === null ? (status ?? 1) : 128 + constants.signals[signal]));
  });
  process.exit(code);
}
