// Compiles src to dist, and the sample components that are built from source. Each result carries the digest of what it was
// made from, so that a second run only hashes.
import { existsSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { lastLines, runProgram } from './run-program.mjs';
import { SetupError } from './setup-error.mjs';
import { DIST, MODULES, ROOT, digestOf, filesBelow, readIfThere, workFolder, writeWhole } from './tree.mjs';

const STAMP = '.made-from';
const COMPONENTS = join(ROOT, 'components');
const FIVE_MINUTES_MS = 300_000;

/** src → dist. */
export const host = {
  stamp: () =>
    digestOf(ROOT, ['package-lock.json', 'tsconfig.json', ...filesBelow(join(ROOT, 'src')).map((file) => `src/${file}`)]),

  inPlace: () => readIfThere(join(DIST, STAMP)) === host.stamp(),

  async run(node) {
    const stamp = host.stamp();
    const folder = workFolder('dist');
    const compiler = join(MODULES, 'typescript/bin/tsc');
    try {
      const result = await runProgram(node, [compiler, '-p', ROOT, '--outDir', folder], {
        cwd: ROOT,
        timeoutMs: FIVE_MINUTES_MS,
      });
      if (result.code !== 0) {
        throw new SetupError(`src does not compile${result.failure ? `: ${result.failure}` : ''}`, {
          output: lastLines(result.output, 20),
          remedy: 'Correct the source, or return to a commit that compiles.',
        });
      }
      writeFileSync(join(folder, STAMP), stamp);
      replaceFolder(DIST, folder);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
};

/** The components that have a build script, by name. */
export function componentNames() {
  if (!existsSync(COMPONENTS)) return [];
  return readdirSync(COMPONENTS, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && existsSync(join(COMPONENTS, entry.name, 'build.mjs')))
    .map((entry) => entry.name)
    .sort();
}

/** components/<name>/build.mjs → components/<name>/build. */
export const component = {
  stamp(name) {
    const files = filesBelow(join(COMPONENTS, name), (file) => file === 'build');
    return digestOf(join(COMPONENTS, name), files, readIfThere(join(ROOT, 'package-lock.json')));
  },

  inPlace: (name) =>
    readIfThere(join(COMPONENTS, name, 'build', STAMP)) === component.stamp(name) &&
    existsSync(join(COMPONENTS, name, 'build', `${name}.wasm`)),

  async run(name, node) {
    const folder = join(COMPONENTS, name);
    const stamp = component.stamp(name);
    const result = await runProgram(node, [join(folder, 'build.mjs')], { cwd: folder, timeoutMs: FIVE_MINUTES_MS });
    if (result.code !== 0 || !existsSync(join(folder, 'build', `${name}.wasm`))) {
      throw new SetupError(`The component ${name} could not be built${result.failure ? `: ${result.failure}` : ''}`, {
        output: lastLines(result.output, 20),
        remedy: `Run "node components/${name}/build.mjs" by hand to see all it says.`,
      });
    }
    writeWhole(join(folder, 'build', STAMP), stamp);
  },
};

/** Puts `made` where `place` is. A program that runs from the old files keeps those it has loaded. */
function replaceFolder(place, made) {
  const old = `${made}-old`;
  if (existsSync(place)) renameSync(place, old);
  renameSync(made, place);
  rmSync(old, { recursive: true, force: true });
}
