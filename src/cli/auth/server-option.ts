import type { Command } from 'commander';
import { readCredsFile } from '../../auth/creds-file.ts';
import { type AuthStore, SYSTEM_ACCOUNT, SYSTEM_USER } from '../../auth/store.ts';
import { loginForCommand } from '../../auth/system-users.ts';
import { TrellisError } from '../../errors.ts';
import type { ServerAddress, UserLogin } from '../../nats/system-connection.ts';

/** The flags that say where servers are. */
export interface ServerAddressFlags {
  readonly server?: readonly string[];
  readonly tlsCa?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly tlsServerName?: string;
}

/** The flags of every command that speaks to running servers as a user of the system account. */
export interface ServerFlags extends ServerAddressFlags {
  readonly systemCreds?: string;
}

/** Adds `--server` and what belongs to it. */
export function withServerAddress(command: Command, what: string): Command {
  return command
    .option('--server <url...>', what)
    .option('--tls-ca <file>', "certificates that may sign the server's, PEM")
    .option('--tls-cert <file>', 'client certificate, PEM')
    .option('--tls-key <file>', 'its key, PEM')
    .option('--tls-server-name <name>', 'name that the server certificate must carry, where --server has an address');
}

/** Adds `--server`, what belongs to it, and as whom to log in there. */
export function withServer(command: Command, what: string): Command {
  return withServerAddress(command, what).option(
    '--system-creds <file>',
    'user of the system account to log in as; one made for this command if left out',
  );
}

/** Where the servers are; `undefined` without `--server`. @throws TRELLIS_USAGE */
export function serverAddress({ server, tlsCa, tlsCert, tlsKey, tlsServerName }: ServerAddressFlags): ServerAddress | undefined {
  if (server === undefined) {
    if (tlsCa ?? tlsCert ?? tlsKey ?? tlsServerName) {
      throw new TrellisError('TRELLIS_USAGE', { message: '--tls-… says how to reach --server, which is missing' });
    }
    return undefined;
  }
  const tls = {
    ...(tlsCa === undefined ? {} : { caFile: tlsCa }),
    ...(tlsCert === undefined ? {} : { certFile: tlsCert }),
    ...(tlsKey === undefined ? {} : { keyFile: tlsKey }),
    ...(tlsServerName === undefined ? {} : { serverName: tlsServerName }),
  };
  return { servers: server, ...(Object.keys(tls).length === 0 ? {} : { tls }) };
}

/** Where the servers are, and as whom to log in; `undefined` without `--server`. @throws TRELLIS_USAGE, TRELLIS_NATS_CREDENTIALS_INVALID */
export function systemLogin(
  flags: ServerFlags,
  store: AuthStore,
): { readonly where: ServerAddress; readonly login: UserLogin } | undefined {
  const where = serverAddress(flags);
  if (where === undefined) {
    if (flags.systemCreds === undefined) return undefined;
    throw new TrellisError('TRELLIS_USAGE', { message: '--system-creds says how to reach --server, which is missing' });
  }
  const made = flags.systemCreds === undefined ? loginForCommand(store, Date.now()) : undefined;
  if (made !== undefined) return { where, login: made };
  const creds = readCredsFile(flags.systemCreds ?? store.credsFile(SYSTEM_ACCOUNT, SYSTEM_USER));
  return { where, login: { jwt: creds.jwt, key: creds.key } };
}
