import { createHash, randomBytes } from 'node:crypto';
import { constants, lstat, mkdir, open, readdir, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * What came from registries, on disk: each file named by its own digest and checked against it whenever it is used, so nothing that
 * somebody changed there can run. Beside them, which manifest a tag meant when its registry was last asked. Nothing here throws: a
 * cache that cannot be used costs a download.
 */

const PARTIAL = '.partial-';
const BLOB = /^sha256-[0-9a-f]{64}$/;
const DIGEST = /^sha256:[0-9a-f]{64}$/;
/** No file takes this long to write. */
const ABANDONED_MS = 3_600_000;
const MAX_TAG_BYTES = 4_096;

/** A folder of artifacts. */
export class BlobCache {
  readonly #dir: string;
  readonly #maxBytes: number;
  readonly #warn: (message: string) => void;
  #evicting: Promise<void> = Promise.resolve();

  /**
   * @param dir the folder; made when something is written.
   * @param maxBytes room for all files together; nothing is kept if 0.
   * @param warn gets a sentence when the folder cannot be used.
   */
  constructor(dir: string, maxBytes: number, warn: (message: string) => void) {
    this.#dir = dir;
    this.#maxBytes = maxBytes;
    this.#warn = warn;
  }

  /** The bytes of a digest; `undefined` if they are not there, not right, or more than `maxBytes`. What is not right is removed. */
  async read(digest: string, maxBytes: number): Promise<Buffer | undefined> {
    if (!DIGEST.test(digest)) return undefined;
    const path = this.#pathOf(digest);
    const bytes = await readBounded(path, maxBytes);
    if (bytes === undefined) return undefined;
    if (sha256(bytes) !== digest) {
      this.#warn(`${path} does not hold what its name says; it is fetched again`);
      await rm(path, { force: true }).catch(() => undefined);
      return undefined;
    }
    const now = new Date();
    await utimes(path, now, now).catch(() => undefined);
    return bytes;
  }

  /** Keeps bytes whose digest was checked. */
  async write(digest: string, bytes: Uint8Array): Promise<void> {
    if (bytes.length > this.#maxBytes || !DIGEST.test(digest)) return;
    if (!(await this.#put(this.#pathOf(digest), bytes))) return;
    this.#evicting = this.#evicting.then(() => this.#evict(digest));
    await this.#evicting;
  }

  /** Digest of the manifest that a tag meant when it was last asked for. */
  async readTag(image: string): Promise<string | undefined> {
    // Unlike a blob this proves nothing by itself: only what this user alone could write counts.
    if (!(await this.#isOurs())) return undefined;
    const text = await readBounded(this.#tagPath(image), MAX_TAG_BYTES);
    try {
      const value = JSON.parse(text?.toString('utf8') ?? 'null') as { image?: unknown; digest?: unknown } | null;
      const { image: of, digest } = value ?? {};
      return of === image && typeof digest === 'string' && DIGEST.test(digest) ? digest : undefined;
    } catch {
      return undefined;
    }
  }

  /** Remembers what a tag means now. */
  async writeTag(image: string, digest: string): Promise<void> {
    if (this.#maxBytes === 0) return;
    await this.#put(this.#tagPath(image), Buffer.from(JSON.stringify({ image, digest })));
  }

  async #put(path: string, bytes: Uint8Array): Promise<boolean> {
    const partial = join(this.#dir, `${PARTIAL}${randomBytes(8).toString('hex')}`);
    try {
      await mkdir(this.#dir, { recursive: true, mode: 0o700 });
      await writeFile(partial, bytes, { mode: 0o600, flag: 'wx', flush: true });
      await rename(partial, path);
      return true;
    } catch (error) {
      await rm(partial, { force: true }).catch(() => undefined);
      this.#warn(`nothing can be kept in ${this.#dir} (${(error as NodeJS.ErrnoException).code ?? 'unknown reason'})`);
      return false;
    }
  }

  async #isOurs(): Promise<boolean> {
    const found = await lstat(this.#dir).catch(() => undefined);
    if (found === undefined || !found.isDirectory()) return false;
    if (process.getuid === undefined) return true;
    return found.uid === process.getuid() && (found.mode & 0o022) === 0;
  }

  /** Makes room: what was not used for longest goes first, never what was just written. */
  async #evict(keep: string): Promise<void> {
    try {
      const files: { path: string; bytes: number; usedMs: number }[] = [];
      for (const name of await readdir(this.#dir)) {
        const path = join(this.#dir, name);
        const { size, mtimeMs } = await stat(path);
        if (name.startsWith(PARTIAL) && Date.now() - mtimeMs > ABANDONED_MS) await rm(path, { force: true });
        if (BLOB.test(name) && path !== this.#pathOf(keep)) files.push({ path, bytes: size, usedMs: mtimeMs });
        else if (BLOB.test(name)) files.push({ path, bytes: size, usedMs: Number.POSITIVE_INFINITY });
      }
      let total = files.reduce((sum, { bytes }) => sum + bytes, 0);
      for (const { path, bytes, usedMs } of files.sort((a, b) => a.usedMs - b.usedMs)) {
        if (total <= this.#maxBytes || usedMs === Number.POSITIVE_INFINITY) break;
        await rm(path, { force: true });
        total -= bytes;
      }
    } catch {
      // Another process of this user makes room at the same time.
    }
  }

  #pathOf(digest: string): string {
    return join(this.#dir, digest.replace(':', '-'));
  }

  #tagPath(image: string): string {
    return join(this.#dir, `tag-${createHash('sha256').update(image).digest('hex')}.json`);
  }
}

/** Returns `sha256:<hex>` of `bytes`. */
export function sha256(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

async function readBounded(path: string, maxBytes: number): Promise<Buffer | undefined> {
  try {
    // The flags keep a link or a pipe that somebody put there from leading elsewhere, or to nowhere.
    const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
    const file = await open(path, O_RDONLY | (O_NOFOLLOW ?? 0) | (O_NONBLOCK ?? 0));
    try {
      const found = await file.stat();
      if (!found.isFile() || found.size > maxBytes) return undefined;
      const bytes = Buffer.allocUnsafeSlow(found.size);
      let length = 0;
      while (length < bytes.length) {
        const { bytesRead } = await file.read(bytes, length, bytes.length - length, length);
        if (bytesRead === 0) return undefined;
        length += bytesRead;
      }
      return bytes;
    } finally {
      await file.close();
    }
  } catch {
    return undefined;
  }
}
