import type { Command } from 'commander';
import { runDemo } from '../../demo/run.ts';
import { EXIT } from '../../errors.ts';
import { createLogger } from '../../telemetry/log.ts';
import { tableLines } from '../output.ts';
import { examples, outputOf } from '../program.ts';
import { registerAttacks } from './demo-attacks.ts';

/** `trellis demo`: the main job once, and five attacks; and below it the attacks of the plan. */
export function register(program: Command): void {
  const demo = program
    .command('demo')
    .description('play the main job and five attacks once, on free ports, and print what happened')
    .option('--log-level <level>', 'least level that is logged', 'error')
    .addHelpText('after', examples('trellis demo', 'trellis demo --output json', 'trellis demo attacks'))
    .action(async (options: { logLevel: 'debug' | 'info' | 'warn' | 'error' }, command: Command) => {
      const output = outputOf(command);
      const rows = await runDemo({
        log: createLogger({ level: options.logLevel }),
        onStep: (step) => output.progress(`  ${step}`),
      });
      const surprises = rows.filter((row) => !row.expected);
      output.result({ rows, surprises: surprises.length }, (print) => {
        const cells = rows.map((row) => [
          row.step,
          row.sent,
          row.answered,
          row.code,
          row.guestRan ? 'yes' : 'no',
          row.expected ? 'ok' : 'SURPRISE',
        ]);
        print('');
        for (const line of tableLines(['step', 'sent', 'answered', 'code in the host', 'guest ran', ''], cells)) print(line);
        print('');
        print(
          surprises.length === 0
            ? 'Both calls ran, and none of the attacks did.'
            : `${surprises.length} surprises: see the table.`,
        );
      });
      if (surprises.length > 0) process.exitCode = EXIT.unexpected;
    });
  registerAttacks(demo);
}
