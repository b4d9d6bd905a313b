import type { Command } from 'commander';
import { pushAccounts, type PushRow } from '../../auth/push.ts';
import type { AuthStore } from '../../auth/store.ts';
import { EXIT, TrellisError } from '../../errors.ts';
import { visible } from '../../telemetry/scrub.ts';
import { tableLines } from '../output.ts';
import { examples, outputOf } from '../program.ts';
import { type ServerFlags, systemLogin, withServer } from './server-option.ts';
import { openStore, type StoreFlags, withStore } from './store-option.ts';

interface PushFlags extends StoreFlags, ServerFlags {
  readonly dryRun?: true;
  readonly prune?: true;
  readonly force?: true;
}

/** `trellis auth push`: the accounts of a store to the resolvers of running servers. */
export function registerPush(auth: Command): void {
  withServer(withStore(auth.command('push')), 'nats://host:port or tls://host:port; several for the servers of a cluster')
    .description(
      'Bring accounts to running servers that have the full resolver. Each is verified before, and proved after: a server that ' +
        'stores a JWT and refuses to use it gets the former one back. Nobody is disconnected whose rights stay as they are.',
    )
    .argument('[account...]', 'names of accounts; all if left out')
    .option('--dry-run', 'only say what the servers have and what would be done')
    .option('--prune', 'delete accounts that only the servers have; their users are disconnected')
    .option(
      '--force',
      'replace what came to the servers later than the store was changed; with --prune: delete what another operator has signed',
    )
    .addHelpText(
      'after',
      examples(
        'trellis auth push --server nats://127.0.0.1:4222',
        'trellis auth push --server tls://nats.example:4222 --tls-ca ca.pem --dry-run',
        'trellis auth push acme-rpc --server tls://a.example:4222 tls://b.example:4222 --tls-ca ca.pem',
      ),
    )
    .action(async (accounts: string[], flags: PushFlags, command: Command) => {
      const store = openStore(flags);
      const system = systemLogin(flags, store);
      if (system === undefined) {
        throw new TrellisError('TRELLIS_USAGE', {
          message: 'A push needs a server',
          remedy: 'Name it: trellis auth push --server nats://127.0.0.1:4222',
        });
      }
      const { dryRun = false, prune = false, force = false } = flags;
      const wanted = accounts.length === 0 ? undefined : accounts;
      if (prune && wanted !== undefined)
        throw new TrellisError('TRELLIS_USAGE', { message: '--prune is for a push of all accounts' });
      const rows = await pushAccounts({ store, ...system, accounts: wanted, dryRun, prune, force });
      outputOf(command).result({ servers: system.where.servers, dryRun, accounts: rows }, (print) => {
        for (const line of pushLines(rows)) print(line);
      });
      if (!allWell(rows)) process.exitCode = EXIT.denied;
    });
}

/**
 * Pushes accounts that a command has just changed, if servers are named. @throws what {@link pushAccounts} throws, with a message that
 * says that the store has changed already
 */
export async function pushChanged(
  store: AuthStore,
  flags: ServerFlags,
  accounts: readonly string[],
): Promise<PushRow[] | undefined> {
  const system = systemLogin(flags, store);
  if (system === undefined || accounts.length === 0) return undefined;
  try {
    return await pushAccounts({ store, ...system, accounts: [...new Set(accounts)] });
  } catch (cause) {
    if (!(cause instanceof TrellisError)) throw cause;
    throw new TrellisError(cause.code, {
      message: `The store is changed, and no server was told: ${cause.message}`,
      remedy: `${cause.remedy} Then tell them: trellis auth push`,
      cause,
    });
  }
}

/** True if the servers go by every account that was to be pushed. */
export function allWell(rows: readonly PushRow[]): boolean {
  return rows.every(({ outcome }) => outcome !== 'refused' && outcome !== 'restored' && outcome !== 'failed');
}

/** What became of accounts that a command changed: what was pushed, or that a push is still to come. */
export function changedLines(accounts: readonly string[], pushed: readonly PushRow[] | undefined): string[] {
  if (pushed !== undefined) return pushLines(pushed);
  return accounts.length === 0
    ? []
    : [`Changed: account ${accounts.join(', ')}. A running server has to be told: trellis auth push`];
}

const OUTCOMES: Readonly<Record<PushRow['outcome'], string>> = {
  done: 'in use',
  unchanged: 'unchanged',
  planned: 'would change',
  refused: 'NOT PUSHED',
  restored: 'NOT TAKEN',
  failed: 'FAILED',
  left: 'left',
};

/** Rows as a table, with what was said of single ones below it. */
export function pushLines(rows: readonly PushRow[]): string[] {
  const table = rows.map((row) => [
    row.name,
    row.key,
    time(row.storeIssuedMs),
    time(row.serverIssuedMs),
    row.action === 'delete' && row.outcome === 'done' ? 'deleted' : OUTCOMES[row.outcome],
  ]);
  // A name comes from a JWT, which at a server anybody may have put there.
  const details = rows.flatMap(({ name, key, detail, changes = [] }) =>
    [...changes, ...(detail === undefined ? [] : [detail])].map((line) => visible(`${name || key}: ${line}`)),
  );
  return [
    ...tableLines(['ACCOUNT', 'PUBLIC KEY', 'STORE', 'SERVER BEFORE', 'NOW'], table),
    ...(details.length === 0 ? [] : ['', ...details]),
  ];
}

const time = (ms: number | undefined): string => (ms === undefined ? '' : `${new Date(ms).toISOString().slice(0, 19)}Z`);
