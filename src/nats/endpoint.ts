import { isIP } from 'node:net';
import { accessSync, constants } from 'node:fs';
import { isLoopback } from '../config/loopback.ts';
import { TrellisError } from '../errors.ts';
import { quote } from '../ids.ts';

/** TLS settings of a partition. There is no switch that turns verification off. */
export interface TlsSettings {
  /** Certificates that may sign the server's, PEM; without it, those Node trusts. */
  readonly caFile?: string | undefined;
  /** Client certificate and its key, PEM; both or none. */
  readonly certFile?: string | undefined;
  readonly keyFile?: string | undefined;
  /** Name the server certificate must carry; the host name of the address when absent. */
  readonly serverName?: string | undefined;
  /** TLS before the server's first line, nats-server 2.10 with `handshake_first`; closes the door to a stripped greeting. */
  readonly handshakeFirst?: boolean | undefined;
}

/** Where and how a connection dials, judged and ready for the client library. */
export interface Endpoints {
  /** `host:port` of each server, IPv6 in brackets. */
  readonly servers: readonly string[];
  /** Options for the client; `undefined` only when every server is on loopback and nobody asked for TLS. */
  readonly tls: TlsOptions | undefined;
  /** True if every server is this machine's loopback. */
  readonly loopback: boolean;
}

/** What the client library hands to `tls.connect`. A key is absent rather than undefined: it would override the default. */
export interface TlsOptions {
  minVersion: 'TLSv1.2';
  caFile?: string;
  certFile?: string;
  keyFile?: string;
  servername?: string;
  handshakeFirst?: true;
}

/** A server's address in parts. */
export interface Address {
  /** Name or IP address; IPv6 without brackets. */
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
}

/**
 * Judges addresses and TLS settings together.
 *
 * The client library needs the care: a `tls://` address alone does not make it use TLS (it logs in in clear text to a
 * server, or an impostor, that offers none), and for an IP address it accepts any certificate made out to `localhost`.
 * So a TLS object is always given where TLS is due, and an IP address needs `serverName`.
 *
 * @param allowPlaintext Plain text beyond loopback, for networks that are encrypted below NATS.
 * @throws TRELLIS_NATS_SERVERS_INVALID, TRELLIS_NATS_TLS_REQUIRED, TRELLIS_NATS_TLS_INVALID
 */
export function resolveEndpoints(servers: readonly string[], tls: TlsSettings | undefined, allowPlaintext = false): Endpoints {
  if (servers.length === 0) throw new TrellisError('TRELLIS_NATS_SERVERS_INVALID', { message: 'no NATS server is configured' });
  const addresses = servers.map(parseAddress);
  const loopback = addresses.every(({ host }) => isLoopback(host));
  const wanted = tls !== undefined || addresses.some((address) => address.tls);
  if (!wanted && !loopback && !allowPlaintext) {
    throw new TrellisError('TRELLIS_NATS_TLS_REQUIRED', {
      message: `the connection to ${addresses.map((address) => address.host).join(', ')} would not be encrypted`,
    });
  }
  return {
    servers: addresses.map(({ host, port }) => `${host.includes(':') ? `[${host}]` : host}:${port}`),
    tls: wanted ? tlsOptions(tls ?? {}, addresses) : undefined,
    loopback,
  };
}

/**
 * Reads `nats://host:port` or `tls://host:port`; `nats` and 4222 if left out.
 * @throws TRELLIS_NATS_SERVERS_INVALID, which does not repeat the text
 */
export function parseAddress(text: string): Address {
  // Never quoted back: what is wrong with it may be a password.
  const refuse = (why: string) => new TrellisError('TRELLIS_NATS_SERVERS_INVALID', { message: `a NATS server address ${why}` });
  if (typeof text !== 'string' || text.length > 300 || !/^[!-~]+$/.test(text)) {
    throw refuse('is empty, too long, or holds something other than printable ASCII');
  }
  const withScheme = /^[a-z]+:\/\//i.test(text) ? text : `nats://${text}`;
  const url = URL.parse(withScheme);
  if (url === null || url.hostname === '') throw refuse('is not nats://host:port');
  if (url.protocol !== 'nats:' && url.protocol !== 'tls:')
    throw refuse(`has the scheme ${quote(url.protocol)}; only nats: and tls: are spoken`);
  if (url.username !== '' || url.password !== '')
    throw refuse('holds a user, password or token; Trellis logs in with credentials files only');
  if ((url.pathname !== '' && url.pathname !== '/') || url.search !== '' || url.hash !== '') throw refuse('has a path or query');
  const host = url.hostname.replace(/^\[|\]$/g, '');
  if (isIP(host) === 0 && !/^[A-Za-z0-9](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?\.?$/.test(host)) throw refuse('has no host name');
  return { host, port: url.port === '' ? 4222 : Number(url.port), tls: url.protocol === 'tls:' };
}

function tlsOptions(tls: TlsSettings, addresses: readonly Address[]): TlsOptions {
  const { caFile, certFile, keyFile, serverName, handshakeFirst } = tls;
  const refuse = (message: string) => new TrellisError('TRELLIS_NATS_TLS_INVALID', { message });
  if ((certFile === undefined) !== (keyFile === undefined)) throw refuse('tls.certFile and tls.keyFile belong together');
  const byIp = addresses.find(({ host }) => isIP(host) !== 0);
  if (byIp !== undefined && serverName === undefined) {
    throw refuse(
      `the server is addressed as ${byIp.host}, so nothing says which name its certificate must carry: set tls.serverName`,
    );
  }
  for (const [setting, file] of [
    ['tls.caFile', caFile],
    ['tls.certFile', certFile],
    ['tls.keyFile', keyFile],
  ] as const) {
    if (file !== undefined && !isReadable(file)) throw refuse(`${setting} ${quote(file)} cannot be read`);
  }
  const options: TlsOptions = { minVersion: 'TLSv1.2' };
  if (caFile !== undefined) options.caFile = caFile;
  if (certFile !== undefined) options.certFile = certFile;
  if (keyFile !== undefined) options.keyFile = keyFile;
  if (serverName !== undefined) options.servername = serverName;
  if (handshakeFirst === true) options.handshakeFirst = true;
  return options;
}

function isReadable(file: string): boolean {
  try {
    accessSync(file, constants.R_OK);
    return true;
  } catch {
    return false;
  }
}
