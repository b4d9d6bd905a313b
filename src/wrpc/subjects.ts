import { type ComponentId, type FunctionName, functionName, type InstanceName, type LatticeName } from '../ids.ts';

/** Whom a subject names. All parts have passed `ids.ts`, so that concatenation needs no escaping (wRPC over NATS, subject grammar). */
export interface ServedBy {
  readonly lattice: LatticeName;
  readonly component: ComponentId;
}

/** A function as its subject names it. */
export interface InvocationAddress extends ServedBy {
  /** Versioned interface name, or `''` for a function that the world itself exports. */
  readonly instance: InstanceName;
  readonly func: FunctionName;
}

const PROTOCOL = 'wrpc.0.0.1';

/** Longest path of an async value, positions. A WIT type nested deeper than this is not something a peer sends in good faith. */
export const MAX_PATH_DEPTH = 16;
const MAX_REPLY_LENGTH = 512;

/** Returns the subject that invokes a function: `{lattice}.{component}.wrpc.0.0.1.[{instance}.]{func}`. */
export function invocationSubject(address: InvocationAddress): string {
  const { lattice, component, instance, func } = address;
  return instance === ''
    ? `${lattice}.${component}.${PROTOCOL}.${func}`
    : `${lattice}.${component}.${PROTOCOL}.${instance}.${func}`;
}

/** Returns the queue group of every function a component or provider serves: the subject prefix, as 1.x hosts name it. */
export function queueGroup(server: ServedBy): string {
  return `${server.lattice}.${server.component}`;
}

/**
 * Returns the subjects of a function that the world itself exports. wasmtime hosts call it without an instance,
 * Rust-generated bindings under the world's own name; to be reachable by both, serve both.
 *
 * @param world Versioned world name (`ns:pkg/world@1.0.0`), or `undefined` when the component does not tell.
 */
export function worldFunctionSubjects(server: ServedBy, func: FunctionName, world?: InstanceName): readonly string[] {
  const bare = invocationSubject({ ...server, instance: '' as InstanceName, func });
  return world === undefined || world === '' ? [bare] : [bare, invocationSubject({ ...server, instance: world, func })];
}

/**
 * Returns the name a WIT function has on the wire: `[method]counter.up` → `counter.up`, `[constructor]counter` → `counter`,
 * `[static]counter.make` → `counter.make`, everything else unchanged. @throws TRELLIS_ID_INVALID
 */
export function wireFunctionName(witName: string): FunctionName {
  return functionName(witName.replace(/^\[(?:constructor|method|static)\]/, ''));
}

/**
 * True if `text` can be somebody's inbox: plain subject characters below a root of `_INBOX…` (all clients' default and ours)
 * or `_R_` (what a server puts in place of it when the call crosses accounts). A host publishes to what peers name here,
 * so nothing else may pass: otherwise a call with a made-up reply subject lets a stranger publish with this host's rights.
 */
export function isInboxSubject(text: string): boolean {
  return text.length <= MAX_REPLY_LENGTH && /^_(?:INBOX[A-Za-z0-9_-]*|R_)(?:\.[!-)+\-/-=?-~]+)+$/.test(text);
}

/**
 * Reads what follows an inbox in a frame's subject: `.params` → `''` (the root), `.params.0.1` → `'0.1'`;
 * `undefined` for anything that is not `kind` or whose path is not decimal positions (wRPC over NATS, index paths).
 */
export function framePath(tail: string, kind: '.params' | '.results'): string | undefined {
  if (tail === kind) return '';
  if (!tail.startsWith(kind) || tail.charCodeAt(kind.length) !== 46) return undefined;
  const path = tail.slice(kind.length + 1);
  return isPath(path) ? path : undefined;
}

/** True if `path` names an async value: decimal positions joined by dots, at most {@link MAX_PATH_DEPTH}. */
export function isPath(path: string): boolean {
  return (
    path.length <= 128 &&
    /^(?:0|[1-9][0-9]{0,9})(?:\.(?:0|[1-9][0-9]{0,9}))*$/.test(path) &&
    path.split('.').length <= MAX_PATH_DEPTH
  );
}

/** Returns the subject suffix of an async value's path (`''` is the root), or `undefined` if it is not a path. */
export function frameSuffix(kind: '.params' | '.results', path: string): string | undefined {
  if (path === '') return kind;
  return isPath(path) ? `${kind}.${path}` : undefined;
}
