import type { Command } from 'commander';
import type { LatticeTrust } from '../../control/rotation.ts';
import { fieldLines, tableLines } from '../output.ts';
import { examples, outputOf } from '../program.ts';
import { type LogLevel, TrustView } from './view.ts';

/** What a host of the lattice is, in one row. */
interface HostRow {
  readonly host: string;
  readonly epoch: number | undefined;
  readonly delegatedBy: string;
  readonly expiresMs: number | undefined;
  readonly verify: string;
  readonly version: string;
  /** Refusals at start that its operator has accepted. */
  readonly allowed: readonly string[];
}

/** `trellis keys issuers`: which cluster keys count in a lattice, and what each host goes by. */
export function registerIssuers(keys: Command): void {
  keys
    .command('issuers')
    .description('Show which cluster keys count in a lattice, and what every host goes by.')
    .option('--config <file>', 'configuration with servers, ctl credentials and cluster issuers')
    .option('--log-level <level>', 'least level that is logged', 'error')
    .addHelpText('after', examples('trellis keys issuers', 'trellis keys issuers --config ops.yaml --output json'))
    .action(async (flags: { config?: string; logLevel: LogLevel }, command: Command) => {
      await using view = await TrustView.open(flags.config, flags.logLevel, 'trellis keys issuers');
      const trust = await view.look();
      const hosts = hostRows(trust);
      const { epoch, issuers, active } = trust;
      outputOf(command).result({ lattice: view.lattice, epoch, active, issuers, hosts }, (print) => {
        for (const line of fieldLines([
          ['lattice', view.lattice],
          ['epoch', epoch === 0 ? '0 (the configured issuers; never rotated)' : String(epoch)],
        ]))
          print(line);
        print('');
        for (const line of tableLines(
          ['ISSUER', 'SIGNS NOW'],
          issuers.map((key) => [key, key === active ? 'yes' : '']),
        ))
          print(line);
        print('');
        if (hosts.length === 0) print('No host reports on this lattice.');
        else for (const line of hostTable(hosts)) print(line);
      });
    });
}

/** Hosts that report, and those that only have an entry in the bucket. */
export function hostRows({ reports, members }: LatticeTrust): readonly HostRow[] {
  const rows: HostRow[] = reports.map(({ host, epoch, delegatedBy, expiresMs, verify, version, allowed = [] }) => {
    return { host, epoch, delegatedBy, expiresMs, verify, version, allowed };
  });
  for (const { host, delegatedBy, expiresMs } of members) {
    if (rows.some((row) => row.host === host)) continue;
    rows.push({ host, epoch: undefined, delegatedBy, expiresMs, verify: '', version: '', allowed: [] });
  }
  return rows;
}

/** The rows as lines. */
export function hostTable(hosts: readonly HostRow[]): string[] {
  // A column for what should not be there: only where it is.
  const some = hosts.some(({ allowed }) => allowed.length > 0);
  return tableLines(
    ['HOST', 'EPOCH', 'DELEGATED BY', 'UNTIL', 'VERIFY', 'VERSION', ...(some ? ['ALLOWED AT START'] : [])],
    hosts.map(({ host, epoch, delegatedBy, expiresMs, verify, version, allowed }) => [
      host,
      epoch ?? 'silent',
      delegatedBy === host ? '' : delegatedBy,
      expiresMs === undefined ? '' : new Date(expiresMs).toISOString(),
      verify,
      version,
      ...(some ? [allowed.join(', ')] : []),
    ]),
  );
}
