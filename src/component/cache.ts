import { createHash, randomBytes } from 'node:crypto';
import type { Stats } from 'node:fs';
import { lstat, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ComponentTypes } from '../wit/types.ts';
import { TrellisError } from '../errors.ts';

/**
 * What was made of components, on disk. One folder an entry, named by a hash of everything that decides its content; a manifest
 * with the hash of each file, checked every time an entry is used; written beside its place and renamed into it.
 */

/** `manifest.json` of an entry, whatever is in it. */
export interface Manifest {
  readonly format: 1;
  readonly key: string;
  /** `sha256:<hex>` of what it was made of. */
  readonly digest: string;
  readonly jcoVersion: string;
  /** SHA-256 (hex) of every file but the manifest. */
  readonly files: Readonly<Record<string, string>>;
}

/** That of a translated component. */
export interface Translation extends Manifest {
  readonly patchVersion: number;
  readonly asyncMode: 'sync' | 'jspi';
  readonly options: Readonly<Record<string, unknown>>;
  /** Keys of the imports object that `instantiate` reads. */
  readonly imports: readonly string[];
  readonly types: ComponentTypes;
}

/** A verified entry. */
export interface CacheEntry<M extends Manifest> {
  readonly dir: string;
  readonly manifestPath: string;
  readonly manifest: M;
}

/** The file that an entry cannot be without: the program of a translated component, a core module as a component. */
export type MainFile = 'c.js' | 'component.wasm';

const PARTIAL = '.partial-';
/** No translation takes this long. */
const ABANDONED_MS = 3_600_000;
const MANIFEST = 'manifest.json';
const FILE_NAME = /^(?:c\.js|c\.core[0-9]*\.wasm|package\.json|component\.wasm)$/;

/** Returns the name of an entry: the hash of what decides its content. Callers give the parts in one fixed order. */
export function cacheKey(parts: Readonly<Record<string, unknown>>): string {
  return sha256(JSON.stringify(parts));
}

/** True for the only file names an entry may hold beside its manifest. */
export function isEntryFile(name: string): boolean {
  return FILE_NAME.test(name);
}

/**
 * Returns the entry `key` with every file verified, or `undefined` if there is none or any byte of it differs.
 *
 * @throws TRELLIS_COMPONENT_CACHE when somebody else could have written it.
 */
export async function readEntry<M extends Manifest>(
  cacheDir: string,
  key: string,
  main: MainFile,
): Promise<CacheEntry<M> | undefined> {
  const dir = join(cacheDir, key);
  const found = await lstat(dir).catch(() => undefined);
  if (found === undefined) return undefined;
  checkOwner(dir, found);
  try {
    const manifest = JSON.parse(await readFile(join(dir, MANIFEST), 'utf8')) as M;
    if (manifest.format !== 1 || manifest.key !== key) return undefined;
    const names = Object.keys(manifest.files);
    if (!names.includes(main) || !names.every(isEntryFile)) return undefined;
    for (const name of names) {
      if (sha256(await readFile(join(dir, name))) !== manifest.files[name]) return undefined;
    }
    return { dir, manifestPath: join(dir, MANIFEST), manifest };
  } catch {
    return undefined;
  }
}

/**
 * Writes an entry and returns it as {@link readEntry} sees it. A broken entry of the same name is replaced; if another
 * process was faster, its entry stays.
 *
 * @throws TRELLIS_COMPONENT_CACHE when the folder cannot be written or belongs to somebody else.
 */
export async function writeEntry<M extends Manifest>(
  cacheDir: string,
  main: MainFile,
  manifest: Omit<M, 'format' | 'files'> & Pick<Manifest, 'key'>,
  files: readonly (readonly [name: string, bytes: Uint8Array])[],
): Promise<CacheEntry<M>> {
  const partial = join(cacheDir, `${PARTIAL}${randomBytes(8).toString('hex')}`);
  try {
    await mkdir(cacheDir, { recursive: true, mode: 0o700 });
    checkOwner(cacheDir, await lstat(cacheDir));
    await removeAbandoned(cacheDir);
    await mkdir(partial, { mode: 0o700 });
    const hashes: Record<string, string> = {};
    for (const [name, bytes] of files) {
      if (!isEntryFile(name))
        throw new TrellisError('TRELLIS_INTERNAL', { message: 'unexpected file name for the component cache' });
      await writeFile(join(partial, name), bytes, { mode: 0o600, flag: 'wx' });
      hashes[name] = sha256(bytes);
    }
    const complete = { format: 1, ...manifest, files: hashes };
    await writeFile(join(partial, MANIFEST), `${JSON.stringify(complete)}\n`, { mode: 0o600, flag: 'wx' });
    return await moveIntoPlace<M>(cacheDir, partial, manifest.key, main);
  } catch (cause) {
    await rm(partial, { recursive: true, force: true }).catch(() => undefined);
    if (cause instanceof TrellisError) throw cause;
    throw unusable(cacheDir, `cannot be written (${(cause as NodeJS.ErrnoException).code ?? 'unknown reason'})`, cause);
  }
}

/** Removes what a process that died while writing has left behind. */
async function removeAbandoned(cacheDir: string): Promise<void> {
  for (const name of await readdir(cacheDir)) {
    if (!name.startsWith(PARTIAL)) continue;
    const path = join(cacheDir, name);
    const stat = await lstat(path).catch(() => undefined);
    if (stat !== undefined && Date.now() - stat.mtimeMs > ABANDONED_MS) await rm(path, { recursive: true, force: true });
  }
}

async function moveIntoPlace<M extends Manifest>(
  cacheDir: string,
  partial: string,
  key: string,
  main: MainFile,
): Promise<CacheEntry<M>> {
  const dir = join(cacheDir, key);
  for (let attempt = 0; attempt < 3; attempt += 1) {
    try {
      await rename(partial, dir);
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      if (code !== 'ENOTEMPTY' && code !== 'EEXIST') throw error;
      const other = await readEntry<M>(cacheDir, key, main);
      if (other === undefined) {
        await rm(dir, { recursive: true, force: true });
        continue;
      }
      await rm(partial, { recursive: true, force: true });
      return other;
    }
    const entry = await readEntry<M>(cacheDir, key, main);
    if (entry !== undefined) return entry;
    throw unusable(cacheDir, 'returned other bytes than were written');
  }
  throw unusable(cacheDir, 'is being changed by another process');
}

/** An entry is code that will run: only this user may be able to write it, and root, who can do anything anyway (an image is root's). */
function checkOwner(path: string, stat: Stats): void {
  if (!stat.isDirectory()) throw unusable(path, 'is not a folder');
  if (process.getuid === undefined) return;
  if (stat.uid !== process.getuid() && stat.uid !== 0) throw unusable(path, 'belongs to another user');
  if ((stat.mode & 0o022) !== 0) throw unusable(path, 'can be written by other users');
}

function unusable(path: string, why: string, cause?: unknown): TrellisError {
  return new TrellisError('TRELLIS_COMPONENT_CACHE', {
    message: `the component cache ${path} ${why}`,
    details: { path },
    ...(cause === undefined ? {} : { cause }),
  });
}

function sha256(data: Uint8Array | string): string {
  return createHash('sha256').update(data).digest('hex');
}
