import { Command, CommanderError, Option } from 'commander';
import { readVersions } from '../config/version.ts';
import { redactText } from '../config/problems.ts';
import { EXIT, TrellisError } from '../errors.ts';
import { createOutput, reportError } from './output.ts';
import type { Output, OutputFormat } from './output.ts';

/** A command as the list of commands knows it, without loading it. */
export interface CommandEntry {
  readonly name: string;
  /** One line for `trellis --help`. */
  readonly summary: string;
  /** Loads the file that registers the command. */
  load(): Promise<{ register(program: Command): void }>;
}

/** Returns the output of the command an action belongs to: its own `--output`, or the one before its name. */
export function outputOf(command: Command): Output {
  return createOutput(command.optsWithGlobals<{ output: OutputFormat }>().output);
}

/** Returns help text with examples, for `addHelpText('after', …)`. */
export function examples(...lines: readonly string[]): string {
  return `\nExamples:\n${lines.map((line) => (line.startsWith('#') ? `  ${line}` : `  $ ${line}`)).join('\n')}\n`;
}

/**
 * Runs `trellis` with what stands after the program's name and returns the exit code. Only the command that was asked
 * for is loaded; the others are names in a list.
 */
export async function runCli(given: readonly string[], commands: readonly CommandEntry[]): Promise<number> {
  const argv = withoutHelpCommand(given);
  const format = formatIn(argv);
  try {
    const wanted = commandName(argv);
    if (wanted === undefined && format === 'json' && argv.some((arg) => arg === '--version' || arg === '-V')) {
      createOutput(format).result(readVersions(), () => {});
      return EXIT.ok;
    }
    const program = createProgram();
    for (const entry of commands) {
      if (entry.name === wanted) (await entry.load()).register(program);
      else program.command(entry.name).description(entry.summary);
    }
    applyToAll(program);
    await program.parseAsync(argv, { from: 'user' });
    return Number(process.exitCode ?? EXIT.ok);
  } catch (error) {
    if (!(error instanceof CommanderError)) return reportError(error, format);
    if (error.exitCode === 0) return EXIT.ok;
    // A person was shown the help; a program reads JSON.
    return format === 'text'
      ? EXIT.usage
      : reportError(new TrellisError('TRELLIS_USAGE', { message: 'no command is named' }), format);
  }
}

function createProgram(): Command {
  const { trellis, node, jco, nats } = readVersions();
  return new Command('trellis')
    .description('A lattice host for Node.js: WebAssembly components on NATS, every invocation verified before it runs.')
    .addOption(outputOption())
    .configureHelp({ showGlobalOptions: true })
    .version(`trellis ${trellis}\nnode    ${node}\njco     ${jco}\nnats    ${nats}`, '-V, --version', 'print versions')
    .helpOption('-h, --help', 'print help')
    .helpCommand('help [command]', 'print help of a command')
    .addHelpText(
      'after',
      examples('trellis up', `trellis call hello greeting.greet --json '["Ada"]'`, 'trellis inspect hello.wasm'),
    );
}

const outputOption = (): Option =>
  new Option('-o, --output <format>', 'form of the result').choices(['text', 'json']).default('text');

/** Every command: errors as ours, saying whose help to read; the same output flag, suggestions. */
function applyToAll(command: Command, path: string = command.name()): void {
  command
    .exitOverride((error) => {
      if (error.exitCode === 0 || error.code === 'commander.help') throw error;
      const message = redactText(error.message.replace(/^error: /, ''));
      throw new TrellisError('TRELLIS_USAGE', { message, remedy: `${path} --help shows how it is written.` });
    })
    .configureOutput({ outputError: () => {} })
    .showSuggestionAfterError(true);
  for (const child of command.commands) applyToAll(child, `${path} ${child.name()}`);
}

/** `help get hosts` as `get hosts --help`: commander's own help command knows one word. */
function withoutHelpCommand(argv: readonly string[]): readonly string[] {
  return argv[0] === 'help' && argv.length > 2 ? [...argv.slice(1), '--help'] : argv;
}

/** The first word that is not a flag; `--output` takes the word after it. */
function commandName(argv: readonly string[]): string | undefined {
  const words = argv.filter((arg, i) => !arg.startsWith('-') && argv[i - 1] !== '--output' && argv[i - 1] !== '-o');
  return words[0] === 'help' ? words[1] : words[0];
}

function formatIn(argv: readonly string[]): OutputFormat {
  const at = argv.findIndex((arg) => arg === '--output' || arg === '-o');
  return argv.includes('--output=json') || argv.includes('-ojson') || (at >= 0 && argv[at + 1] === 'json') ? 'json' : 'text';
}
