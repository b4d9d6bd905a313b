import type { Stats } from 'node:fs';
import { toDatetime } from './clocks.ts';
import { WitError } from './wit-error.ts';

/** What the system says of files, in the words of `wasi:filesystem`. */

/** POSIX error names and the WIT error codes that stand for them. */
const CODES: Readonly<Record<string, string>> = {
  EACCES: 'access',
  EBADF: 'bad-descriptor',
  EBUSY: 'busy',
  EDQUOT: 'quota',
  EEXIST: 'exist',
  EFBIG: 'file-too-large',
  EINVAL: 'invalid',
  EISDIR: 'is-directory',
  ELOOP: 'loop',
  EMFILE: 'insufficient-memory',
  EMLINK: 'too-many-links',
  ENAMETOOLONG: 'name-too-long',
  ENOENT: 'no-entry',
  ENOSPC: 'insufficient-space',
  ENOTDIR: 'not-directory',
  ENOTEMPTY: 'not-empty',
  EPERM: 'not-permitted',
  EROFS: 'read-only',
  EXDEV: 'cross-device',
  ERR_ACCESS_DENIED: 'access',
};

/** Runs a file operation; its failure becomes the error code of the WIT result. */
export function attempt<T>(operation: () => T): T {
  try {
    return operation();
  } catch (error) {
    if (error instanceof WitError) throw error;
    throw new WitError(CODES[(error as NodeJS.ErrnoException).code ?? ''] ?? 'io');
  }
}

/** Returns the `descriptor-type` of a file or folder entry. */
export function typeOf(entry: Pick<Stats, 'isFile' | 'isDirectory' | 'isSymbolicLink'>): string {
  if (entry.isFile()) return 'regular-file';
  if (entry.isDirectory()) return 'directory';
  return entry.isSymbolicLink() ? 'symbolic-link' : 'unknown';
}

/** Returns a `descriptor-stat`. */
export function describe(stat: Stats): object {
  return {
    type: typeOf(stat),
    linkCount: BigInt(stat.nlink),
    size: BigInt(stat.size),
    dataAccessTimestamp: toDatetime(stat.atimeMs),
    dataModificationTimestamp: toDatetime(stat.mtimeMs),
    statusChangeTimestamp: toDatetime(stat.ctimeMs),
  };
}

/** Equal for one unchanged file, as WASI asks; tells nothing of the machine beyond that. */
export function hash(stat: Stats): { lower: bigint; upper: bigint } {
  return { lower: BigInt(stat.ino), upper: BigInt(Math.floor(stat.mtimeMs * 1_000)) ^ (BigInt(stat.size) << 20n) };
}

/** Returns a size or offset as a number. Throws the error code `file-too-large` beyond what a file can have. */
export function toNumber(value: bigint): number {
  if (value > Number.MAX_SAFE_INTEGER) throw new WitError('file-too-large');
  return Number(value);
}
