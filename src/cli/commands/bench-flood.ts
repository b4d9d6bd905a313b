import type { Command } from 'commander';
import { runFloodBench, type FloodReport } from '../../bench/flood.ts';
import { FLOOD_ROWS, missedTargets, type FloodFigures, type FloodRow } from '../../bench/flood-rows.ts';
import { EXIT, TrellisError } from '../../errors.ts';
import { tableLines } from '../output.ts';
import { examples, outputOf } from '../program.ts';

interface FloodFlags {
  readonly seconds: string;
  readonly rows?: string;
}

const ALL_NAMES = FLOOD_ROWS.map(({ name }) => name);
/** Forged tokens live as long as genuine ones, 30 s; a longer flood would end as one of expired tokens. */
const MAX_SECONDS = 20;

/** `trellis bench-flood`: what forged invocations cost the valid ones. */
export function register(program: Command): void {
  program
    .command('bench-flood')
    .description('measure valid calls while forged ones arrive, each attack beside the same flood to a subject nobody serves')
    .option('--seconds <number>', `length of each stretch: alone, control, flood (1 to ${MAX_SECONDS})`, '5')
    .option('--rows <names>', `only these attacks, separated by commas: ${ALL_NAMES.join(', ')}`)
    .addHelpText('after', examples('trellis bench-flood', 'trellis bench-flood --rows bad-10k,replay-10k --seconds 10'))
    .action(async (flags: FloodFlags, command: Command) => {
      const output = outputOf(command);
      const showProgress = process.stderr.isTTY;
      const report = await runFloodBench({
        durationMs: Math.min(MAX_SECONDS, Math.max(1, Number(flags.seconds) || 5)) * 1000,
        rows: chosenRows(flags.rows),
        onProgress: (text) => {
          if (showProgress) process.stderr.write(`\r\u001b[K  ${text}`);
        },
      });
      if (showProgress) process.stderr.write('\r\u001b[K');
      const missed = report.rows.map((row) => ({ row: row.name, missed: missedTargets(row) }));
      output.result({ ...report, missed }, (print) => floodLines(report).forEach((line) => print(line)));
      if (missed.some((verdict) => verdict.missed.length > 0)) process.exitCode = EXIT.unexpected;
    });
}

function chosenRows(names: string | undefined): readonly FloodRow[] {
  if (names === undefined) return FLOOD_ROWS;
  return names.split(',').map((name) => {
    const row = FLOOD_ROWS.find((each) => each.name === name.trim());
    if (row === undefined)
      throw new TrellisError('TRELLIS_USAGE', { message: `no attack is called ${name}; there are ${ALL_NAMES.join(', ')}` });
    return row;
  });
}

/** A report as text: what ran where, the table, and what each row missed. */
export function floodLines({ machine, versions, capacity, rows }: FloodReport): string[] {
  return [
    `${machine.cpu}, ${machine.cores} cores, ${machine.platform}`,
    `node ${versions.node}, nats-server ${versions.natsServer}; from the ${versions.form}`,
    `${Math.round(capacity)} valid calls/s with 64 in flight and nothing else; half of it is offered below`,
    '',
    ...tableLines(
      [
        'attack',
        'asked/s',
        'sent/s',
        'alone',
        'control',
        'flood',
        'lost %',
        'of alone %',
        'p99 ms',
        'control',
        'back s',
        'CPU %',
        'control',
        'µs each',
        'RSS MB',
        'log/s',
        '',
      ],
      rows.map((row) => rowCells(row)),
    ),
    '',
    'alone, control, flood: valid calls/s; control is the same flood to a subject that only the broker sees. lost % is against',
    'the control, of alone % against no flood at all. CPU is the host process, of one core, µs each what a message of the flood added to it; RSS is what the flood added.',
    ...rows
      .filter(({ failures }) => Object.keys(failures).length > 0)
      .map((row) => `${row.name}: failed ${JSON.stringify(row.failures)}`),
  ];
}

function rowCells(row: FloodFigures): (string | number)[] {
  const missed = missedTargets(row);
  return [
    row.name,
    row.perSecond,
    Math.round(row.floodSent),
    Math.round(row.validAlone),
    Math.round(row.validControl),
    Math.round(row.validFlood),
    Number(row.lostToControl.toFixed(1)),
    Number(row.lostToAlone.toFixed(1)),
    Number(row.p99FloodMs.toFixed(1)),
    Number(row.p99ControlMs.toFixed(1)),
    row.recoveryMs === undefined ? 'no' : (row.recoveryMs / 1_000).toFixed(1),
    Math.round(row.hostCpuFlood),
    Math.round(row.hostCpuControl),
    Number(row.hostCpuUsPerMessage.toFixed(1)),
    Number((row.rssGrowthBytes / 1e6).toFixed(1)),
    Math.round(row.logLinesPerSecond),
    missed.length === 0 ? 'passed' : `MISSED: ${missed.join(', ')}`,
  ];
}
