import { lstatSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { WitError } from './wit-error.ts';

/**
 * Paths of a guest below a granted folder. Every step is looked at by itself, so neither `..` nor a symbolic link leads
 * out; the functions are synchronous, so the guest cannot change a step between the look and the use.
 */

const MAX_PATH_CHARS = 4_096;
const MAX_LINKS = 32;

/**
 * Returns the host path for a guest's `path` below the folder `base`, which lies below the granted folder `root`. The last
 * step need not exist. Throws the `wasi:filesystem` error code `not-permitted` for what would leave `base`, `invalid` for
 * an unusable path and `loop` for too many links.
 *
 * @param root absolute host path.
 * @param base steps below `root` that were resolved before; they are looked at again, for they may have been renamed since.
 * @param followLast resolve a symbolic link in the last step; otherwise the link itself is meant.
 */
export function resolveBelow(root: string, base: string, path: string, followLast: boolean): string {
  if (path === '' || path.length > MAX_PATH_CHARS || path.includes('\0')) throw new WitError('invalid');
  const steps: string[] = [];
  const links = { left: MAX_LINKS };
  walk(root, splitPath(base), steps, 0, links, true);
  walk(root, splitPath(path), steps, steps.length, links, followLast);
  return join(root, ...steps);
}

/** Adds `todo` to `steps` without ever going above `floor`. */
function walk(root: string, todo: string[], steps: string[], floor: number, links: { left: number }, followLast: boolean): void {
  while (todo.length > 0) {
    const step = todo.shift()!;
    if (step === '' || step === '.') continue;
    if (step === '..') {
      if (steps.length <= floor) throw new WitError('not-permitted');
      steps.pop();
      continue;
    }
    const target = todo.length > 0 || followLast ? linkTarget(join(root, ...steps, step)) : undefined;
    if (target === undefined) {
      steps.push(step);
      continue;
    }
    links.left -= 1;
    if (links.left < 0) throw new WitError('loop');
    todo.unshift(...splitPath(target));
  }
}

function splitPath(path: string): string[] {
  // A backslash would be a separator on another platform, and is one in no guest's path.
  if (path.startsWith('/') || path.includes('\\')) throw new WitError('not-permitted');
  return path.split('/');
}

function linkTarget(path: string): string | undefined {
  try {
    return lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() ? readlinkSync(path) : undefined;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    throw new WitError(code === 'ENOTDIR' ? 'not-directory' : code === 'ENAMETOOLONG' ? 'name-too-long' : 'access');
  }
}
