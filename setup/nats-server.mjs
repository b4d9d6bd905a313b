// Finds a nats-server, or fetches one into .trellis/bin: no root needed, nothing outside this folder touched.
import { chmodSync, mkdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fetchServer } from './nats-server-sources.mjs';
import { compareVersions } from './own-node.mjs';
import { runProgram } from './run-program.mjs';
import { SetupError } from './setup-error.mjs';
import { ROOT, STATE, writeWhole } from './tree.mjs';

/** The oldest nats-server Trellis runs with; src/nats/server.ts says the same. */
export const MINIMUM_NATS_SERVER_VERSION = '2.9.10';

const CACHED = join(STATE, 'bin', 'nats-server');
// Server programs are often outside a user's PATH.
const NOT_ALWAYS_IN_PATH = ['/usr/local/bin', '/usr/local/sbin', '/usr/sbin', '/opt/homebrew/bin'];

export const natsServer = {
  /** `{ path, version, from }` of a usable server that is already here, else undefined; `tried` collects the reasons. */
  async find(tried = [], env = process.env) {
    if (env.NATS_SERVER) {
      const named = await judge(env.NATS_SERVER, 'NATS_SERVER', tried);
      if (named !== undefined) return named;
      throw new SetupError('NATS_SERVER names a program that cannot be used', {
        tried,
        remedy: `Set NATS_SERVER to a nats-server of version ${MINIMUM_NATS_SERVER_VERSION} or later, or unset it to let set-up find one.`,
      });
    }
    for (const path of placesOf('nats-server', env)) {
      const found = await judge(path, path, tried);
      if (found !== undefined) return found;
    }
    if (tried.length === 0) tried.push('PATH and the usual system folders: none there');
    if (!isFile(CACHED)) {
      tried.push('.trellis/bin: none there');
      return undefined;
    }
    return judge(CACHED, '.trellis/bin', tried);
  },

  /** Fetches one, from the first source that gives it. Returns `{ path, version, from }`. */
  async fetch(working, tried) {
    const fetched = await fetchServer({ working, tried });
    if (fetched === undefined) {
      throw new SetupError('No nats-server could be found or fetched', {
        tried,
        remedy:
          `Install nats-server ${MINIMUM_NATS_SERVER_VERSION} or later (Debian, as root: apt-get install nats-server; ` +
          'macOS: brew install nats-server), or set NATS_SERVER to the path of one, or connect this machine. Then start again.',
      });
    }
    install(fetched.program);
    const found = await judge(CACHED, fetched.from, tried);
    if (found !== undefined) return found;
    rmSync(CACHED, { force: true });
    throw new SetupError('The fetched nats-server does not run here', {
      tried,
      remedy: `Set NATS_SERVER to the path of a nats-server that runs on ${process.platform}-${process.arch}.`,
    });
  },
};

/** Where a program of this name lies: in PATH, or in a folder for server programs. */
export function placesOf(name, env) {
  const folders = new Set([...(env.PATH ?? '').split(delimiter).filter(Boolean), ...NOT_ALWAYS_IN_PATH]);
  return [...folders].map((folder) => join(folder, name)).filter(isFile);
}

/** `program` is the file's content, or `{ file }`, one to move into place. */
function install(program) {
  if (Buffer.isBuffer(program)) return writeWhole(CACHED, program, 0o755);
  mkdirSync(join(STATE, 'bin'), { recursive: true });
  chmodSync(program.file, 0o755);
  renameSync(program.file, CACHED);
}

async function judge(path, from, tried) {
  const result = await runProgram(path, ['--version'], { timeoutMs: 10_000, cwd: ROOT });
  const version = /v(\d+\.\d+\.\d+\S*)/.exec(result.stdout)?.[1];
  if (result.code !== 0 || version === undefined) {
    tried.push(`${from}: ${path} does not run (${result.failure ?? `code ${result.code}`})`);
    return undefined;
  }
  if (compareVersions(version, MINIMUM_NATS_SERVER_VERSION) < 0) {
    tried.push(`${from}: version ${version}, older than ${MINIMUM_NATS_SERVER_VERSION}`);
    return undefined;
  }
  return { path, version, from };
}

/** True for a file that this user can see. */
export function isFile(path) {
  try {
    return statSync(path, { throwIfNoEntry: false })?.isFile() === true;
  } catch {
    return false; // a folder in PATH that this user may not enter
  }
}
