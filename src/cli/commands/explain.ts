import type { Command } from 'commander';
import { connectCaller } from '../../caller.ts';
import type { Explanation } from '../../control/explain.ts';
import { COMMAND_LINE_ORIGIN } from '../../development.ts';
import { TrellisError } from '../../errors.ts';
import { createLogger } from '../../telemetry/log.ts';
import { createMetrics } from '../../telemetry/metrics.ts';
import { isTokenId } from '../../trust/claim-values.ts';
import { searchAuditFiles } from '../audit-search.ts';
import { callerConfig } from '../caller-config.ts';
import { fieldLines } from '../output.ts';
import { examples, outputOf } from '../program.ts';

interface ExplainFlags {
  readonly file?: string;
  readonly config?: string;
  readonly context?: string;
  readonly waitMs: string;
}

/** `trellis explain`: which check refused the call with a correlation id, by the host that refused it or by its audit file. */
export function register(program: Command): void {
  program
    .command('explain')
    .description('say which check refused a call, by the correlation id that its caller was given')
    .argument('<id>', 'correlation id: 22 characters, in the error of trellis call, the header Lattice-Correlation and the log')
    .option('--file <path>', 'look into this audit file and its older ones (path.1, …) instead of asking the lattice')
    .option('--config <file>', 'configuration with the servers; the running development lattice if left out')
    .option('--context <name>', 'take the settings from this context (trellis ctx list)')
    .option('--wait-ms <number>', 'how long to wait for a host that knows it', '2000')
    .addHelpText(
      'after',
      examples(
        'trellis explain Yy0qVnJ3T2m8mJ6c1x9wQA',
        'trellis explain Yy0qVnJ3T2m8mJ6c1x9wQA --file /var/log/trellis/audit.jsonl',
      ),
    )
    .action(async (id: string, flags: ExplainFlags, command: Command) => {
      // One that begins with a dash comes after `--`.
      if (!isTokenId(id))
        throw new TrellisError('TRELLIS_USAGE', {
          message: 'That is no correlation id: it has 22 characters of A-Z, a-z, 0-9, _ and -',
        });
      const found = flags.file === undefined ? await ask(id, flags) : searchAuditFiles(flags.file, id);
      if (found.length === 0) throw new TrellisError('TRELLIS_REFUSAL_UNKNOWN', { details: { correlation: id } });
      outputOf(command).result({ correlation: id, refusals: found }, (print) => {
        for (const [at, refusal] of found.entries()) {
          if (at > 0) print('');
          for (const line of fieldLines(fieldsOf(refusal))) print(line);
        }
      });
    });
}

async function ask(id: string, flags: ExplainFlags): Promise<readonly Explanation[]> {
  await using caller = await connectCaller({
    config: callerConfig({ file: flags.config, context: flags.context }),
    log: createLogger({ level: 'error' }),
    metrics: createMetrics({ eventLoop: false }),
    origin: COMMAND_LINE_ORIGIN,
  });
  return await caller.explain(id, Math.max(1, Number(flags.waitMs) || 2_000));
}

function fieldsOf(refusal: Explanation): [string, string][] {
  const { code, meaning, detail, remedy, component, operation, origin, originLattice, proven, signer, host, time } = refusal;
  const optional: [string, string | undefined][] = [
    ['refused by', code],
    ['meaning', meaning],
    ['detail', detail],
    ['fix', remedy],
    ['component', component],
    ['operation', operation],
    ['caller', origin === undefined ? undefined : `${origin} ${proven ? '(proven)' : '(by its own word)'}`],
    ['of lattice', originLattice],
    ['signer', signer === undefined ? undefined : `${signer} (named by the token)`],
    ['host', host],
    ['time', time],
  ];
  return optional.filter((field): field is [string, string] => field[1] !== undefined);
}
