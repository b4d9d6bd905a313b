import { isIPv4, isIPv6 } from 'node:net';
import { TrellisError } from './errors.ts';

/**
 * Names that become NATS subject tokens, header values or file names. They are validated here and nowhere else;
 * the branded types say that a string has passed. (`nats-security` facts: a lattice called `*` receives every
 * tenant's traffic, and a client that lets white space through lets a guest write protocol lines.)
 */
declare const brand: unique symbol;
type Branded<Name extends string> = string & { readonly [brand]: Name };

/** A lattice name: one subject token, 1–64 characters of `A-Za-z0-9_-`. */
export type LatticeName = Branded<'LatticeName'>;
/** A component or provider id: one subject token, 1–128 characters of `A-Za-z0-9_-`. */
export type ComponentId = Branded<'ComponentId'>;
/** A link name: 1–64 characters of `A-Za-z0-9_-`; `default` when nobody says otherwise. */
export type LinkName = Branded<'LinkName'>;
/** A WIT interface with optional version (`ns:pkg/iface@1.2.3`), or a bare interface name, or empty for world-level functions. */
export type InstanceName = Branded<'InstanceName'>;
/** A wRPC function name: kebab-case, or `resource.member` (`wrpc-nats` §1). */
export type FunctionName = Branded<'FunctionName'>;

const TOKEN = /^[A-Za-z0-9_-]+$/;
// A WIT label: kebab words, each all lower or all upper case, beginning with a letter. Written so that a word can match in one
// way only: with two ways, a name of a hundred characters would take for ever to refuse.
const WORD = '(?=[0-9A-Za-z])[0-9]*(?:[a-z][0-9a-z]*|[A-Z][0-9A-Z]*)?';
const LABEL = `(?:[a-z][a-z0-9]*|[A-Z][A-Z0-9]*)(?:-${WORD})*`;
const SEMVER = '[0-9]+\\.[0-9]+\\.[0-9]+(?:-[0-9A-Za-z.-]+)?(?:\\+[0-9A-Za-z.-]+)?';
const INSTANCE = new RegExp(`^(?:${LABEL}:)*${LABEL}(?:/${LABEL})*(?:@${SEMVER})?$`);
const TWIN = /^(?:wasi|wrpc):(blobstore|http|keyvalue)\/(.+)$/;
const MESSAGING_TWINS: ReadonlyMap<string, string> = new Map([
  ['wasmcloud:messaging/producer', 'wasmcloud:messaging/consumer'],
  ['wasmcloud:messaging/request-reply', 'wasmcloud:messaging/consumer'],
  ['wasmcloud:messaging/incoming-handler', 'wasmcloud:messaging/handler'],
]);
const FUNCTION = new RegExp(`^${LABEL}(?:\\.${LABEL})?$`);

function check(ok: boolean, what: string, value: unknown, maxLength: number): void {
  if (ok) return;
  throw new TrellisError('TRELLIS_ID_INVALID', {
    message: `${what} ${quote(value)} is not allowed`,
    details: { what, maxLength },
  });
}

/** A value as it may appear in a message: printable ASCII only, cut at 60 characters. */
export function quote(value: unknown): string {
  const text = typeof value === 'string' ? value : `(${typeof value})`;
  const cut = text.length > 60 ? `${text.slice(0, 57)}...` : text;
  return JSON.stringify(cut).replace(/[^\x20-\x7e]/g, escaped);
}

/** A path as it may appear in a message: printable ASCII only; of a long one the end, which tells more, is kept. */
export function quotePath(path: string): string {
  const cut = path.length > 200 ? `...${path.slice(-197)}` : path;
  return JSON.stringify(cut).replace(/[^\x20-\x7e]/g, escaped);
}

const escaped = (c: string): string => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`;

function token(value: unknown, maxLength: number): boolean {
  return typeof value === 'string' && value.length <= maxLength && TOKEN.test(value);
}

/** Returns `value` as a lattice name. @throws TRELLIS_ID_INVALID */
export function latticeName(value: unknown): LatticeName {
  check(token(value, 64), 'lattice name', value, 64);
  return value as LatticeName;
}

/** Returns `value` as a component or provider id. @throws TRELLIS_ID_INVALID */
export function componentId(value: unknown): ComponentId {
  check(token(value, 128), 'component id', value, 128);
  return value as ComponentId;
}

/** Returns `value` as a link name. @throws TRELLIS_ID_INVALID */
export function linkName(value: unknown): LinkName {
  check(token(value, 64), 'link name', value, 64);
  return value as LinkName;
}

/** Returns `value` as an instance name; the empty string stands for the world itself. @throws TRELLIS_ID_INVALID */
export function instanceName(value: unknown): InstanceName {
  const ok = value === '' || (typeof value === 'string' && value.length <= 256 && INSTANCE.test(value));
  check(ok, 'interface name', value, 256);
  return value as InstanceName;
}

/**
 * What links, and whoever chooses among them, call an interface by: its name without version. `wasi:` and `wrpc:` forms of one interface, of
 * which a component has the one and the wire the other, are one to them; so are the interfaces of `wasi:blobstore`, which share resources, and
 * those of `wasmcloud:messaging` that 0.2.0 and 0.3.0 call otherwise.
 * Never throws.
 */
export function linkKey(instance: string): string {
  const at = instance.indexOf('@');
  const name = at < 0 ? instance : instance.slice(0, at);
  const twin = TWIN.exec(name);
  if (twin === null) return MESSAGING_TWINS.get(name) ?? name;
  return twin[1] === 'blobstore' ? 'wasi:blobstore/blobstore' : `wasi:${twin[1]!}/${twin[2]!}`;
}

/** Returns `value` as a wRPC function name. @throws TRELLIS_ID_INVALID */
export function functionName(value: unknown): FunctionName {
  check(typeof value === 'string' && value.length <= 200 && FUNCTION.test(value), 'function name', value, 200);
  return value as FunctionName;
}

/** True if `value` may be a lattice name, component id or link name; the non-throwing form for untrusted input. */
export function isToken(value: unknown, maxLength = 128): boolean {
  return token(value, maxLength);
}

/** True if `value` may be the first tokens of subjects: 1 to 8 of them, of `A-Za-z0-9_-`, at most 200 characters together. */
export function isSubjectPrefix(value: string): boolean {
  return value.length <= 200 && /^[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+){0,7}$/.test(value);
}

/** True for the form of a public key by which wasmCloud 0.82 names an actor (`M…`) or a provider (`V…`). */
export function isPeerKey(value: string): boolean {
  return value.length === 56 && /^[MV][A-Z2-7]{55}$/.test(value);
}

/** A host with a port, as a network grant names it. */
export interface HostPort {
  /** A lower-case DNS name, an IPv4 address, or an IPv6 address in its shortest form and without brackets. */
  readonly host: string;
  /** 1–65535. */
  readonly port: number;
}

const HOST_LABEL = /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/;
// Whatever ends in a number is an address to some resolver: `127.1`, `0x7f000001` and `2130706433` all mean 127.0.0.1.
const NUMBER_LIKE = /^(?:[0-9]+|0x[0-9a-f]*)$/;

/**
 * Returns `value` as a host in the one form in which hosts are compared, or `undefined`: a DNS name without a dot at its
 * end (any case; no wildcard), an IPv4 address of four plain decimal numbers, or an IPv6 address in brackets. An IPv6
 * address that only wraps an IPv4 address is refused, for it would be a second name of the same machine.
 */
export function hostName(value: string): string | undefined {
  if (value.length > 253) return undefined;
  if (value.startsWith('[')) {
    const address = value.slice(1, -1);
    if (!value.endsWith(']') || !isIPv6(address) || address.includes('%')) return undefined;
    // The URL parser writes each address in one way only (RFC 5952).
    const canonical = new URL(`http://${value}/`).hostname.slice(1, -1);
    return canonical.startsWith('::ffff:') ? undefined : canonical;
  }
  if (isIPv4(value)) return value;
  const name = value.toLowerCase();
  const labels = name.split('.');
  return labels.every((label) => HOST_LABEL.test(label)) && !NUMBER_LIKE.test(labels.at(-1)!) ? name : undefined;
}

/** Returns `value` (`host:port`, for hosts see {@link hostName}) in parts, or `undefined` if it is anything else. */
export function hostPort(value: string): HostPort | undefined {
  const match = /^(.+):([1-9][0-9]{0,4})$/.exec(value);
  const host = match === null ? undefined : hostName(match[1]!);
  const port = Number(match?.[2]);
  return host === undefined || port > 65_535 ? undefined : { host, port };
}
