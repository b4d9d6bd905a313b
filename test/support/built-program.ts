import { dirname, join, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Plugin } from 'vitest/config';
import { importSetup } from './setup-modules.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const SRC = join(ROOT, 'src') + sep;
const DIST = join(ROOT, 'dist') + sep;

/** The program as users run it: its parts by their names in `src`. */
export const builtFile = (path: string): string => join(DIST, path.replace(/\.ts$/, '.js'));

/** Where Node keeps what it has compiled, for programs that tests start by the hundred. */
export const COMPILE_CACHE = join(ROOT, '.trellis', 'compile-cache');

/**
 * Has a project's tests load `dist` wherever they import `src`. What they start is then what users start, and each process begins in a
 * third of the time: Node need not strip types from two hundred files first.
 */
export const testsBuiltProgram: Plugin = {
  name: 'built-program',
  enforce: 'pre',
  resolveId(source, importer) {
    if (importer === undefined || !source.startsWith('.')) return null;
    const file = resolve(dirname(importer), source);
    return file.startsWith(SRC) && file.endsWith('.ts') ? { id: builtFile(file.slice(SRC.length)), external: true } : null;
  },
};

/** Called once before such tests: builds `dist` if `src` has changed. */
export async function setup(): Promise<void> {
  const { host } = await importSetup('build.mjs');
  const { alone } = await importSetup('tree.mjs');
  await alone(
    () => undefined,
    async () => {
      if (!host.inPlace()) await host.run(process.execPath);
    },
  );
}
