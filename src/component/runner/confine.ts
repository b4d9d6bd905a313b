import { registerHooks } from 'node:module';
import { pathToFileURL } from 'node:url';

/** What reaches beyond the process, or shows what the host's environment holds. */
const PROCESS_MEMBERS = [
  'kill',
  '_kill',
  '_debugProcess',
  '_debugEnd',
  '_startProfilerIdleNotifier',
  'report',
  'binding',
  '_linkedBinding',
  'dlopen',
  'getBuiltinModule',
  'openStdin',
  'setuid',
  'setgid',
  'seteuid',
  'setegid',
  'setgroups',
  'initgroups',
  'loadEnvFile',
  'execve',
];

/** Ways to the network or to other processes, and memory that could serve as a clock. */
const GLOBALS = ['fetch', 'WebSocket', 'EventSource', 'BroadcastChannel', 'SharedArrayBuffer', 'Atomics'];

const NEIGHBOUR = /^\.\/[\w.-]+$/;

/**
 * Takes from the process what generated code has no use for, before any of it is loaded. The boundary is the process with
 * its permissions; this is the belt for the case that guest bytes become JavaScript after all.
 *
 * @param dir Folder of the transpiled component: its modules may import each other and nothing else.
 */
export function confine(dir: string): void {
  const root = pathToFileURL(`${dir}/`).href;
  registerHooks({
    resolve(specifier, context, next) {
      // Only a plain neighbour: a bare name would be a part of Node or a package.
      if (context.parentURL?.startsWith(root) === true && !NEIGHBOUR.test(specifier)) {
        throw new Error('a component may import its own modules only');
      }
      return next(specifier, context);
    },
  });
  for (const name of PROCESS_MEMBERS) Reflect.deleteProperty(process, name);
  for (const name of GLOBALS) Reflect.deleteProperty(globalThis, name);
}
