// Puts the files of the container image into a folder: `node setup/run.mjs image <folder> <host configuration>…`. The Dockerfile
// runs it in its build stage, and a test runs it to start the very same files without a container engine.
//
// What is left out: jco and binaryen (the components of the configurations are translated here), compilers, tests, set-up,
// everything that no program reads at run time.
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
 * Fills `folder` with `app`, `usr/local/bin/node` and `usr/local/bin/trellis`. The tree must be set up. Modes are those of files that
 * everybody may read and nobody may write but their owner.
 *
 * @param {string} folder an absent or empty folder
 * @param {string[]} configs host configurations whose components are translated
 */
export async function makeImage(folder, configs) {
  const node = ownNodePath();
  if (folder === undefined || node === undefined) {
    throw new SetupError(folder === undefined ? 'No folder is named' : 'There is no package with Node for this platform', {
      remedy: 'Run node setup/run.mjs image <folder> <host configuration>… on Linux, x64 or arm64.',
    });
  }
  const app = join(folder, 'app');
  const put = (from, to) => {
    mkdirSync(dirname(to), { recursive: true });
    copyFileSync(from, to);
    chmodSync(to, 0o644);
  };
  const bin = join(folder, 'usr/local/bin');
  mkdirSync(bin, { recursive: true });
  linkOrCopy(node, join(bin, 'node'));
  writeFileSync(join(bin, 'trellis'), '#!/bin/sh\nexec /usr/local/bin/node /app/dist/cli/main.js "$@"\n', { mode: 0o755 });

  for (const file of ['package.json', 'LICENSE']) put(join(ROOT, file), join(app, file));
  for (const file of filesBelow(DIST)) if (file.endsWith('.js')) put(join(DIST, file), join(app, 'dist', file));
  for (const path of packagesAtRunTime()) {
    const from = join(ROOT, path);
    for (const file of filesBelow(from, (name) => name === 'node_modules')) {
      if (READ_AT_RUN_TIME.test(file) && !NEVER.test(file)) put(join(from, file), join(app, path, file));
    }
  }
  for (const file of filesBelow(join(ROOT, 'config'))) put(join(ROOT, 'config', file), join(app, 'config', file));
  const samples = filesBelow(join(ROOT, 'components'), (name) => name === 'hostile' || name === 'tiny.wasm');
  for (const file of samples) if (file.endsWith('.wasm')) put(join(ROOT, 'components', file), join(app, 'components', file));

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
