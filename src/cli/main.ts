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
 * and has a row in `command-list.ts`. Only the file of the command that was asked for is loaded. An action prints its result once through
 * `outputOf(command)`, throws a `TrellisError` for what the user must know (its exit code is used), and sets
 * `process.exitCode` for anything else that should not end with 0.
 */
import { COMMANDS } from './command-list.ts';
import { replaceByDaemon } from './daemon-program.ts';
import { runCli } from './program.ts';

// A reader that has seen enough (`trellis inspect X | head`) is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit(0);
});

const argv = process.argv.slice(2);
// The daemon reads its own flags, --output and --help among them.
if (argv[0] === 'host') await replaceByDaemon(argv.slice(1));
// What the completion scripts of the shells ask (config/completion).
if (argv[0] === '__complete') await printCompletion(argv.slice(argv[1] === '--' ? 2 : 1));
else process.exitCode = await runCli(argv, COMMANDS);

async function printCompletion(words: readonly string[]): Promise<void> {
  const { complete, completionText } = await import('./complete.ts');
  const contexts = async (): Promise<string[]> => {
    const { ContextStore } = await import('./lattice/context-store.ts');
    return new ContextStore().list().map(({ name }) => name);
  };
  process.stdout.write(completionText(await complete(words, COMMANDS, { contexts })));
}
