import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { handOver } from './hand-over.mjs';
import { findNode, runningNodeIsEnough } from './own-node.mjs';
import { describe } from './setup-error.mjs';
import { setUp } from './set-up.mjs';
import { DIST, isSourceTree } from './tree.mjs';

/**
 * Runs a program of `dist` with this process' arguments, as bin/trellis.js and host.js do: in this process when its Node is
 * new enough, else under Trellis' own. In a clone, missing set-up is done first and quietly.
 *
 * @param {string} program path below dist
 * @param {{ withNatsServer: boolean }} options
 */
export async function launch(program, { withNatsServer }) {
  try {
    const sourceTree = isSourceTree();
    const node = sourceTree ? (await setUp({ quiet: true, withNatsServer })).node : undefined;
    const file = join(DIST, program);
    if (!existsSync(file)) throw new Error(`${file} is missing: this copy of Trellis is incomplete, install it again`);
    if (runningNodeIsEnough()) {
      process.argv[1] = file;
      await import(pathToFileURL(file).href);
    } else {
      await handOver(node ?? (await findNode()).path, [file, ...process.argv.slice(2)]);
    }
  } catch (error) {
    process.stderr.write(`trellis: ${describe(error)}\n`);
    process.exitCode = 1;
  }
}
