/**
 * The `trellis` command. Each command is a file in `commands/` that exports
 *
 * ```ts
 * export function register(program: Command): void {
 *   program
 *     .command('inspect')
 *     .description('…')
 *     .argument('<file>', '…')
 *     .addHelpText('after', examples('trellis inspect hello.wasm'))
 *     .action(async (file: string, options: Options, command: Command) => {
 *       outputOf(command).result(data, (print) => …);
 *     });
 * }
 * ```
 *
 * and has a row below. Only the file of the command that was asked for is loaded. An action prints its result once through
 * `outputOf(command)`, throws a `TrellisError` for what the user must know (its exit code is used), and sets
 * `process.exitCode` for anything else that should not end with 0.
 */
import { replaceByDaemon } from './daemon-program.ts';
import { runCli } from './program.ts';
import type { CommandEntry } from './program.ts';

const COMMANDS: readonly CommandEntry[] = [
  {
    name: 'up',
    summary: 'start a development lattice: NATS server, host, sample components',
    load: () => import('./commands/up.ts'),
  },
  {
    name: 'host',
    summary: 'run the host; takes the flags of host.js (trellis host --help)',
    load: () => import('./commands/host.ts'),
  },
  {
    name: 'demo',
    summary: 'play the main job and five attacks once, and print what happened',
    load: () => import('./commands/demo.ts'),
  },
  { name: 'call', summary: 'call a function of a component, signed', load: () => import('./commands/call.ts') },
  { name: 'explain', summary: 'say which check refused a call', load: () => import('./commands/explain.ts') },
  {
    name: 'inspect',
    summary: 'print world, types, digest, size and needs of a component file',
    load: () => import('./commands/inspect.ts'),
  },
  {
    name: 'translate',
    summary: 'translate components beforehand, for a host without a translator',
    load: () => import('./commands/translate.ts'),
  },
  { name: 'wire', summary: 'encode, decode and check values as wRPC writes them', load: () => import('./commands/wire.ts') },
  { name: 'keys', summary: 'make, show, delegate, rotate and revoke keys', load: () => import('./commands/keys.ts') },
  {
    name: 'auth',
    summary: 'make NATS operator, accounts, users and their permissions; configure servers',
    load: () => import('./commands/auth.ts'),
  },
  {
    name: 'doctor',
    summary: 'run every check of a start from a shell: settings, connections, rights, clock, trust',
    load: () => import('./commands/doctor.ts'),
  },
  {
    name: 'issuer',
    summary: 'run the issuer service: signs delegations for the hosts of an allow-list',
    load: () => import('./commands/issuer.ts'),
  },
  { name: 'leaf', summary: 'write the configuration of a leaf node beside a host', load: () => import('./commands/leaf.ts') },
  { name: 'bench', summary: 'measure speed and memory', load: () => import('./commands/bench.ts') },
  {
    name: 'bench-flood',
    summary: 'measure valid calls while forged ones arrive',
    load: () => import('./commands/bench-flood.ts'),
  },
  { name: 'bench-trust', summary: 'measure what proofs of frames and ids cost', load: () => import('./commands/bench-trust.ts') },
];

// A reader that has seen enough (`trellis inspect X | head`) is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit(0);
});

const argv = process.argv.slice(2);
// The daemon reads its own flags, --output and --help among them.
if (argv[0] === 'host') await replaceByDaemon(argv.slice(1));
process.exitCode = await runCli(argv, COMMANDS);
