import { isIP } from 'node:net';
import { TrellisError } from '../errors.ts';
import { isToken, quote, type LatticeName } from '../ids.ts';

/**
 * How a sidecar keeps control and invocations apart. `both`: one process with an account for each; `pair`: a process for each;
 * `operator`: one process that knows the operator, so that local clients log in with their own JWTs.
 */
export type SidecarForm = 'both' | 'pair' | 'operator';

/** An address this machine alone can reach. */
export interface LoopbackAddress {
  readonly host: string;
  readonly port: number;
}

/** One half of the lattice as the sidecar carries it. */
export interface SidecarPartition {
  readonly listen: LoopbackAddress;
  /** Where the sidecar finds the credentials of its user at the hub; read again at every reconnect. */
  readonly credsFile: string;
}

/** An account of the operator form: its public key (`A…`) and its JWT. */
export interface SidecarAccount {
  readonly publicKey: string;
  readonly jwt: string;
}

/** Everything that decides a sidecar's configuration. Made by {@link sidecarSpec}, so every part of it has been checked. */
export interface SidecarSpec {
  readonly form: SidecarForm;
  /** Unique among the leaves of a hub: the hub drops an older one of the same name and account. */
  readonly name: string;
  /** Environment variable that has the name instead, for several pods of one configuration. */
  readonly nameVariable?: string | undefined;
  readonly lattice: LatticeName;
  /** Leaf node addresses of the hub, `tls://host:7422`; `nats://` on loopback only. */
  readonly hubs: readonly string[];
  /** JetStream domain of the hub, where the buckets of the lattice are. */
  readonly domain: string;
  readonly caFile?: string | undefined;
  /** Client certificate and key, for hubs that verify leaves. */
  readonly certFile?: string | undefined;
  readonly keyFile?: string | undefined;
  readonly ctl: SidecarPartition;
  readonly rpc: SidecarPartition;
  /** Health of the sidecar, loopback. With `pair` the second process takes the next port. */
  readonly monitor: LoopbackAddress | undefined;
  /** Public key (`U…`) of the local ctl user; not in the operator form. */
  readonly localCtlUser?: string | undefined;
  readonly maxPayloadBytes?: number | undefined;
  readonly operator?: OperatorParts | undefined;
}

/** What the operator form needs of the hub's hierarchy. All of it is public. */
export interface OperatorParts {
  readonly jwt: string;
  readonly ctl: SidecarAccount;
  readonly rpc: SidecarAccount;
  readonly system: SidecarAccount | undefined;
}

/** {@link SidecarSpec} before it was checked. */
export type SidecarInput = Omit<SidecarSpec, 'ctl' | 'rpc' | 'monitor'> & {
  readonly ctl: { readonly listen: string; readonly credsFile: string };
  readonly rpc: { readonly listen: string; readonly credsFile: string };
  readonly monitor: string | false;
};

/** Returns what a sidecar's configuration is made of. @throws TRELLIS_LEAF_INPUT */
export function sidecarSpec(input: SidecarInput): SidecarSpec {
  const { form, name, hubs, domain, ctl, rpc, certFile, keyFile } = input;
  if (!isToken(name, 64))
    throw refuse(`the name of the sidecar, ${quote(name)}, must be 1 to 64 characters of A-Z, a-z, 0-9, _ and -`);
  if (!isToken(domain, 64))
    throw refuse(`the JetStream domain ${quote(domain)} must be 1 to 64 characters of A-Z, a-z, 0-9, _ and -`);
  if (hubs.length === 0) throw refuse('no address of the hub is given');
  for (const hub of hubs) checkHub(hub);
  if ((certFile === undefined) !== (keyFile === undefined)) throw refuse('a client certificate and its key belong together');
  for (const path of [ctl.credsFile, rpc.credsFile, input.caFile, certFile, keyFile]) if (path !== undefined) checkPath(path);
  if (ctl.credsFile === rpc.credsFile)
    throw refuse('ctl and rpc must not share one credentials file: then the two partitions are one');
  const maxPayload = input.maxPayloadBytes;
  if (maxPayload !== undefined && !(Number.isInteger(maxPayload) && maxPayload >= 1024 && maxPayload <= 64 * 1024 * 1024)) {
    throw refuse('the largest message must be 1024 to 67108864 bytes');
  }
  const monitor = input.monitor === false ? undefined : loopbackAddress('the monitoring address', input.monitor);
  const spec: SidecarSpec = {
    ...input,
    ctl: { ...ctl, listen: loopbackAddress('the ctl address', ctl.listen) },
    rpc: { ...rpc, listen: loopbackAddress('the rpc address', rpc.listen) },
    monitor,
  };
  const shared = sameAddress(spec.ctl.listen, spec.rpc.listen);
  if (form === 'pair' && shared) throw refuse('two processes cannot listen on one address: give ctl and rpc different ones');
  if (form !== 'pair' && !shared) throw refuse(`the form ${form} is one process with one address for ctl and rpc`);
  const monitors = monitor === undefined ? [] : form === 'pair' ? [monitor, nextPort(monitor)] : [monitor];
  if (monitors.some((at) => sameAddress(at, spec.ctl.listen) || sameAddress(at, spec.rpc.listen))) {
    throw refuse('the monitoring address is one of the addresses for clients');
  }
  checkKeys(spec);
  return spec;
}

function checkKeys(spec: SidecarSpec): void {
  const { form, localCtlUser, operator } = spec;
  if (form === 'operator') {
    if (operator === undefined) throw refuse('the operator form needs the JWTs of the operator and of the two accounts');
    const { jwt, ctl, rpc, system } = operator;
    for (const text of [jwt, ctl.jwt, rpc.jwt, ...(system === undefined ? [] : [system.jwt])]) {
      if (!/^ey[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/.test(text)) throw refuse('a JWT is not one');
    }
    for (const { publicKey } of [ctl, rpc, ...(system === undefined ? [] : [system])]) {
      if (!/^A[A-Z2-7]{55}$/.test(publicKey)) throw refuse(`${quote(publicKey)} is no public key of an account`);
    }
    if (ctl.publicKey === rpc.publicKey) {
      throw refuse('ctl and rpc are one account: the operator form cannot keep them apart; use the form pair or both');
    }
  } else if (localCtlUser === undefined || !/^U[A-Z2-7]{55}$/.test(localCtlUser)) {
    throw refuse('the local ctl user needs a key, on loopback too');
  }
}

/** The monitoring address of the second process of a pair. */
export const nextPort = ({ host, port }: LoopbackAddress): LoopbackAddress => ({ host, port: port + 1 });

/** `host:port`, IPv6 in brackets. */
export const addressText = ({ host, port }: LoopbackAddress): string => `${isIP(host) === 6 ? `[${host}]` : host}:${port}`;

const sameAddress = (a: LoopbackAddress, b: LoopbackAddress): boolean => a.port === b.port && a.host === b.host;

function loopbackAddress(what: string, text: string): LoopbackAddress {
  const [, v6, v4, port] = /^(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+)):(\d{1,5})$/.exec(text) ?? [];
  const host = v6 ?? v4 ?? '';
  const isLocal = (isIP(host) === 4 && host.startsWith('127.')) || host === '::1';
  const number = Number(port);
  if (!isLocal || !(number >= 1 && number <= 65_534)) {
    throw refuse(
      `${what}, ${quote(text)}, must be a loopback address with a port, such as 127.0.0.1:4222: clients are local only`,
    );
  }
  return { host, port: number };
}

function checkHub(text: string): void {
  const url = /^[!-~]{1,300}$/.test(text) ? URL.parse(text) : null;
  const scheme = url?.protocol;
  // Never quoted back: what is wrong with it may be a password.
  if (url === null || (scheme !== 'tls:' && scheme !== 'nats:')) throw refuse('a hub address is not tls://host:port');
  if (url.username !== '' || url.password !== '')
    throw refuse('a hub address holds a user, password or token; the creds files are the login');
  if ((url.pathname !== '' && url.pathname !== '/') || url.search !== '' || url.hash !== '')
    throw refuse('a hub address has a path or query');
  const host = url.hostname.replace(/^\[|\]$/g, '');
  if (isIP(host) === 0 && !/^[A-Za-z0-9](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?\.?$/.test(host))
    throw refuse('a hub address has no host name');
  if (scheme === 'nats:' && host !== 'localhost' && host !== '::1' && !(isIP(host) === 4 && host.startsWith('127.'))) {
    throw refuse(`the sidecar would reach ${quote(host)} without TLS; write tls://`);
  }
}

function checkPath(path: string): void {
  // oxlint-disable-next-line no-control-regex -- these are the characters meant
  if (path === '' || path.length > 4096 || /[\u0000-\u001f\u007f]/.test(path)) throw refuse(`${quote(path)} is not a path`);
}

function refuse(message: string): TrellisError {
  return new TrellisError('TRELLIS_LEAF_INPUT', { message });
}
