import type { ComponentTypes } from '../wit/types.ts';

/**
 * The interfaces that every component gets from its own runner, by name without version. Everything else that a
 * component imports is a link.
 */

/** What an operator must grant before an interface does anything; `none` for the harmless ones. */
export type Grant = 'none' | 'filesystem' | 'network' | 'http';

const BUILTIN: ReadonlyMap<string, Grant> = new Map<string, Grant>([
  ['wasi:cli/environment', 'none'],
  ['wasi:cli/exit', 'none'],
  ['wasi:cli/stdin', 'none'],
  ['wasi:cli/stdout', 'none'],
  ['wasi:cli/stderr', 'none'],
  ['wasi:cli/terminal-input', 'none'],
  ['wasi:cli/terminal-output', 'none'],
  ['wasi:cli/terminal-stdin', 'none'],
  ['wasi:cli/terminal-stdout', 'none'],
  ['wasi:cli/terminal-stderr', 'none'],
  ['wasi:clocks/monotonic-clock', 'none'],
  ['wasi:clocks/wall-clock', 'none'],
  ['wasi:clocks/timezone', 'none'],
  ['wasi:random/random', 'none'],
  ['wasi:random/insecure', 'none'],
  ['wasi:random/insecure-seed', 'none'],
  ['wasi:io/error', 'none'],
  ['wasi:io/poll', 'none'],
  ['wasi:io/streams', 'none'],
  ['wasi:logging/logging', 'none'],
  ['wasi:config/runtime', 'none'],
  ['wasi:config/store', 'none'],
  ['wasmcloud:bus/lattice', 'none'],
  ['wasmcloud:secrets/store', 'none'],
  ['wasmcloud:secrets/reveal', 'none'],
  ['wasmcloud:identity/store', 'none'],
  ['wasi:filesystem/types', 'filesystem'],
  ['wasi:filesystem/preopens', 'filesystem'],
  ['wasi:sockets/network', 'network'],
  ['wasi:sockets/instance-network', 'network'],
  ['wasi:sockets/ip-name-lookup', 'network'],
  ['wasi:sockets/tcp', 'network'],
  ['wasi:sockets/tcp-create-socket', 'network'],
  ['wasi:sockets/udp', 'network'],
  ['wasi:sockets/udp-create-socket', 'network'],
  ['wasi:http/types', 'http'],
  ['wasi:http/outgoing-handler', 'http'],
]);

/** Returns an interface name without its version: `wasi:io/poll` for `wasi:io/poll@0.2.3`. */
export function withoutVersion(name: string): string {
  const at = name.indexOf('@');
  return at === -1 ? name : name.slice(0, at);
}

/** True if the runner itself provides the interface. */
export function isBuiltin(name: string): boolean {
  return BUILTIN.has(withoutVersion(name));
}

/** Returns what must be granted before the built-in interface does anything, or `undefined` if it is not built in. */
export function grantFor(name: string): Grant | undefined {
  return BUILTIN.get(withoutVersion(name));
}

/**
 * True for the interfaces by which a guest calls whatever it names, with bytes of its own (`wrpc:rpc`, and `wasmcloud:bus/error` for its
 * failures). What a component can reach has to be read in its file, before any of it runs.
 */
export function isFreeInvoker(name: string): boolean {
  return /^(?:wrpc:rpc\/(?:context|error|invoker|transport)|wasmcloud:bus\/error)(?:@|$)/.test(name);
}

/** True if the interface is WASI 0.3 or later, whose built-in interfaces this host does not offer yet. */
export function isLaterWasi(name: string): boolean {
  const version = /^wasi:(?:cli|clocks|random|io|filesystem|sockets|http)\/[^@]*@(\d+)\.(\d+)\./.exec(name);
  return version !== null && (version[1] !== '0' || version[2] !== '2');
}

/** Functions of `wasi:io` that wait when what they are about is not ready. */
const WAITING: ReadonlySet<string> = new Set([
  'wasi:io/poll#poll',
  'wasi:io/poll#[method]pollable.block',
  'wasi:io/streams#[method]input-stream.blocking-read',
  'wasi:io/streams#[method]input-stream.blocking-skip',
  'wasi:io/streams#[method]output-stream.blocking-write-and-flush',
  'wasi:io/streams#[method]output-stream.blocking-flush',
  'wasi:io/streams#[method]output-stream.blocking-write-zeroes-and-flush',
  'wasi:io/streams#[method]output-stream.blocking-splice',
]);

/** Interfaces whose functions open connections; those are never ready at once. */
const CONNECTING: ReadonlySet<string> = new Set([
  'wasi:http/outgoing-handler',
  'wasi:sockets/tcp-create-socket',
  'wasi:sockets/ip-name-lookup',
]);

/**
 * True if a built-in function may have to wait. Timers are waited for by polling alone, connections also by their streams;
 * the other streams and files of the runner are always ready. Grants make no difference: they are not part of a component.
 */
export function mayWait(interfaceName: string, functionName: string, types: ComponentTypes): boolean {
  const base = withoutVersion(interfaceName);
  // The host is asked for the link.
  if (base === 'wasmcloud:bus/lattice') return functionName === 'set-link-name';
  if (!WAITING.has(`${base}#${functionName}`)) return false;
  // The body of a request comes piece by piece.
  if (types.exports.some(({ name }) => withoutVersion(name) === 'wasi:http/incoming-handler')) return true;
  return types.imports.some(({ name, functions }) => {
    const other = withoutVersion(name);
    if (CONNECTING.has(other)) return functions.length > 0;
    // So does an object.
    if (other === 'wasi:blobstore/types') return true;
    if (base !== 'wasi:io/poll' || other !== 'wasi:clocks/monotonic-clock') return false;
    return functions.some((fn) => fn.name.startsWith('subscribe-'));
  });
}
