import { existsSync, mkdirSync, readFileSync, realpathSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { TrellisError } from '../errors.ts';
import { replaceFile } from '../replace-file.ts';
import { userState } from './describe-store.ts';
import { serverConfig, type ServerConfigOptions, soundAccounts } from './server-config.ts';
import { type AuthStore, SYSTEM_ACCOUNT } from './store.ts';

/** What {@link exportStore} takes. */
export interface ExportOptions {
  /** Folder for the files; made if missing, mode 0700. */
  readonly out: string;
  readonly server: ServerConfigOptions;
  /** Whether creds files of hosts, providers and the others are copied; those that have ended never are. */
  readonly creds?: boolean | undefined;
  /** Whether files that are there already are replaced. */
  readonly force?: boolean | undefined;
  readonly nowMs: number;
}

/** Files that were written. */
export interface ExportedFiles {
  readonly serverConfig: string;
  /** Creds files, mode 0600; never one of the system account. */
  readonly creds: readonly string[];
  /** Account JWTs as a web server has to give them out, for the URL resolver. */
  readonly accounts: readonly string[];
}

/**
 * Writes the configuration of a nats-server, and copies of the creds files for those who use them. Nothing is written when a file
 * is in the way.
 *
 * @throws TRELLIS_AUTH_EXISTS, TRELLIS_AUTH_JWT_INVALID, TRELLIS_CLI_FILE, TRELLIS_USAGE
 */
export function exportStore(store: AuthStore, options: ExportOptions): ExportedFiles {
  const { out, server, force = false } = options;
  refuseInside(store.dir, out);
  const config = { file: join(out, 'nats-server.conf'), text: serverConfig(store, server) };
  const creds = options.creds === false ? [] : credsIn(store, join(out, 'creds'), options.nowMs);
  const accounts =
    server.resolver.kind === 'url'
      ? soundAccounts(store).map(({ key, jwt }) => ({ file: join(out, 'accounts', key), text: jwt }))
      : [];
  const files = [config, ...creds, ...accounts];
  const inTheWay = files.find(({ file }) => existsSync(file));
  if (!force && inTheWay !== undefined) {
    throw new TrellisError('TRELLIS_AUTH_EXISTS', {
      message: `${inTheWay.file} exists already, and nothing was written`,
      remedy: 'Replace what was exported before with --force, or name another folder with --out.',
    });
  }
  try {
    for (const { file, text } of files) {
      mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
      replaceFile(file, text);
    }
  } catch (cause) {
    throw new TrellisError('TRELLIS_CLI_FILE', {
      message: `${out} cannot be written (${String((cause as NodeJS.ErrnoException).code)})`,
      cause,
    });
  }
  const names = (list: readonly { file: string }[]): string[] => list.map(({ file }) => file);
  return { serverConfig: config.file, creds: names(creds), accounts: names(accounts) };
}

function credsIn(store: AuthStore, dir: string, nowMs: number): { file: string; text: string }[] {
  const found: { file: string; text: string }[] = [];
  for (const account of store.accounts()) {
    // Whoever administers the servers uses the store itself.
    if (!account.ok || account.name === SYSTEM_ACCOUNT) continue;
    for (const user of store.users(account.name)) {
      const from = store.credsFile(account.name, user.name);
      if (!user.ok || !existsSync(from)) continue;
      if (['expired', 'revoked'].includes(userState(user.claims, account.claims, nowMs))) continue;
      found.push({ file: join(dir, account.name, `${user.name}.creds`), text: readFileSync(from, 'utf8') });
    }
  }
  return found;
}

/** An export into the store would be taken for accounts and keys of it. */
function refuseInside(storeDir: string, out: string): void {
  const store = realpathSync(storeDir);
  if (!`${resolve(out)}/`.startsWith(`${store}/`)) return;
  throw new TrellisError('TRELLIS_USAGE', { message: 'An export belongs into a folder outside of the store' });
}
