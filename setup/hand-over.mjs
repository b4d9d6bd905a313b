import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { ROOT } from './tree.mjs';

const FORWARDED = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGUSR2'];
// One Ctrl-C arrives twice: from the terminal, and from npm, which passes it on.
const SAME_SIGNAL_MS = 300;

/**
 * Runs a JavaScript file with another Node in this process' place: its input and output, its signals, its end.
 * The program is in a process group of its own and so gets each signal exactly once; it is told to end should this process
 * be killed. Never returns.
 *
 * @param {string} node path of the Node to use
 * @param {string[]} args the file and its arguments
 * @param {{ cwd?: string }} [options]
 */
export function handOver(node, args, options = {}) {
  const posix = process.platform !== 'win32';
  const follow = ['--import', pathToFileURL(join(ROOT, 'setup/follow-parent.mjs')).href];
  const child = spawn(node, [...(posix ? follow : []), ...args], {
    ...options,
    stdio: 'inherit',
    detached: posix,
    env: { ...process.env, TRELLIS_PARENT_PID: String(process.pid) },
  });
  const lastMs = new Map();
  for (const signal of FORWARDED) {
    if (!posix && signal === 'SIGUSR2') continue;
    process.on(signal, () => {
      const nowMs = performance.now();
      if (nowMs - (lastMs.get(signal) ?? -Infinity) < SAME_SIGNAL_MS) return;
      lastMs.set(signal, nowMs);
      child.kill(signal);
    });
  }
  child.once('error', (error) => {
    process.stderr.write(`${node} could not be started: ${error.message}\n`);
    process.exit(1);
  });
  child.once('exit', (code, signal) => {
    if (signal === null) process.exit(code ?? 1);
    for (const name of FORWARDED) process.removeAllListeners(name);
    process.kill(process.pid, signal);
    setTimeout(() => process.exit(1), 100); // a signal that does not end this process
  });
  return new Promise(() => {});
}
