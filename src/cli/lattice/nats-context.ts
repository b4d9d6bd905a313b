import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { isTree, type Tree } from '../../config/layers.ts';
import { TrellisError } from '../../errors.ts';

/** Logins of the `nats` command that Trellis does not have; with the field that would do instead. */
const UNUSABLE = {
  user: 'a user name',
  password: 'a password',
  token: 'a token',
  user_jwt: 'a JWT that stands in the file itself',
  user_seed: 'a seed that stands in the file itself',
  windows_cert_store: 'a certificate store of Windows',
  socks_proxy: 'a proxy',
} as const;

/**
 * Reads a context of the `nats` command (`~/.config/nats/context/NAME.json`) as settings for both connections. It knows nothing of
 * lattices. @throws TRELLIS_CONTEXT_INVALID for logins that Trellis does not have, by name and never by value
 */
export function readNatsContext(
  name: string,
  text: string,
  env: NodeJS.ProcessEnv = process.env,
): { readonly description: string; readonly settings: Tree } {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw invalid(name, 'it is not JSON');
  }
  if (!isTree(value)) throw invalid(name, 'it is no context of the nats command');
  const given = value;
  const home = env['HOME'] || homedir();
  const field = (key: string): string | undefined => {
    const found = given[key];
    return typeof found === 'string' && found !== '' ? found : undefined;
  };
  const path = (key: string): string | undefined => field(key)?.replace(/^~(?=\/)/, home);
  for (const [key, what] of Object.entries(UNUSABLE)) {
    if (field(key) === undefined) continue;
    throw invalid(
      name,
      `it uses ${what} (${key}), which Trellis does not; credentials in a file (creds), an nkey or a certificate do`,
    );
  }
  const login = {
    credsFile: path('creds') ?? credsOfNsc(name, field('nsc'), env, home),
    seedFile: path('nkey'),
  };
  const tls = {
    caFile: path('ca'),
    certFile: path('cert'),
    keyFile: path('key'),
    handshakeFirst: given['tls_first'] === true ? true : undefined,
  };
  const partition = present({
    servers: serversOf(field('url')),
    ...present(login),
    tls: Object.keys(present(tls)).length === 0 ? undefined : present(tls),
    inboxPrefix: inboxPrefix(name, field('inbox_prefix')),
  });
  return { description: field('description') ?? '', settings: { ctl: partition, rpc: partition } };
}

function serversOf(url: string | undefined): string[] {
  const urls = (url ?? 'nats://127.0.0.1:4222').split(',').map((each) => each.trim());
  return urls.filter((each) => each !== '').map((each) => (each.includes('://') ? each : `nats://${each}`));
}

/** `nsc://operator/account/user`: where `nsc` keeps the credentials of its users. */
function credsOfNsc(name: string, reference: string | undefined, env: NodeJS.ProcessEnv, home: string): string | undefined {
  if (reference === undefined) return undefined;
  const [, operator, account, user] = /^nsc:\/\/([\w. -]+)\/([\w. -]+)\/([\w. -]+)$/.exec(reference) ?? [];
  const data = env['XDG_DATA_HOME'] || join(home, '.local', 'share');
  const roots = [env['NKEYS_PATH'], join(data, 'nats', 'nsc', 'keys')].filter((root) => root !== undefined && root !== '');
  const files = roots.map((root) => join(root!, 'creds', operator ?? '', account ?? '', `${user}.creds`));
  const found = user === undefined ? undefined : files.find((file) => existsSync(file));
  if (found !== undefined) return found;
  throw invalid(
    name,
    'it names a user of nsc whose credentials are not here; write them to a file with nsc generate creds, and set creds',
  );
}

function inboxPrefix(name: string, prefix: string | undefined): string | undefined {
  if (prefix === undefined || /^_INBOX[A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]+)+$/.test(prefix)) return prefix;
  if (prefix === '_INBOX') return undefined;
  throw invalid(name, 'its inbox_prefix does not begin with _INBOX and a further part; hosts answer to such inboxes only');
}

const present = (fields: Tree): Tree => Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));

/** What helps with a context of the `nats` command, which Trellis does not write. */
export function natsContextRemedy(name: string): string {
  return `Change it with nats context edit ${name}, or make one for Trellis with trellis ctx new.`;
}

function invalid(name: string, why: string): TrellisError {
  return new TrellisError('TRELLIS_CONTEXT_INVALID', {
    message: `nats context ${name}: ${why}`,
    remedy: natsContextRemedy(name),
  });
}
