import { defineConfig } from 'vitest/config';

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

export default defineConfig({
  test: {
    projects: [suite('unit', 30_000), suite('integration', 240_000), suite('security', 240_000), suite('interop', 240_000)],
    maxWorkers: 2,
    reporters: ['default'],
  },
});
