// Copies what runs out of a tree that is set up: `node setup/run.mjs install <folder>` for a machine, and
// `node setup/run.mjs image <folder> <host configuration>…` for the build stage of the Dockerfile. Tests run both, to start the very same
// files.
//
// What is left out: compilers, tests, set-up, everything that no program reads at run time; of an image also jco, for the
// components of its configurations are translated here.
import { chmodSync, copyFileSync, existsSync, linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { ownNodePath } from './own-node.mjs';
import { lastLines, runProgram } from './run-program.mjs';
import { SetupError } from './setup-error.mjs';
import { DIST, ROOT, filesBelow } from './tree.mjs';

const TRANSLATOR = '@bytecodealliance/jco-transpile';
const READ_AT_RUN_TIME = /(?:\.(?:[cm]?js|json|wasm)|(?:^|\/)(?:LICENSE|LICENCE|NOTICE)[^/]*)$/i;
const NEVER = /(?:^|\/)(?:test|tests|docs|benchmarks?|examples?)\/|\.(?:test|bench)\.js$/;

/**
 * Copies what a host needs to run into `folder`: `bin/node`, `bin/trellis`, the program, its dependencies, configurations, permission
 * templates and documents, but no tools to build it. The tree must be set up. Modes are those of files that everybody may read and
 * nobody may write but their owner.
 *
 * @param {string | undefined} folder an absent or empty folder
 */
export async function install(folder) {
  const node = needed(folder);
  putProgram(folder, { translator: true });
  mkdirSync(join(folder, 'bin'), { recursive: true });
  linkOrCopy(node, join(folder, 'bin/node'));
  const here = '$(dirname -- "$(readlink -f -- "$0")")';
  writeFileSync(join(folder, 'bin/trellis'), `#!/bin/sh\nhere=${here}\nexec "$here/node" "$here/../dist/cli/main.js" "$@"\n`, {
    mode: 0o755,
  });
  for (const file of filesBelow(join(ROOT, 'docs'))) put(join(ROOT, 'docs', file), join(folder, 'docs', file));
}

/**
 * Fills `folder` with `app`, `usr/local/bin/node` and `usr/local/bin/trellis`, and translates the components of `configs`.
 *
 * @param {string | undefined} folder an absent or empty folder
 * @param {string[]} configs host configurations whose components are translated
 */
export async function makeImage(folder, configs) {
  const node = needed(folder);
  const app = join(folder, 'app');
  putProgram(app, { translator: false });
  const bin = join(folder, 'usr/local/bin');
  mkdirSync(bin, { recursive: true });
  linkOrCopy(node, join(bin, 'node'));
  writeFileSync(join(bin, 'trellis'), '#!/bin/sh\nexec /usr/local/bin/node /app/dist/cli/main.js "$@"\n', { mode: 0o755 });

  const cache = join(app, 'translated');
  for (const config of configs) {
    const args = [join(DIST, 'cli/main.js'), 'translate', '--config', config, '--cache-dir', cache];
    const result = await runProgram(node, args, { timeoutMs: 900_000 });
    if (result.code !== 0) {
      throw new SetupError(`The components of ${config} could not be translated`, { output: lastLines(result.output, 12) });
    }
  }
  // The cache is written for one user alone; in an image it belongs to root, and the host's user reads it.
  for (const file of existsSync(cache) ? filesBelow(cache) : []) {
    chmodSync(join(cache, file), 0o644);
    chmodSync(join(cache, dirname(file)), 0o755);
  }
  if (existsSync(cache)) chmodSync(cache, 0o755);
}

/** Trellis' own Node, once it is clear where to. */
function needed(folder) {
  // Another user will read it, whatever the habits of the one who installs.
  process.umask(0o022);
  const node = ownNodePath();
  if (folder !== undefined && node !== undefined) return node;
  throw new SetupError(folder === undefined ? 'No folder is named' : 'There is no package with Node for this platform', {
    remedy: 'Run node setup/run.mjs install|image <folder> on Linux, x64 or arm64.',
  });
}

/** The program with its dependencies, configurations and samples. */
function putProgram(app, { translator }) {
  for (const file of ['package.json', 'LICENSE']) put(join(ROOT, file), join(app, file));
  for (const file of filesBelow(DIST)) if (file.endsWith('.js')) put(join(DIST, file), join(app, 'dist', file));
  // Of the translator one file is used, and nothing that it depends on: src/component/transpile.ts.
  for (const path of [...packagesAtRunTime(), ...(translator ? [`node_modules/${TRANSLATOR}`] : [])]) {
    const from = join(ROOT, path);
    for (const file of filesBelow(from, (name) => name === 'node_modules')) {
      if (READ_AT_RUN_TIME.test(file) && !NEVER.test(file)) put(join(from, file), join(app, path, file));
    }
  }
  for (const file of filesBelow(join(ROOT, 'config'))) put(join(ROOT, 'config', file), join(app, 'config', file));
  const samples = filesBelow(join(ROOT, 'components'), (name) => name === 'hostile' || name === 'tiny.wasm');
  for (const file of samples) if (file.endsWith('.wasm')) put(join(ROOT, 'components', file), join(app, 'components', file));
}

function put(from, to) {
  mkdirSync(dirname(to), { recursive: true, mode: 0o755 });
  copyFileSync(from, to);
  chmodSync(to, 0o644);
}

/** Folders (`node_modules/…`) of the packages that a host loads: the dependencies and theirs, without the translator. */
function packagesAtRunTime() {
  const { packages } = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8'));
  const found = new Set();
  const visit = (from, name) => {
    let folder = from;
    let path;
    // As Node looks for it: below the package that wants it first, then further out.
    for (;;) {
      path = `${folder === '' ? '' : `${folder}/`}node_modules/${name}`;
      if (packages[path] !== undefined) break;
      if (folder === '') throw new Error(`package-lock.json has no ${name}, which ${from || 'Trellis'} needs`);
      folder = folder.slice(0, Math.max(0, folder.lastIndexOf('/node_modules/')));
    }
    if (found.has(path)) return;
    found.add(path);
    for (const next of Object.keys(packages[path].dependencies ?? {})) visit(path, next);
  };
  for (const name of Object.keys(packages[''].dependencies)) if (name !== TRANSLATOR) visit('', name);
  return [...found];
}

/** Node is 150 MB: a second name for it where that is possible. */
function linkOrCopy(from, to) {
  rmSync(to, { force: true });
  try {
    linkSync(from, to);
  } catch {
    copyFileSync(from, to);
    chmodSync(to, 0o755);
  }
}
