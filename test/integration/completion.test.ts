import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runProgram } from '../support/program.ts';
import { bashOffers, CompletingShell } from '../support/shell-completion.ts';

describe('completion in bash', () => {
  let shell: CompletingShell;
  beforeAll(() => {
    shell = new CompletingShell('bash');
    writeFileSync(join(shell.dir, 'my file.wasm'), '');
    mkdirSync(join(shell.dir, 'trellis-data'));
    mkdirSync(join(shell.dir, 'nats', 'context'), { recursive: true });
    writeFileSync(join(shell.dir, 'nats', 'context', 'lab.json'), '{}');
    shell.run('trellis ctx new lab --ctl-servers nats://127.0.0.1:4222');
  });
  afterAll(() => shell[Symbol.dispose]());

  it('offers commands, options, values, contexts and files', () => {
    expect(bashOffers(shell, 'trellis ge')).toEqual(['get']);
    expect(bashOffers(shell, 'trellis get ')).toEqual(['hosts', 'inventory', 'links', 'claims']);
    expect(bashOffers(shell, 'trellis get hosts --ctl-t')).toEqual(['--ctl-tls-ca-file']);
    expect(bashOffers(shell, 'trellis get hosts -o j')).toEqual(['json']);
    expect(bashOffers(shell, 'trellis start component my')).toEqual(['my file.wasm']);
    // Only what stands behind the colon is replaced, since bash takes it for a word of its own.
    expect(bashOffers(shell, 'trellis ctx use nats:')).toEqual(['lab']);
    expect(bashOffers(shell, 'trellis ctx use ')).toEqual(['lab', 'nats:lab']);
    expect(bashOffers(shell, 'trellis down nothing here ')).toEqual([]);
  });

  it('is bound to the name of the command', () => {
    expect(shell.run('source <(trellis completion bash); complete -p trellis')).toEqual(['complete -F _trellis trellis']);
  });
});

describe('completion in other shells', () => {
  it('has a script that fish takes, and offers the same', () => {
    if (!CompletingShell.has('fish')) return expectScript('fish', /^complete -c trellis /m);
    using shell = new CompletingShell('fish');
    const offers = (line: string): string[] =>
      shell.run(`trellis completion fish | source; complete -C '${line}'`).map((each) => each.split('\t')[0]!);
    expect(offers('trellis get ')).toEqual(['claims', 'hosts', 'inventory', 'links']);
    expect(offers('trellis get hosts --conte')).toEqual(['--context']);
    return undefined;
  });

  it('has a script that zsh takes', () => {
    if (!CompletingShell.has('zsh')) return expectScript('zsh', /^compdef _trellis trellis$/m);
    using shell = new CompletingShell('zsh');
    const script = [
      'autoload -Uz compinit; compinit -u -D',
      'source <(trellis completion zsh)',
      // What zsh does with what was found is its own business; what was found is ours.
      '_describe() { print -l -- "${(@P)@[-1]}" }',
      'words=(trellis get ""); CURRENT=3; _trellis; print -- ${_comps[trellis]}',
    ].join('\n');
    expect(shell.run(script).map((line) => line.split(':')[0])).toEqual(['hosts', 'inventory', 'links', 'claims', '_trellis']);
    return undefined;
  });
});

async function expectScript(shell: string, binding: RegExp): Promise<void> {
  const { code, stdout } = await runProgram('cli', ['completion', shell]);
  expect(code).toBe(0);
  expect(stdout).toMatch(binding);
  expect(stdout).toContain('__complete --');
}
