import type { Command } from 'commander';
import { describe, expect, it } from 'vitest';
import { COMMANDS } from '../../../src/cli/command-list.ts';
import { complete } from '../../../src/cli/complete.ts';

const known = { contexts: async () => ['lab', 'nats:old'] };
const words = async (...typed: string[]): Promise<string[]> =>
  (await complete(typed, COMMANDS, known)).words.map(([word]) => word);
const paths = async (...typed: string[]): Promise<string> => (await complete(typed, COMMANDS, known)).paths;

describe('what can come next', () => {
  it('is a command at first, and its own commands after it', async () => {
    expect(await words('')).toEqual([...COMMANDS.map(({ name }) => name), 'help']);
    expect(await words('get', '')).toEqual(['hosts', 'inventory', 'links', 'claims']);
    expect(await words('--output', 'json', 'get', '')).toEqual(['hosts', 'inventory', 'links', 'claims']);
    expect(await words('help', '')).toEqual(COMMANDS.map(({ name }) => name));
  });

  it('is no command that cannot work', async () => {
    expect(await words('start', '')).toEqual(['component']);
    expect(await words('stop', '')).toEqual(['component', 'host']);
  });

  it('is an option of the command, hidden ones left out', async () => {
    const found = await words('start', 'component', '--');
    expect(found).toEqual(expect.arrayContaining(['--host-id', '--max-instances', '--context', '--skip-wait', '--output']));
    expect(found).not.toContain('--max-concurrent');
    expect(await words('get', 'inv', '--')).not.toContain('--watch');
    expect(await words('get', 'inventories', '--')).toContain('--watch');
  });

  it('is a value of the option before it', async () => {
    expect(await words('get', 'hosts', '--context', '')).toEqual(['lab', 'nats:old']);
    expect(await words('get', 'hosts', '--output', '')).toEqual(['text', 'json']);
    expect(await words('get', 'hosts', '--lattice', '')).toEqual([]);
    expect(await paths('get', 'hosts', '--ctl-creds', './')).toBe('files');
    expect(await words('ctx', 'use', '')).toEqual(['lab', 'nats:old']);
  });

  it('is a file where an argument is one, and nothing after the last argument', async () => {
    expect(await paths('start', 'component', '')).toBe('files');
    expect(await paths('start', 'component', '--max-instances', '3', '')).toBe('files');
    expect(await paths('start', 'component', 'x.wasm', '')).toBe('none');
    expect(await paths('inspect', '')).toBe('files');
    expect(await paths('ctx', 'use', 'lab', '')).toBe('none');
  });

  it('is no option after --', async () => {
    expect(await words('explain', '--', '-')).toEqual([]);
  });
});

describe('every command', () => {
  it('has a description and, unless it only says what it cannot do, an example', async () => {
    const { Command: Root } = await import('commander');
    const check = (command: Command, path: string): void => {
      expect(`${path}: ${command.description()}`).toMatch(/: ./);
      let help = '';
      command.configureOutput({ writeOut: (text) => (help += text) }).outputHelp();
      expect(`${path}: ${help}`).toMatch(/Examples?:\n {2}[$#] /);
      const shown = command.createHelp().visibleCommands(command);
      for (const child of shown.filter((each) => each.name() !== 'help')) check(child, `${path} ${child.name()}`);
    };
    for (const name of [
      'get',
      'start',
      'stop',
      'scale',
      'update',
      'link',
      'config',
      'label',
      'watch',
      'spy',
      'down',
      'ctx',
      'completion',
    ]) {
      const root = new Root('trellis');
      (await COMMANDS.find((entry) => entry.name === name)!.load()).register(root);
      check(root.commands[0]!, name);
    }
  });
});
