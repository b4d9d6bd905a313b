import { statSync } from 'node:fs';
import { type Command, Option } from 'commander';
import { allowed } from '../../config/allowances.ts';
import type { LoadedConfig } from '../../config/load.ts';
import type { Problem } from '../../config/problems.ts';
import { EXIT } from '../../errors.ts';
import { overall } from '../doctor/examine.ts';
import { nagiosLine, prometheusText, tableText } from '../doctor/formats.ts';
import { examples, outputOf } from '../program.ts';

interface DoctorFlags {
  readonly config?: string;
  readonly format?: 'table' | 'nagios' | 'prometheus';
}

const AFTER = `${examples(
  'trellis doctor --config /etc/trellis/host.yaml',
  '# as the user of the host, who can read its files',
  'sudo -u trellis trellis doctor --config /etc/trellis/host.yaml',
  'trellis doctor --config host.yaml --format nagios',
  'trellis doctor --config host.yaml --format prometheus > /var/lib/node_exporter/trellis.prom',
)}
It publishes nothing that anybody listens to and writes nothing, so it can run beside the host, with the same credentials. The server
logs the refusals that it asks for: subjects with "probe" in them.

Exit codes: 0 nothing failed, 78 a host would not start; with --format nagios 0 ok, 1 warning, 2 critical, 3 unknown; with --format
prometheus 0.
`;

/** `trellis doctor`: every check of a start, from a shell. */
export function register(program: Command): void {
  program
    .command('doctor')
    .description('Run every check of a start from a shell: settings, connections, TLS, rights, clock, server, trust.')
    .option('--config <file>', 'configuration of the host; without it what other commands go by')
    .addOption(
      new Option('--format <format>', 'table for people, one line for Nagios, metrics for Prometheus').choices([
        'table',
        'nagios',
        'prometheus',
      ]),
    )
    .addHelpText('after', AFTER)
    .action(async (flags: DoctorFlags, command: Command) => {
      const output = outputOf(command);
      const { loadCallerConfig } = await import('../caller-config.ts');
      const { examine } = await import('../doctor/examine.ts');
      const loaded = loadCallerConfig(flags.config);
      const problems = [...loaded.problems, ...(await startProblems(loaded))];
      const onStep = (step: string): void => {
        if (process.stderr.isTTY && output.format === 'text' && flags.format === undefined)
          output.progress(`looking at ${step} …`);
      };
      const found = await examine({ loaded, problems, onStep });
      const failed = overall(found) === 'failed';
      if (flags.format === 'nagios') {
        const { line, exitCode } = nagiosLine(found);
        process.stdout.write(`${line}\n`);
        process.exitCode = exitCode;
      } else if (flags.format === 'prometheus') {
        process.stdout.write(prometheusText(found, allowed(loaded.readable?.allow ?? [])));
      } else {
        const allow = allowed(loaded.readable?.allow ?? []);
        output.result({ ok: !failed, allowed: allow, ...found }, (print) => tableText(found).forEach(print));
        if (failed) process.exitCode = EXIT.config;
      }
    });
}

/** What a start would find, but for what it would find of its own process: this one is another. */
async function startProblems(loaded: LoadedConfig): Promise<readonly Problem[]> {
  const { readable } = loaded;
  if (readable === undefined) return [];
  const { checkStart } = await import('../../config/start-checks.ts');
  const { keyFacts } = await import('../../daemon/key-facts.ts');
  const { processFacts } = await import('../../daemon/process-facts.ts');
  const found = checkStart({
    config: readable,
    sourceOf: (setting) => loaded.sourceOf(setting),
    keys: keyFacts,
    process: { ...processFacts(), uid: hostUser(readable), inspectorOpen: false, dumpsCore: false },
  });
  return found.filter(({ code }) => code !== 'START-18');
}

/** The user that the host runs as: this one, or for root the owner of its files. */
function hostUser(config: NonNullable<LoadedConfig['readable']>): number | undefined {
  const own = process.geteuid?.();
  if (own !== 0) return own;
  for (const file of [config.hostSeedFile, config.rpc.credsFile, config.rpc.seedFile, config.trust.clusterSeedFile]) {
    const uid = file === undefined ? undefined : statSync(file, { throwIfNoEntry: false })?.uid;
    if (uid !== undefined) return uid;
  }
  return own;
}
