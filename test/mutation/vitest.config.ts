import { defineConfig } from 'vitest/config';

// The tests that a change in src/trust is held against. Left out are those whose only strength is their number: they would be
// run again for every change that survives, and find nothing that the others do not.
export default defineConfig({
  test: {
    include: ['test/unit/trust/**/*.test.ts', 'test/security/{delegations,envelope,replay,response,wasmbus-envelope}.test.ts'],
    testNamePattern: /^(?!.*(?:100,000|a million ids))/,
    testTimeout: 60_000,
    pool: 'forks',
  },
});
