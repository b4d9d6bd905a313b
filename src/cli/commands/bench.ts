import type { Command } from 'commander';
import type { BenchReport } from '../../bench/run.ts';
import { runBench } from '../../bench/run.ts';
import { EXIT } from '../../errors.ts';
import { tableLines } from '../output.ts';
import { examples, outputOf } from '../program.ts';

interface BenchFlags {
  readonly seconds: string;
  readonly rounds: string;
  readonly only?: string;
  readonly json?: true;
}

/** `trellis bench`: speed and memory beside a bare handler on the same client. */
export function register(program: Command): void {
  program
    .command('bench')
    .description('measure speed and memory against a bare NATS handler in the same run')
    .option('--seconds <number>', 'length of one measurement', '2')
    .option('--rounds <number>', 'times each case is measured; the median is shown', '3')
    .option('--only <text>', 'only cases whose name holds this text')
    .option('--json', 'the same as --output json')
    .addHelpText(
      'after',
      examples('trellis bench', 'trellis bench --only verified --seconds 5', 'trellis bench --json > bench.json'),
    )
    .action(async (flags: BenchFlags, command: Command) => {
      const output = outputOf(command);
      const report = await runBench({
        durationMs: Math.max(0.2, Number(flags.seconds) || 2) * 1000,
        warmupMs: 500,
        rounds: Math.max(1, Math.trunc(Number(flags.rounds)) || 3),
        ...(flags.only === undefined ? {} : { only: flags.only }),
        onProgress: (text) => {
          if (process.stderr.isTTY) process.stderr.write(`\r\u001b[K  ${text}`);
        },
      });
      if (process.stderr.isTTY) process.stderr.write('\r\u001b[K');
      if (flags.json) process.stdout.write(`${JSON.stringify(report, undefined, 2)}\n`);
      else output.result(report, (print) => lines(report).forEach((line) => print(line)));
      if (report.rows.some((row) => row.failed > 0)) process.exitCode = EXIT.unexpected;
    });
}

function lines({ machine, versions, idle, rows }: BenchReport): string[] {
  const mebibytes = (bytes: number): string => `${(bytes / 1048576).toFixed(0)} MiB`;
  return [
    `${machine.cpu}, ${machine.cores} cores, ${mebibytes(machine.memoryBytes)}, ${machine.platform}`,
    `node ${versions.node}, v8 ${versions.v8}, openssl ${versions.openssl}, nats-server ${versions.natsServer}`,
    `at rest: host ${mebibytes(idle.hostRssBytes)}, runner ${mebibytes(idle.runnerRssBytes)}; start to ready ${idle.startToReadyMs.toFixed(0)} ms`,
    '',
    ...tableLines(
      ['case', 'bytes', 'in flight', 'calls/s', 'to bare', 'host µs', 'runner µs', 'p50 ms', 'p99 ms', 'failed'],
      rows.map((row) => [
        row.case,
        row.payloadBytes,
        row.inFlight,
        Math.round(row.rps),
        row.ratioToBare.toFixed(2),
        row.hostCpuUs.toFixed(1),
        row.runnerCpuUs.toFixed(1),
        row.p50Ms.toFixed(3),
        row.p99Ms.toFixed(3),
        row.failed,
      ]),
    ),
    '',
    'host µs and runner µs: CPU time of those processes for one call; ratios are to the bare handler of the same round.',
  ];
}
