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
  return JSON.stringify(cut).replace(/[^\x20-\x7e]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

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

/** Returns `value` as a wRPC function name. @throws TRELLIS_ID_INVALID */
export function functionName(value: unknown): FunctionName {
  check(typeof value === 'string' && value.length <= 200 && FUNCTION.test(value), 'function name', value, 200);
  return value as FunctionName;
}

/** True if `value` may be a lattice name, component id or link name; the non-throwing form for untrusted input. */
export function isToken(value: unknown, maxLength = 128): boolean {
  return token(value, maxLength);
}
