// `npm run mutation`: changes the code of src/trust in one place at a time and runs the tests that reach that place. A change
// that no test notices is a line that nothing holds to. Everything it leaves lies in .trellis/mutation.
const LEFT = '.trellis/mutation';

export default {
  mutate: ['src/trust/*.ts'],
  testRunner: 'vitest',
  plugins: ['@stryker-mutator/vitest-runner'],
  vitest: { configFile: 'test/mutation/vitest.config.ts' },
  coverageAnalysis: 'perTest',
  // Tables, patterns and labels are made once, when a module is loaded. A wrong one is as bad as a wrong line, so these changes
  // count too, although each of them costs a run of all tests.
  ignoreStatic: false,
  thresholds: { high: 95, low: 90, break: 90 },
  concurrency: 2,
  // A machine that is busy with other work must not pass for a loop without end.
  timeoutMS: 10_000,
  timeoutFactor: 3,
  ignorePatterns: ['/dist', '/docs', '/components', '/config'],
  // The type checker has no programming interface for it in this version; a name that does not exist keeps it from looking.
  tsconfigFile: 'none.json',
  disableTypeChecks: false,
  tempDirName: `${LEFT}/sandbox`,
  incrementalFile: `${LEFT}/incremental.json`,
  reporters: ['clear-text', 'progress-append-only', 'json', 'html'],
  jsonReporter: { fileName: `${LEFT}/report.json` },
  htmlReporter: { fileName: `${LEFT}/report.html` },
  clearTextReporter: { allowEmojis: false, logTests: false, reportTests: false },
};
