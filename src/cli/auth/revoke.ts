import type { Command } from 'commander';
import type { RenewedUser } from '../../auth/renew.ts';
import { liftRevocations, reinstateUsers, revokeUsers, type Revocation } from '../../auth/revoke.ts';
import { EXIT, TrellisError } from '../../errors.ts';
import { tableLines } from '../output.ts';
import { examples, outputOf } from '../program.ts';
import { allWell, changedLines, pushChanged } from './push.ts';
import { renewedLines } from './renewed-lines.ts';
import { type ServerFlags, systemLogin, withServer } from './server-option.ts';
import { openStore, type StoreFlags, withStore } from './store-option.ts';

interface RevokeFlags extends StoreFlags, ServerFlags {
  readonly tenant?: string;
  readonly account?: string;
  readonly undo?: true;
  readonly lift?: true;
}

/** `trellis auth revoke`: end what was issued to somebody, and take it back. */
export function registerRevoke(auth: Command): void {
  withServer(withStore(auth.command('revoke')), 'running servers to tell at once; else trellis auth push does')
    .description(
      'Make the credentials of a host, provider or person invalid. A server that is told ends its connections within seconds, and ' +
        'nobody else notices.',
    )
    .argument('<who>', 'name of a host, provider, person or user; or a public key U…')
    .option('--tenant <name>', 'tenant it belongs to')
    .option('--account <name>', 'account it belongs to, for users of other tools')
    .option(
      '--undo',
      'give it new credentials for the key it has, issued later than the revocation; those that were revoked stay so',
    )
    .option('--lift', 'with --undo: take the revocation back instead, so that the credentials it has count again')
    .addHelpText(
      'after',
      examples(
        '# a host was broken into',
        'trellis auth revoke web-2 --tenant acme --server tls://nats.example:4222 --tls-ca ca.pem',
        '# it was made anew: another key and new credentials, and the stolen ones stay dead',
        'trellis auth rotate web-2 --tenant acme --new-key',
        '# it was a mistake',
        'trellis auth revoke web-2 --tenant acme --undo --lift --server nats://127.0.0.1:4222',
      ),
    )
    .action(async (who: string, flags: RevokeFlags, command: Command) => {
      const { tenant, account, undo = false, lift = false } = flags;
      if (lift && !undo) throw new TrellisError('TRELLIS_USAGE', { message: '--lift is a way to --undo' });
      const store = openStore(flags);
      // Servers that cannot be reached as it is said are found out before anything is changed.
      systemLogin(flags, store);
      const place = { tenant, account };
      const nowMs = Date.now();
      let revoked: Revocation[] = [];
      let renewed: RenewedUser[] = [];
      await store.change(() => {
        if (!undo) revoked = revokeUsers(store, who, place, nowMs);
        else if (lift) revoked = liftRevocations(store, who, place, nowMs);
        else renewed = reinstateUsers(store, who, place, nowMs);
      });
      const changed = [...new Set(revoked.map((each) => each.account))];
      const pushed = await pushChanged(store, flags, changed);
      outputOf(command).result({ who, revoked, renewed, pushed: pushed ?? null }, (print) => {
        for (const line of revocationLines(revoked, undo)) print(line);
        for (const line of renewed.length === 0 ? [] : renewedLines(renewed)) print(line);
        const tell = changedLines(changed, pushed);
        for (const line of tell.length === 0 ? [] : ['', ...tell]) print(line);
      });
      if (pushed !== undefined && !allWell(pushed)) process.exitCode = EXIT.denied;
    });
}

function revocationLines(revoked: readonly Revocation[], lifted: boolean): string[] {
  if (revoked.length === 0) return [];
  const rows = revoked.map(({ account, user = '', publicKey, untilMs }) => [
    account,
    user,
    publicKey,
    lifted || untilMs === undefined ? 'no longer revoked' : `what was issued until ${new Date(untilMs).toISOString()}`,
  ]);
  return tableLines(['ACCOUNT', 'USER', 'PUBLIC KEY', 'REVOKED'], rows);
}
