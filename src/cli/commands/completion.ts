import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { packageDir } from '../package-dir.ts';
import { examples, outputOf } from '../program.ts';

const SHELLS = ['bash', 'zsh', 'fish'] as const;

/** `trellis completion`: the script by which a shell completes the words of `trellis`. */
export function register(program: Command): void {
  const completion = program
    .command('completion')
    .description('print the completion script of a shell')
    .addHelpText(
      'after',
      examples(
        '# bash, in ~/.bashrc',
        'source <(trellis completion bash)',
        '# zsh, in ~/.zshrc after compinit',
        'source <(trellis completion zsh)',
        '# fish',
        'trellis completion fish > ~/.config/fish/completions/trellis.fish',
      ),
    );
  for (const shell of SHELLS) {
    completion
      .command(shell)
      .description(`print the completion script of ${shell}`)
      .addHelpText('after', examples(`trellis completion ${shell}`))
      .action((_flags: unknown, command: Command) => {
        const script = readFileSync(join(packageDir, 'config', 'completion', `trellis.${shell}`), 'utf8');
        outputOf(command).result({ shell, script }, (print) => print(script.trimEnd()));
      });
  }
}
