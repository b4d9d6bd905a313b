import { existsSync, realpathSync } from 'node:fs';
import { resolve } from 'node:path';

const FILE = 'file://';

/**
 * A component reference as hosts understand it: a file that is there, or an absolute path, becomes `file://` and the whole path; anything
 * else is the name of an image and stays as it is. The file must lie where the host looks for it.
 */
export function componentReference(text: string): string {
  const path = text.startsWith(FILE) ? text.slice(FILE.length) : text;
  if (existsSync(path)) return `${FILE}${realpathSync(path)}`;
  return path.startsWith('/') ? `${FILE}${resolve(path)}` : text;
}
