// `npm run check`: everything about the source that needs no running program.
import { join } from 'node:path';
import { runProgram } from './run-program.mjs';
import { MODULES, ROOT } from './tree.mjs';

const tool = (path) => join(MODULES, path);
const CHECKS = [
  { name: 'lint', args: [tool('oxlint/bin/oxlint'), '--type-aware', '--deny-warnings'] },
  { name: 'format', args: [tool('oxfmt/bin/oxfmt'), '--check'] },
  { name: 'types', args: [tool('typescript/bin/tsc'), '-p', '.', '--noEmit'] },
  { name: 'test types', args: [tool('typescript/bin/tsc'), '-p', 'test/tsconfig.json'] },
  { name: 'package', args: [tool('publint/src/cli.js'), '--strict'] },
  { name: 'unused code', args: [tool('knip/bin/knip.js')] },
  { name: 'generated docs', args: ['setup/generate-docs.mjs', '--check'] },
];

/** Runs all checks, or those named; prints what failed and, last, `N passed, N failed`. */
export async function check(node, names) {
  const unknown = names.filter((name) => !CHECKS.some((check) => check.name === name));
  if (unknown.length > 0) {
    process.stderr.write(
      `There is no check "${unknown.join('", "')}"; there are: ${CHECKS.map(({ name }) => name).join(', ')}.\n`,
    );
    process.exitCode = 2;
    return;
  }
  const wanted = CHECKS.filter(({ name }) => names.length === 0 || names.includes(name));
  let failed = 0;
  for (const { name, args } of wanted) {
    const startMs = performance.now();
    const env = process.stdout.isTTY ? process.env : { ...process.env, NO_COLOR: '1' };
    const result = await runProgram(node, args, { cwd: ROOT, timeoutMs: 600_000, env });
    const seconds = ((performance.now() - startMs) / 1000).toFixed(1);
    const ok = result.code === 0;
    if (!ok) failed++;
    if (!ok) process.stdout.write(`${result.output.trimEnd()}\n${result.failure ? `${result.failure}\n` : ''}`);
    process.stdout.write(`${ok ? 'ok    ' : 'FAILED'} ${name}, ${seconds} s\n`);
  }
  process.stdout.write(`${wanted.length - failed} passed, ${failed} failed\n`);
  if (failed > 0) process.exitCode = 1;
}
