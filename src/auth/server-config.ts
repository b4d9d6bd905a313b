import { TrellisError } from '../errors.ts';
import type { AuthStore } from './store.ts';

/** Where the server has account JWTs from: its configuration, a folder that `auth push` reaches, or a web server. */
export type Resolver =
  | { readonly kind: 'memory' }
  | { readonly kind: 'full'; readonly dir: string }
  | { readonly kind: 'url'; readonly url: string };

/** Certificate files of a server. */
export interface ServerTls {
  readonly certFile: string;
  readonly keyFile: string;
  readonly caFile?: string | undefined;
  /** Ask clients for a certificate of the same authority. */
  readonly verifyClients?: boolean | undefined;
}

/** What {@link serverConfig} takes. Paths are written as they are. */
export interface ServerConfigOptions {
  readonly resolver: Resolver;
  /** `host:port` for clients. */
  readonly listen: string;
  readonly name?: string | undefined;
  readonly tls?: ServerTls | undefined;
  /** Folder of JetStream's files; no JetStream when left out. */
  readonly jetstreamDir?: string | undefined;
  /** JetStream domain; leaf nodes need one. */
  readonly domain?: string | undefined;
  /** `host:port` for leaf nodes; none when left out. */
  readonly leafListen?: string | undefined;
}

/**
 * Returns the configuration of a nats-server that trusts the store's operator and nobody else. It holds JWTs, which are public,
 * and no key.
 *
 * @throws TRELLIS_AUTH_JWT_INVALID if an account is not sound, TRELLIS_USAGE for a value that cannot be written
 */
export function serverConfig(store: AuthStore, options: ServerConfigOptions): string {
  const { nats } = store.operator();
  const { name, listen, tls, jetstreamDir, domain, leafListen } = options;
  if (nats.system_account === undefined) {
    throw new TrellisError('TRELLIS_AUTH_STORE', {
      message: 'The operator has no system account, which a server needs',
      remedy: 'Name one with nsc: nsc edit operator --system-account SYS',
    });
  }
  const tlsBlock = tls === undefined ? [] : block('tls', tlsLines(tls));
  return [
    '# Written by trellis auth export: export again rather than change it.',
    ...(name === undefined ? [] : [`server_name: ${quoted(name)}`]),
    `listen: ${quoted(listen)}`,
    ...tlsBlock,
    ...(jetstreamDir === undefined
      ? []
      : block('jetstream', [
          `store_dir: ${quoted(jetstreamDir)}`,
          ...(domain === undefined ? [] : [`domain: ${quoted(domain)}`]),
        ])),
    ...(leafListen === undefined ? [] : block('leafnodes', [`listen: ${quoted(leafListen)}`, ...tlsBlock])),
    '',
    `operator: ${store.operatorJwt()}`,
    `system_account: ${nats.system_account}`,
    ...resolverLines(store, options.resolver),
    '',
  ].join('\n');
}

const block = (name: string, lines: readonly string[]): string[] => [`${name} {`, ...lines.map((line) => `  ${line}`), '}'];

function tlsLines({ certFile, keyFile, caFile, verifyClients }: ServerTls): string[] {
  return [
    `cert_file: ${quoted(certFile)}`,
    `key_file: ${quoted(keyFile)}`,
    ...(caFile === undefined ? [] : [`ca_file: ${quoted(caFile)}`]),
    ...(verifyClients === true ? ['verify: true'] : []),
    'timeout: 3',
  ];
}

function resolverLines(store: AuthStore, resolver: Resolver): string[] {
  // A resolver that reads a web server takes no accounts from the configuration.
  if (resolver.kind === 'url') return [`resolver: URL(${quoted(resolver.url)})`];
  const accounts = soundAccounts(store).map(({ key, jwt }) => `${key}: ${jwt}`);
  const preload = ['', ...block('resolver_preload', accounts)];
  if (resolver.kind === 'memory') return ['resolver: MEMORY', ...preload];
  const full = ['type: full', `dir: ${quoted(resolver.dir)}`, 'allow_delete: true', 'interval: "2m"', 'limit: 10000'];
  // A server keeps what it was brought later: it takes from here only what is newer.
  return [...block('resolver', full), ...preload];
}

/** The accounts of a store: public key, name and JWT. @throws TRELLIS_AUTH_JWT_INVALID if one is not sound */
export function soundAccounts(store: AuthStore): { readonly key: string; readonly name: string; readonly jwt: string }[] {
  return store.accounts().map((account) => {
    if (account.ok) return { key: account.claims.sub, name: account.name, jwt: account.jwt };
    throw new TrellisError('TRELLIS_AUTH_JWT_INVALID', { message: account.reason });
  });
}

/** A string of the server's configuration language. */
function quoted(text: string): string {
  // oxlint-disable-next-line no-control-regex -- a line end would end the value
  if (/[\u0000-\u001f"\\]/.test(text)) {
    throw new TrellisError('TRELLIS_USAGE', {
      message: 'A value for the server configuration holds a quote, a backslash or a control character',
    });
  }
  return `"${text}"`;
}
