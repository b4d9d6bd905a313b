import { readFileSync } from 'node:fs';
import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** The quick files first, for the first test that notices a change ends its run: exact ones, then attacks, then properties. */
class QuickFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const cost = ({ moduleId }: TestSpecification): number => {
      if (readFileSync(moduleId, 'utf8').includes('fast-check')) return 2;
      return moduleId.includes('/security/') ? 1 : 0;
    };
    return files.toSorted((a, b) => cost(a) - cost(b));
  }
}

// The tests that a change in src/trust is held against. Left out are those whose only strength is their number: they would be
// run again for every change that survives, and find nothing that the others do not.
export default defineConfig({
  test: {
    include: ['test/unit/trust/**/*.test.ts', 'test/security/{delegations,envelope,replay,response,wasmbus-envelope}.test.ts'],
    testNamePattern: /^(?!.*(?:100,000|a million ids))/,
    testTimeout: 60_000,
    pool: 'forks',
    sequence: { sequencer: QuickFirst },
  },
});
