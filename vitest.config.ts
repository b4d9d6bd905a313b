import { defineConfig } from 'vitest/config';

// One project a folder: `unit` touches no I/O, the others start real servers and processes.
const suite = (name: string, testTimeoutMs: number) => ({
  test: { name, include: [`test/${name}/**/*.test.ts`], testTimeout: testTimeoutMs, hookTimeout: 60_000, pool: 'forks' as const },
});

export default defineConfig({
  test: {
    projects: [suite('unit', 10_000), suite('integration', 60_000), suite('security', 120_000), suite('interop', 120_000)],
    maxWorkers: 2,
    reporters: ['default'],
  },
});
