import { spawn } from 'node:child_process';

// Settings and secrets of the program to come are no business of the tools of set-up.
const NOT_FOR_TOOLS = /^(WASMCLOUD_|TRELLIS_|NATS_(?!SERVER$))/;
const KEPT_CHARS = 65_536;

/**
 * Runs a program without a shell and waits for its end.
 * Returns its exit code (undefined when it could not be started or was killed), the end of what it printed, and why it
 * did not end by itself. Never throws.
 */
export function runProgram(file, args, options = {}) {
  const { timeoutMs, env = process.env, ...spawnOptions } = options;
  return new Promise((resolve) => {
    let output = '';
    let stdout = '';
    let failure;
    const child = spawn(file, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      windowsHide: true,
      env: withoutSettings(env),
      ...spawnOptions,
    });
    const timer =
      timeoutMs === undefined
        ? undefined
        : setTimeout(() => {
            failure = `no answer within ${timeoutMs / 1000} s`;
            child.kill('SIGKILL');
          }, timeoutMs);
    child.stdout.setEncoding('utf8').on('data', (text) => {
      stdout = (stdout + text).slice(-KEPT_CHARS);
      output = (output + text).slice(-KEPT_CHARS);
    });
    child.stderr.setEncoding('utf8').on('data', (text) => {
      output = (output + text).slice(-KEPT_CHARS);
    });
    child.once('error', (error) => {
      // A folder in PATH that this user may not enter turns "not found" into "not allowed".
      const absent = error.code === 'ENOENT' || (error.code === 'EACCES' && !/[\\/]/.test(file));
      failure ??= absent ? `${file} is not installed` : error.message;
    });
    child.once('close', (code) => {
      clearTimeout(timer);
      resolve({ code: code ?? undefined, stdout, output, failure });
    });
  });
}

const withoutSettings = (env) => Object.fromEntries(Object.entries(env).filter(([name]) => !NOT_FOR_TOOLS.test(name)));

/** The last `count` lines of a program's output that say something. */
export function lastLines(output, count) {
  const lines = output.split('\n').filter((line) => line.trim() !== '');
  return lines.slice(-count).join('\n');
}
