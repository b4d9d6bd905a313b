import { existsSync, realpathSync } from 'node:fs';
import { resolve } from 'node:path';
import { TrellisError } from '../../errors.ts';
import { quote } from '../../ids.ts';

const FILE = 'file://';

/**
 * A component reference as hosts understand it: a file that is there, or an absolute path, becomes `file://` and the whole path; anything
 * else is the name of an image and stays as it is. The file must lie where the host looks for it.
 * @throws TRELLIS_CLI_FILE for a relative path to no file: nobody but this machine could know which one is meant
 */
export function componentReference(text: string): string {
  const path = text.startsWith(FILE) ? text.slice(FILE.length) : text;
  if (path !== '' && existsSync(path)) return `${FILE}${realpathSync(path)}`;
  if (path.startsWith('/')) return `${FILE}${resolve(path)}`;
  if (!/^\.{1,2}(?:\/|$)/.test(path) && path === text) return text;
  throw new TrellisError('TRELLIS_CLI_FILE', {
    message: `there is no file ${quote(path)} here`,
    remedy: 'Name a file that is there; one on the machine of the host by its whole path, beginning with /.',
  });
}
