// Where things are in this source tree, and the small file operations that every step of set-up shares.
// Everything in this folder runs on Node 18 with nothing installed.
import { createHash, randomBytes } from 'node:crypto';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { SetupError } from './setup-error.mjs';

/** The root of this copy of Trellis. */
export const ROOT = fileURLToPath(new URL('..', import.meta.url)).replace(/[\\/]$/, '');
/** State that belongs to this copy: the fetched nats-server, the development lattice. Ignored by git. */
export const STATE = join(ROOT, '.trellis');
export const MODULES = join(ROOT, 'node_modules');
export const DIST = join(ROOT, 'dist');

/** True for a clone or an unpacked source archive, false for an installed package: only the former can be built. */
export const isSourceTree = () => existsSync(join(ROOT, 'tsconfig.json')) && existsSync(join(ROOT, 'src'));

/** All files below `folder`, as sorted relative paths with forward slashes. `skip` drops folders and files by name. */
export function filesBelow(folder, skip = () => false) {
  const found = [];
  const walk = (current) => {
    for (const entry of readdirSync(current, { withFileTypes: true })) {
      if (skip(entry.name)) continue;
      const path = join(current, entry.name);
      if (entry.isDirectory()) walk(path);
      else if (entry.isFile()) found.push(relative(folder, path).split('\\').join('/'));
    }
  };
  walk(folder);
  return found.sort((a, b) => (a < b ? -1 : 1));
}

/** A digest of the names and contents of `files` below `folder`; `salt` holds whatever else the result depends on. */
export function digestOf(folder, files, salt = '') {
  const hash = createHash('sha256').update(salt);
  for (const file of files) {
    const content = readFileSync(join(folder, file));
    hash.update(`\0${file}\0${content.length}\0`).update(content);
  }
  return hash.digest('hex');
}

/** The text of a file, or undefined when it cannot be read. */
export function readIfThere(path) {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

/** Writes a file by rename, so that nobody reads half of it. */
export function writeWhole(path, content, mode = 0o644) {
  mkdirSync(dirname(path), { recursive: true });
  const partial = `${path}.${randomBytes(6).toString('hex')}`;
  try {
    writeFileSync(partial, content, { mode });
    renameSync(partial, path);
  } catch (error) {
    rmSync(partial, { force: true });
    throw error;
  }
}

/** A new folder in `.trellis` for work in progress; whoever asks removes it. */
export function workFolder(purpose) {
  const path = join(STATE, 'work', `${purpose}-${randomBytes(6).toString('hex')}`);
  mkdirSync(path, { recursive: true });
  return path;
}

/**
 * Runs `work` while no other set-up in this tree does. The lock is a file with a process id in it; one whose process is
 * gone is taken over.
 */
export async function alone(onWait, work) {
  const lock = join(STATE, 'setup.lock');
  mkdirSync(STATE, { recursive: true });
  let told = false;
  while (!takeLock(lock)) {
    const owner = Number(readIfThere(lock));
    if (owner > 0 && isAlive(owner)) {
      if (!told) onWait(owner);
      told = true;
      await sleep(200);
    } else {
      await sleep(50); // its owner may just be writing it
      if (readIfThere(lock) === String(owner || '')) rmSync(lock, { force: true });
    }
  }
  try {
    removeLeftovers();
    return await work();
  } finally {
    rmSync(lock, { force: true });
  }
}

/** What an interrupted set-up left behind; an hour is longer than any step takes. */
function removeLeftovers() {
  const folder = join(STATE, 'work');
  for (const name of existsSync(folder) ? readdirSync(folder) : []) {
    const path = join(folder, name);
    if (Date.now() - statSync(path).mtimeMs > 3_600_000) rmSync(path, { recursive: true, force: true });
  }
}

function takeLock(lock) {
  try {
    const handle = openSync(lock, 'wx');
    writeFileSync(handle, String(process.pid));
    closeSync(handle);
    return true;
  } catch (error) {
    if (error.code === 'EEXIST') return false;
    throw notWritable(error);
  }
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

/** Turns a refused write into an error that says who may do it; other errors pass. */
export function notWritable(error) {
  if (!['EACCES', 'EPERM', 'EROFS'].includes(error?.code) || !String(error.path).startsWith(ROOT)) return error;
  return new SetupError(`This user may not write ${error.path ?? ROOT}`, {
    remedy: `Run set-up once as the owner of ${ROOT}, or make a clone of your own.`,
  });
}
