import type { Command } from 'commander';
import type { BenchReport } from '../../bench/run.ts';
import { runBench } from '../../bench/run.ts';
import type { TargetVerdict } from '../../bench/targets.ts';
import { EXIT, TrellisError } from '../../errors.ts';
import { tableLines } from '../output.ts';
import { examples, outputOf } from '../program.ts';

interface BenchFlags {
  readonly seconds: string;
  readonly rounds: string;
  readonly only?: string;
  readonly inFlight?: string;
  readonly payload?: string;
  readonly json?: true;
}

/** `trellis bench`: speed and memory beside a bare handler on the same client. */
export function register(program: Command): void {
  program
    .command('bench')
    .description('measure speed and memory against a bare NATS handler in the same run')
    .option('--seconds <number>', 'length of one measurement', '2')
    .option('--rounds <number>', 'times each case is measured; medians are shown', '3')
    .option('--only <text>', 'only cases whose name holds this text')
    .option('--in-flight <number>', 'only with so many calls in flight (1, 4, 64, 256)')
    .option('--payload <bytes>', 'only with this payload (256, 4096, 524288)')
    .option('--json', 'the same as --output json')
    .addHelpText(
      'after',
      examples('trellis bench', 'trellis bench --only verified --in-flight 64', 'trellis bench --json > bench.json'),
    )
    .action(async (flags: BenchFlags, command: Command) => {
      const output = outputOf(command);
      const showProgress = process.stderr.isTTY;
      const report = await runBench({
        durationMs: Math.max(0.2, Number(flags.seconds) || 2) * 1000,
        warmupMs: 500,
        rounds: Math.max(1, Math.trunc(Number(flags.rounds)) || 3),
        ...(flags.only === undefined ? {} : { only: flags.only }),
        ...(flags.inFlight === undefined ? {} : { inFlight: Number(flags.inFlight) }),
        ...(flags.payload === undefined ? {} : { payloadBytes: Number(flags.payload) }),
        onProgress: (text) => {
          if (showProgress) process.stderr.write(`\r\u001b[K  ${text}`);
        },
      });
      if (showProgress) process.stderr.write('\r\u001b[K');
      if (report.rows.length === 0) {
        throw new TrellisError('TRELLIS_USAGE', { message: 'no case fits --only, --in-flight and --payload' });
      }
      if (flags.json) process.stdout.write(`${JSON.stringify(report, undefined, 2)}\n`);
      else output.result(report, (print) => benchLines(report).forEach((line) => print(line)));
      if (report.rows.some((row) => row.failed > 0)) process.exitCode = EXIT.unexpected;
    });
}

/** A report as text: what ran where, the table, and which targets were met. */
export function benchLines({ machine, versions, idle, rows, targets }: BenchReport): string[] {
  const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(0)} MB`;
  return [
    `${machine.cpu}, ${machine.cores} cores, ${megabytes(machine.memoryBytes)}, ${machine.platform}`,
    `node ${versions.node}, v8 ${versions.v8}, openssl ${versions.openssl}, nats-server ${versions.natsServer}; from the ${versions.form}`,
    `at rest: host ${megabytes(idle.hostRssBytes)}, runner ${megabytes(idle.runnerRssBytes)}; start to ready ${idle.startToReadyMs.toFixed(0)} ms`,
    '',
    ...tableLines(
      ['case', 'bytes', 'in flight', 'calls/s', 'to bare', 'host µs', 'runner µs', 'caller µs', 'p50 ms', 'p99 ms', 'failed'],
      rows.map((row) => [
        row.case,
        row.payloadBytes,
        row.inFlight,
        Math.round(row.rps),
        row.ratioToBare.toFixed(2),
        row.hostCpuUs.toFixed(1),
        row.runnerCpuUs.toFixed(1),
        row.callerCpuUs.toFixed(1),
        row.p50Ms.toFixed(3),
        row.p99Ms.toFixed(3),
        row.failed,
      ]),
    ),
    '',
    'calls/s, p50 and p99 are wall time; host, runner and caller µs are CPU time of those processes for one call, all threads.',
    'Ratios are to the bare handler of the same round, whose own CPU stands under host µs.',
    '',
    ...targetLines(targets),
  ];
}

function targetLines(targets: readonly TargetVerdict[]): string[] {
  const measured = targets.filter((target) => target.met !== undefined);
  const missed = measured.filter((target) => target.met === false);
  const unmeasured = targets.length - measured.length;
  return [
    ...tableLines(
      ['target', 'wanted', 'measured', ''],
      targets.map(({ target, bound, wanted, unit, measured: figure, met }) => [
        target,
        `${bound} ${wanted} ${unit}`.trimEnd(),
        figure === undefined ? 'not in this run' : `${rounded(figure)} ${unit}`.trimEnd(),
        met === undefined ? '' : met ? 'met' : 'MISSED',
      ]),
    ),
    '',
    `${measured.length - missed.length} targets met, ${missed.length} missed${unmeasured === 0 ? '' : `, ${unmeasured} not in this run`}`,
  ];
}

function rounded(figure: number): string {
  return Math.abs(figure) >= 100 ? figure.toFixed(0) : figure.toFixed(2);
}
