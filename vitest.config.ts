import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';
import { COMPILE_CACHE, testsBuiltProgram } from './test/support/built-program.ts';

// For the processes that run the tests.
process.env['NODE_COMPILE_CACHE'] ??= COMPILE_CACHE;

/**
 * One project a folder: `unit` touches no I/O, the others start real servers and processes. Their times end what hangs. They say nothing
 * of how long anything may take: the machine may have other work.
 */
const suite = (name: string, timeoutMs: number) => ({
  test: {
    name,
    include: [`test/${name}/**/*.test.ts`],
    testTimeout: timeoutMs,
    hookTimeout: timeoutMs,
    expect: { poll: { timeout: timeoutMs / 3, interval: 20 } },
    pool: 'forks' as const,
  },
});

/** A suite that runs what users run. */
const built = (name: string) => {
  const { test } = suite(name, 240_000);
  return {
    plugins: [testsBuiltProgram],
    test: { ...test, globalSetup: ['test/support/built-program.ts'], server: { deps: { external: [/\/dist\//] } } },
  };
};

/** One process after the other would load the same modules; nothing in these tests outlives its test. */
const unit = { test: { ...suite('unit', 30_000).test, isolate: false } };

export default defineConfig({
  test: {
    projects: [unit, built('integration'), built('security'), built('interop')],
    // Servers and hosts are waited for as much as they compute.
    maxWorkers: Math.min(4, availableParallelism() + 1),
    reporters: ['default'],
  },
});
