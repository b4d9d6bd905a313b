import type { Command } from 'commander';
import { systemClock } from '../../clock.ts';
import { ELSEWHERE } from '../../demo/attack/elsewhere.ts';
import type { AttackRow } from '../../demo/attack/judge.ts';
import { runAttacks } from '../../demo/attack/run.ts';
import { checkSummary, summaryOf, writeSummary } from '../../demo/attack/summary.ts';
import { EXIT } from '../../errors.ts';
import { fieldLines, tableLines } from '../output.ts';
import { examples, outputOf } from '../program.ts';

const SHOWN_CODES = 2;
const DEFAULT_SUMMARY = '.trellis/attacks-summary.json';

/** `trellis demo attacks` and `trellis demo verify`: below `trellis demo`. */
export function registerAttacks(demo: Command): void {
  demo
    .command('attacks')
    .description('start three hosts and an attacker with the rpc credentials of one, and carry out the attacks of the plan')
    .option('--summary <file>', 'where the summary goes; its signature goes beside it', DEFAULT_SUMMARY)
    .option('--observe', 'the control: the same attacks on hosts that only look on, so that guests run')
    .addHelpText(
      'after',
      examples(
        'trellis demo attacks',
        'trellis demo attacks --observe',
        'trellis demo attacks --output json --summary summary.json',
      ),
    )
    .action(async (options: { summary: string; observe?: true }, command: Command) => {
      const output = outputOf(command);
      const showProgress = process.stderr.isTTY;
      const report = await runAttacks({
        verify: options.observe === true ? 'observe' : 'enforce',
        onStep: (step) => showProgress && output.progress(`  ${step}`),
      });
      const summary = summaryOf(report, systemClock);
      await writeSummary(options.summary, summary, report.sign);
      output.result({ ...summary, summaryFile: options.summary }, (print) => {
        const cells = report.rows.map((row) => [
          row.id,
          row.attack,
          row.answers.join(', '),
          shortList(row.codes),
          row.guestRan ? 'YES' : 'no',
          row.expected ? 'ok' : 'SURPRISE',
        ]);
        for (const line of tableLines(['id', 'attack', 'answer', 'code in the host', 'guest ran', ''], cells)) print(line);
        print('');
        for (const line of surpriseLines(report.rows)) print(line);
        print('Not over the wire; tested in:');
        for (const line of fieldLines(ELSEWHERE.map(({ id, why, test }) => [id, `${test}: ${why}`]))) print(`  ${line}`);
        print('');
        for (const line of fieldLines([
          ['attacks', `${summary.counts.attacks}, as expected ${summary.counts.asExpected}`],
          ['guest ran', `${summary.counts.guestRan} times beyond the ${summary.counts.genuineCalls} genuine calls`],
          ['summary', options.summary],
          ['signed by', report.clusterKey],
        ]))
          print(line);
      });
      if (summary.counts.surprises > 0) process.exitCode = EXIT.unexpected;
    });
  demo
    .command('verify')
    .description('check the signature of a summary that "trellis demo attacks" wrote')
    .argument('[file]', 'the summary; its signature lies beside it', DEFAULT_SUMMARY)
    .option('--key <key>', 'the public key it must be signed by, as the run printed it')
    .addHelpText('after', examples('trellis demo verify', 'trellis demo verify summary.json --key C…'))
    .action(async (file: string, options: { key?: string }, command: Command) => {
      const found = await checkSummary(file);
      const foreign = found.valid && options.key !== undefined && options.key !== found.key;
      const verdict = foreign ? { valid: false, key: found.key, reason: 'another key signed it' } : found;
      outputOf(command).result({ file, ...verdict }, (print) => {
        for (const line of fieldLines([
          ['summary', file],
          ['signature', 'reason' in verdict ? `NOT valid: ${verdict.reason}` : 'valid'],
          ...(verdict.key === undefined ? [] : [['signed by', verdict.key] as const]),
        ]))
          print(line);
      });
      if (!verdict.valid) process.exitCode = EXIT.unexpected;
    });
}

/** The first few; the summary has all. */
function shortList(codes: readonly string[]): string {
  const shown = codes.slice(0, SHOWN_CODES).join(', ');
  return codes.length > SHOWN_CODES ? `${shown} and ${codes.length - SHOWN_CODES} more` : shown || '-';
}

function surpriseLines(rows: readonly AttackRow[]): string[] {
  const surprises = rows.filter(({ surprise }) => surprise !== undefined);
  return surprises.length === 0 ? [] : [...surprises.map(({ id, surprise }) => `${id}: ${surprise}`), ''];
}
