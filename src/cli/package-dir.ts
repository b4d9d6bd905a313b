import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The folder of this package: a clone, or the installed one. */
export const packageDir: string = fileURLToPath(new URL('../..', import.meta.url)).replace(/[/\\]$/, '');

/** How a person calls this program: through npm in a clone (which does missing set-up first), by its own name otherwise. */
export const typedCommand: string = existsSync(join(packageDir, 'src')) ? 'npm run trellis --' : 'trellis';
