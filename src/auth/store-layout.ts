import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { TrellisError } from '../errors.ts';
import { quote } from '../ids.ts';

/**
 * Where things are in a store, as `nsc` lays it out. `nsc -H DIR` has operators, keys and creds side by side in DIR, and so has a
 * store that Trellis makes; without the flag `nsc` has operators in `stores` and the other two in `keys`, below its data folder.
 */
export interface StoreLayout {
  /** A folder for each operator. */
  readonly operatorsDir: string;
  readonly keysDir: string;
  readonly credsDir: string;
}

/** The layout of the store at `dir`; the side-by-side one for a folder that holds no store yet. */
export function layoutOf(dir: string): StoreLayout {
  if (existsSync(join(dir, 'stores'))) {
    return { operatorsDir: join(dir, 'stores'), keysDir: join(dir, 'keys', 'keys'), credsDir: join(dir, 'keys', 'creds') };
  }
  return { operatorsDir: dir, keysDir: join(dir, 'keys'), credsDir: join(dir, 'creds') };
}

/** Names of the operators in a store, sorted. */
export function operatorsIn({ operatorsDir }: StoreLayout): string[] {
  return foldersIn(operatorsDir).filter((name) => existsSync(join(operatorsDir, name, '.nsc')));
}

/** Names of the folders in `dir`, sorted; none if it does not exist. */
export function foldersIn(dir: string): string[] {
  return namesIn(dir, (entry) => entry.isDirectory());
}

/** Names of the `.jwt` files in `dir` without the ending, sorted; none if it does not exist. */
export function jwtNamesIn(dir: string): string[] {
  return namesIn(dir, (entry) => entry.isFile() && entry.name.endsWith('.jwt')).map((name) => name.slice(0, -'.jwt'.length));
}

function namesIn(dir: string, wanted: (entry: { name: string; isDirectory(): boolean; isFile(): boolean }) => boolean): string[] {
  try {
    const entries = readdirSync(dir, { withFileTypes: true });
    return entries
      .filter(wanted)
      .map(({ name }) => name)
      .sort();
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === 'ENOENT') return [];
    throw new TrellisError('TRELLIS_AUTH_STORE', {
      message: `${dir} cannot be read (${String(code)})`,
      remedy: 'Run this as the user who owns the store.',
      cause,
    });
  }
}

/** Returns `name` if it can be the name of a file: other tools allow blanks and dots in the names of accounts and users. @throws TRELLIS_AUTH_UNKNOWN */
export function fileName(what: string, name: string): string {
  // oxlint-disable-next-line no-control-regex -- control characters have no place in a file name either
  if (name.length > 0 && name.length <= 200 && !/[/\\\u0000-\u001f]/.test(name) && !name.startsWith('.')) return name;
  throw new TrellisError('TRELLIS_AUTH_UNKNOWN', { message: `There can be no ${what} called ${quote(name)}` });
}

/** Refuses a store that others could change. @throws TRELLIS_AUTH_STORE */
export function checkStoreDir(dir: string): void {
  let mode: number;
  try {
    mode = statSync(dir).mode;
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new TrellisError('TRELLIS_AUTH_STORE', {
      message: code === 'ENOENT' ? `There is no store at ${dir}` : `The store ${dir} cannot be read (${String(code)})`,
      cause,
    });
  }
  if (process.platform === 'win32' || (mode & 0o022) === 0) return;
  throw new TrellisError('TRELLIS_AUTH_STORE', {
    message: `Other users of this machine can change the store ${dir}`,
    remedy: `chmod 700 ${dir}, and check what is in it.`,
  });
}
