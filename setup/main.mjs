import { join } from 'node:path';
import { check } from './check.mjs';
import { handOver } from './hand-over.mjs';
import { install, makeImage } from './install.mjs';
import { describe } from './setup-error.mjs';
import { setUp } from './set-up.mjs';
import { DIST, MODULES, ROOT } from './tree.mjs';

const CLI = join(DIST, 'cli/main.js');
// Commands that run a lattice of their own; the others work without a nats-server.
const NEEDS_SERVER = new Set(['up', 'demo', 'bench', 'bench-flood', 'bench-lattice', 'bench-trust']);

const COMMANDS = {
  setup: { quiet: false, withNatsServer: true, run: () => {} },
  up: { quiet: false, withNatsServer: true, run: (node, args) => handOver(node, [CLI, 'up', ...args]) },
  test: {
    quiet: false,
    withNatsServer: true,
    withRegistry: true,
    run: (node, args) => handOver(node, [join(MODULES, 'vitest/vitest.mjs'), 'run', ...args]),
  },
  demo: { quiet: true, withNatsServer: true, run: (node, args) => handOver(node, [CLI, 'demo', ...args]) },
  'demo-attacks': { quiet: true, withNatsServer: true, run: (node, args) => handOver(node, [CLI, 'demo', 'attacks', ...args]) },
  bench: { quiet: true, withNatsServer: true, run: (node, args) => handOver(node, [CLI, 'bench', ...args]) },
  'bench-trust': { quiet: true, withNatsServer: true, run: (node, args) => handOver(node, [CLI, 'bench-trust', ...args]) },
  'bench-lattice': { quiet: true, withNatsServer: true, run: (node, args) => handOver(node, [CLI, 'bench-lattice', ...args]) },
  'bench-flood': { quiet: true, withNatsServer: true, run: (node, args) => handOver(node, [CLI, 'bench-flood', ...args]) },
  // A file named on the command line is meant from where the person is, not from npm's folder.
  trellis: {
    quiet: true,
    withNatsServer: undefined,
    run: (node, args) => handOver(node, [CLI, ...args], { cwd: process.env.INIT_CWD ?? ROOT }),
  },
  docs: { quiet: true, withNatsServer: false, run: (node) => handOver(node, [join(ROOT, 'setup/generate-docs.mjs')]) },
  mutation: {
    quiet: true,
    withNatsServer: false,
    run: (node, args) =>
      handOver(node, [join(MODULES, '@stryker-mutator/core/bin/stryker.js'), 'run', 'test/mutation/stryker.config.mjs', ...args]),
  },
  check: { quiet: true, withNatsServer: false, run: check },
  install: { quiet: false, withNatsServer: false, run: (_node, [folder]) => install(folder) },
  // For the Dockerfile.
  image: { quiet: false, withNatsServer: false, run: (_node, [folder, ...configs]) => makeImage(folder, configs) },
};

/** Runs one command; ends the process with its exit code. */
export async function main([name, ...args]) {
  const command = COMMANDS[name];
  if (command === undefined) {
    process.stderr.write(`usage: node setup/run.mjs ${Object.keys(COMMANDS).join('|')} [arguments]\n`);
    process.exitCode = 2;
    return;
  }
  process.chdir(ROOT);
  try {
    const withNatsServer = command.withNatsServer ?? NEEDS_SERVER.has(args[0]);
    const { node } = await setUp({ quiet: command.quiet, withNatsServer, withRegistry: command.withRegistry });
    await command.run(node, args);
  } catch (error) {
    process.stderr.write(`\nSet-up stopped. ${describe(error)}\n`);
    process.exitCode = 1;
  }
}
