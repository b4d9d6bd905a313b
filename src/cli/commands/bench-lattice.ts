import type { Command } from 'commander';
import type { LatticeReport } from '../../bench/lattice.ts';
import { runLatticeBench } from '../../bench/lattice.ts';
import { tableLines } from '../output.ts';
import { examples, outputOf } from '../program.ts';

interface LatticeFlags {
  readonly components: string;
  readonly links: string;
  readonly neighbours: string;
  readonly seconds: string;
}

/** `trellis bench-lattice`: a full host, its control interface, and what many neighbours cost. */
export function register(program: Command): void {
  program
    .command('bench-lattice')
    .description('measure a host with many components and links, its control interface, and what many neighbours cost it')
    .option('--components <number>', 'components on the full host, each in a process of its own', '100')
    .option('--links <number>', 'links in the lattice', '10000')
    .option('--neighbours <number>', 'simulated hosts', '200')
    .option('--seconds <number>', 'length of each stretch', '5')
    .addHelpText('after', examples('trellis bench-lattice', 'trellis bench-lattice --components 20 --links 1000 --neighbours 50'))
    .action(async (flags: LatticeFlags, command: Command) => {
      const output = outputOf(command);
      const showProgress = process.stderr.isTTY;
      const report = await runLatticeBench({
        components: atLeastOne(flags.components),
        links: atLeastOne(flags.links),
        neighbours: atLeastOne(flags.neighbours),
        durationMs: atLeastOne(flags.seconds) * 1_000,
        onProgress: (text) => {
          if (showProgress) process.stderr.write(`\r\u001b[K  ${text}`);
        },
      });
      if (showProgress) process.stderr.write('\r\u001b[K');
      output.result(report, (print) => lines(report).forEach((line) => print(line)));
    });
}

function atLeastOne(text: string): number {
  return Math.max(1, Math.floor(Number(text)) || 1);
}

const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(1);

function lines(report: LatticeReport): string[] {
  const { machine, versions, control, neighbours } = report;
  return [
    `${machine.cpu}, ${machine.cores} cores, ${machine.platform}`,
    `node ${versions.node}, nats-server ${versions.natsServer}; from the ${versions.form}`,
    '',
    `${report.components} components: ready after ${(report.coldReadyMs / 1_000).toFixed(1)} s with a cold cache and no links`,
    `${report.links} links: put at ${Math.round(report.linksPerSecond)} a second; with them ready after ${(report.readyMs / 1_000).toFixed(1)} s`,
    `memory: host ${megabytes(report.hostRssBytes)} MB, runners ${megabytes(report.runnersRssBytes)} MB together`,
    `heartbeat: ${report.heartbeatBytes} bytes; the server takes ${report.maxPayloadBytes}`,
    '',
    ...tableLines(
      ['request', 'a second', 'sent', 'p50 ms', 'p99 ms', 'host µs', 'answer bytes', 'failed'],
      control.map((row) => [
        row.request,
        row.perSecond,
        row.asked,
        row.p50Ms.toFixed(2),
        row.p99Ms.toFixed(2),
        Math.round(row.hostCpuUs),
        row.answerBytes,
        row.failed,
      ]),
    ),
    '',
    ...tableLines(
      ['a small host', 'CPU % of a core', 'host MB', 'heartbeats/s'],
      neighbours.map((row) => [
        row.what,
        row.hostCpuPercent.toFixed(2),
        megabytes(row.hostRssBytes),
        row.heartbeatsPerSecond.toFixed(1),
      ]),
    ),
  ];
}
