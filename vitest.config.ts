import { defineConfig } from 'vitest/config';
import { testsBuiltProgram } from './test/support/built-program.ts';

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

export default defineConfig({
  test: {
    projects: [suite('unit', 30_000), built('integration'), built('security'), built('interop')],
    maxWorkers: 2,
    reporters: ['default'],
  },
});
