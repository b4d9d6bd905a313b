import { Command, type Option } from 'commander';
import type { CommandEntry } from './program.ts';

/** What can stand at the place where somebody pressed the tabulator. */
export interface Completion {
  /** Words, each with what it means; the shell leaves out those that do not begin like the word that is there. */
  readonly words: readonly (readonly [word: string, about: string])[];
  /** What else can stand there. */
  readonly paths: 'files' | 'folders' | 'none';
}

const NOTHING: Completion = { words: [], paths: 'none' };
const FILES: Completion = { words: [], paths: 'files' };
/** On every command; commander keeps the first on the program and the second nowhere. */
const EVERYWHERE: Completion['words'] = [
  ['--output', 'form of the result'],
  ['--help', 'print help'],
];
const OUTPUT_VALUES: Completion['words'] = [
  ['text', 'for people'],
  ['json', 'for programs'],
];

/** Values that are known on this machine. */
export interface KnownValues {
  contexts(): Promise<readonly string[]>;
}

/**
 * What can come at the end of a command line.
 * @param words What stands after `trellis`; the last one is being typed and may be empty.
 */
export async function complete(
  words: readonly string[],
  commands: readonly CommandEntry[],
  known: KnownValues,
): Promise<Completion> {
  const before = words.slice(0, -1);
  const typed = words.at(-1) ?? '';
  const previous = before.at(-1) ?? '';
  if (previous === '--output' || previous === '-o') return { words: OUTPUT_VALUES, paths: 'none' };
  const first = before.findIndex((word, at) => !word.startsWith('-') && !/^(?:--output|-o)$/.test(before[at - 1] ?? ''));
  const isHelp = before[first] === 'help';
  if (first < 0 || (isHelp && first === before.length - 1)) {
    if (typed.startsWith('-')) return { words: [['--version', 'print versions'], ...EVERYWHERE], paths: 'none' };
    const all = commands.map(({ name, summary }) => [name, summary] as const);
    return { words: isHelp ? all : [...all, ['help', 'print help of a command']], paths: 'none' };
  }
  const entry = isHelp ? undefined : commands.find(({ name }) => name === before[first]);
  if (entry === undefined) return isHelp ? NOTHING : FILES;
  const program = new Command('trellis');
  (await entry.load()).register(program);
  const root = program.commands.find((command) => command.name() === entry.name);
  return root === undefined ? FILES : completeCommand(root, before.slice(first + 1), typed, known);
}

async function completeCommand(root: Command, before: readonly string[], typed: string, known: KnownValues): Promise<Completion> {
  let command = root;
  let positional = 0;
  let open: Option | undefined;
  let optionsEnd = false;
  for (const word of before) {
    if (open !== undefined) {
      open = undefined;
      continue;
    }
    if (!optionsEnd && word === '--') optionsEnd = true;
    else if (!optionsEnd && word.startsWith('-')) open = optionAwaitingValue(command, word);
    else {
      const child = command.commands.find((each) => each.name() === word || each.aliases().includes(word));
      if (child === undefined) positional += 1;
      else [command, positional] = [child, 0];
    }
  }
  if (open !== undefined && !(open.optional && typed.startsWith('-'))) return valuesOf(open, known);
  if (typed.startsWith('-') && !optionsEnd) {
    const options = command.options.filter(({ hidden, long }) => !hidden && long !== undefined);
    return { words: [...options.map((option) => [option.long!, option.description] as const), ...EVERYWHERE], paths: 'none' };
  }
  const children = shownCommands(command);
  if (children.length > 0 && positional === 0) {
    return { words: children.map((child) => [child.name(), child.description()] as const), paths: 'none' };
  }
  const last = command.registeredArguments.at(-1);
  const argument = command.registeredArguments[positional] ?? (last?.variadic === true ? last : undefined);
  if (argument === undefined) return NOTHING;
  if (argument.argChoices !== undefined) return { words: argument.argChoices.map((word) => [word, '']), paths: 'none' };
  return namedValues(argument.name(), argument.description, root.name(), known);
}

function optionAwaitingValue(command: Command, word: string): Option | undefined {
  if (word === '--output' || word === '-o') return undefined;
  const option = command.options.find(({ long, short }) => long === word || short === word);
  return option?.required === true || option?.optional === true ? option : undefined;
}

async function valuesOf(option: Option, known: KnownValues): Promise<Completion> {
  if (option.argChoices !== undefined) return { words: option.argChoices.map((word) => [word, '']), paths: 'none' };
  if (option.long === '--context' || option.long === '--from') return contexts(known);
  const placeholder = /[<[]([^>\]]+)/.exec(option.flags)?.[1] ?? '';
  return namedValues(placeholder, '', '', known);
}

async function namedValues(name: string, about: string, command: string, known: KnownValues): Promise<Completion> {
  if (command === 'ctx' && name === 'name') return contexts(known);
  if (/folder|dir/.test(name)) return { words: [], paths: 'folders' };
  return /file|path|-ref$|wasm/.test(name) || /\bfile\b/.test(about) ? FILES : NOTHING;
}

async function contexts(known: KnownValues): Promise<Completion> {
  return { words: (await known.contexts()).map((name) => [name, 'context']), paths: 'none' };
}

/** Without those that its help leaves out. */
function shownCommands(command: Command): readonly Command[] {
  return command
    .createHelp()
    .visibleCommands(command)
    .filter((child) => child.name() !== 'help');
}

/** A completion as the scripts of the shells read it: a line for paths, then a word and its meaning a line. */
export function completionText({ words, paths }: Completion): string {
  const lines = words.map(([word, about]) => `${word}\t${about.replace(/\s+/g, ' ').slice(0, 80)}`);
  return `${[paths, ...lines].join('\n')}\n`;
}
