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

/** True if the interface is WASI 0.3 or later, whose built-in interfaces this host does not offer yet. */
export function isLaterWasi(name: string): boolean {
  const version = /^wasi:(?:cli|clocks|random|io|filesystem|sockets|http)\/[^@]*@(\d+)\.(\d+)\./.exec(name);
  return version !== null && (version[1] !== '0' || version[2] !== '2');
}

/**
 * True if a built-in function may have to wait. Only polling can, and only for a timer: streams and files of the
 * runner are always ready.
 */
export function mayWait(interfaceName: string, functionName: string, types: ComponentTypes): boolean {
  if (withoutVersion(interfaceName) !== 'wasi:io/poll') return false;
  if (functionName !== 'poll' && functionName !== '[method]pollable.block') return false;
  return types.imports.some(
    (imported) =>
      withoutVersion(imported.name) === 'wasi:clocks/monotonic-clock' &&
      imported.functions.some((fn) => fn.name.startsWith('subscribe-')),
  );
}
