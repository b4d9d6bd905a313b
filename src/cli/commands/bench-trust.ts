import type { Command } from 'commander';
import { measureTrustCosts, type TrustCosts } from '../../bench/trust-costs.ts';
import { tableLines } from '../output.ts';
import { examples, outputOf } from '../program.ts';

/** `trellis bench-trust`: what proofs cost beside the calls themselves. */
export function register(program: Command): void {
  program
    .command('bench-trust')
    .description('measure frames of streams with and without proof, a shared store of ids, and the memory of ids')
    .option('--seconds <number>', 'length of one measurement', '2')
    .addHelpText('after', examples('trellis bench-trust', 'trellis bench-trust --seconds 5'))
    .action(async (flags: { readonly seconds: string }, command: Command) => {
      const output = outputOf(command);
      const showProgress = process.stderr.isTTY;
      const costs = await measureTrustCosts(Math.max(0.1, Number(flags.seconds) || 2) * 1000, (text) => {
        if (showProgress) process.stderr.write(`\r\u001b[K  ${text}`);
      });
      if (showProgress) process.stderr.write('\r\u001b[K');
      output.result(costs, (print) => costLines(costs).forEach((line) => print(line)));
    });
}

function costLines({ rows, replayBytesPerMillion }: TrustCosts): string[] {
  return [
    ...tableLines(
      ['what', 'a second', 'MB/s', 'wall µs', 'CPU µs'],
      rows.map(({ what, perSecond, megabytesPerSecond, wallUs, cpuUs }) => [
        what,
        Math.round(perSecond),
        megabytesPerSecond === undefined ? '' : Math.round(megabytesPerSecond),
        wallUs.toFixed(1),
        cpuUs.toFixed(1),
      ]),
    ),
    '',
    `one million remembered ids: ${(replayBytesPerMillion / 1e6).toFixed(1)} MB`,
  ];
}
