import { readFileSync } from 'node:fs';
import { TrellisError } from '../errors.ts';

/** The text of a file that was named on the command line. @throws TRELLIS_CLI_FILE */
export function readTextFile(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new TrellisError('TRELLIS_CLI_FILE', { message: `${file} cannot be read (${String(code)})`, cause });
  }
}
