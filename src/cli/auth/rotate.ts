import type { Command } from 'commander';
import { usersNamed, usersOf } from '../../auth/find-users.ts';
import { parseLifetime } from '../../auth/lifetime.ts';
import { renewUser, type RenewedUser } from '../../auth/renew.ts';
import { userState } from '../../auth/describe-store.ts';
import type { AuthStore } from '../../auth/store.ts';
import { TrellisError } from '../../errors.ts';
import { examples, outputOf } from '../program.ts';
import { renewedLines } from './renewed-lines.ts';
import { type KeyFlags, rotateAccountKeys, rotateOperatorKey } from './rotate-keys.ts';
import { systemLogin, withServer } from './server-option.ts';
import { openStore, withStore } from './store-option.ts';

interface RotateFlags extends KeyFlags {
  readonly newKey?: true;
  readonly expires?: string;
  readonly expiringWithin?: string;
  readonly operatorKey?: true;
}

/** `trellis auth rotate`: new credentials, and new keys that sign them. */
export function registerRotate(auth: Command): void {
  withServer(withStore(auth.command('rotate')), 'running servers to tell and to ask; for keys that sign')
    .description(
      'Make new credentials for a host, a provider or a person, or replace a key that signs. What was handed out goes on counting ' +
        'until it ends, so nobody is disconnected: bring the new creds files to their hosts, which read them without a restart.',
    )
    .argument('[name]', 'host, provider, person or user that gets new credentials')
    .option('--tenant <name>', 'tenant; with --expiring-within every account if left out')
    .option('--account <name>', 'one account, for example SYS')
    .option('--expiring-within <time>', 'instead of a name: everybody whose credentials end within this time, such as 7d')
    .option('--expires <lifetime>', 'how long the new credentials count; as long as the old ones if left out')
    .option('--new-key', 'make a new user key as well, where the old one may be known to others')
    .option('--role <role>', 'replace the scoped key of a role, such as host-rpc, in steps')
    .option('--all-keys', 'replace all signing keys of the accounts, in steps')
    .option('--operator-key', 'replace the key with which the operator signs accounts, in steps')
    .option('--finish', 'the last step: drop the key that was replaced')
    .option('--force', 'with --finish: although somebody is still connected with credentials that it signed')
    .addHelpText(
      'after',
      examples(
        'trellis auth rotate web-1 --tenant acme',
        'trellis auth rotate --expiring-within 7d',
        '# a key that signs may be known to others: a new one, all its users with it, then the old one goes',
        'trellis auth rotate --role host-rpc --tenant acme --server nats://127.0.0.1:4222',
        'trellis auth rotate --role host-rpc --tenant acme --server nats://127.0.0.1:4222 --finish',
        '# the operator: export again and restart the servers between the two',
        'trellis auth rotate --operator-key',
        'trellis auth rotate --operator-key --finish --server nats://127.0.0.1:4222',
      ),
    )
    .action(async (name: string | undefined, flags: RotateFlags, command: Command) => {
      const { role, allKeys = false, operatorKey = false, expiringWithin } = flags;
      const modes = [name, expiringWithin, role, allKeys || undefined, operatorKey || undefined].filter(
        (mode) => mode !== undefined,
      );
      if (modes.length !== 1) {
        throw new TrellisError('TRELLIS_USAGE', {
          message: 'Say what to rotate: a name, --expiring-within, --role, --all-keys or --operator-key, and one of them only',
        });
      }
      const store = openStore(flags);
      systemLogin(flags, store);
      const output = outputOf(command);
      if (operatorKey) return await rotateOperatorKey(store, flags, output);
      if (role !== undefined || allKeys) return await rotateAccountKeys(store, flags, output);
      if (flags.finish === true) throw new TrellisError('TRELLIS_USAGE', { message: '--finish is for keys that sign' });
      const { renewed, skipped } = await renew(store, name, flags);
      output.result({ renewed, skipped }, (print) => {
        for (const line of renewedLines(renewed)) print(line);
        if (skipped.length > 0) print(`\nLeft out, for they were revoked: ${skipped.join(', ')}`);
      });
    });
}

async function renew(
  store: AuthStore,
  name: string | undefined,
  flags: RotateFlags,
): Promise<{ renewed: RenewedUser[]; skipped: string[] }> {
  const { tenant, account, expires, expiringWithin, newKey } = flags;
  const nowMs = Date.now();
  const lifetimeMs = expires === undefined ? undefined : (parseLifetime(expires) ?? 'never');
  const expiresMs = typeof lifetimeMs === 'number' ? nowMs + lifetimeMs : lifetimeMs;
  const withinMs = expiringWithin === undefined ? undefined : parseLifetime(expiringWithin);
  if (expiringWithin === 'never')
    throw new TrellisError('TRELLIS_USAGE', { message: '--expiring-within takes a time, such as 7d' });
  return await store.change(() => {
    const place = { tenant, account };
    const chosen =
      name === undefined
        ? usersOf(store, place).filter(({ claims: { exp = 0 } }) => exp > 0 && exp * 1_000 <= nowMs + (withinMs ?? 0))
        : usersNamed(store, name, place);
    // Of many, those that were revoked are meant to end; who names one is told.
    const isRevoked = (found: (typeof chosen)[number]): boolean =>
      userState(found.claims, found.accountClaims, nowMs) === 'revoked';
    const left = name === undefined ? chosen.filter(isRevoked) : [];
    const renewed = chosen
      .filter((found) => !left.includes(found))
      .map((found) => renewUser(store, found, { nowMs, expiresMs, newKey }));
    return { renewed, skipped: left.map(({ user }) => user) };
  });
}
