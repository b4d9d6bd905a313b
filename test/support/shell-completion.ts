import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { builtFile } from './built-program.ts';

/** A shell with `trellis` in its path and the completion script read. */
export class CompletingShell implements Disposable {
  readonly dir = mkdtempSync(join(tmpdir(), 'trellis-completion-'));
  readonly #shell: 'bash' | 'zsh' | 'fish';
  readonly #env: NodeJS.ProcessEnv;

  constructor(shell: 'bash' | 'zsh' | 'fish') {
    this.#shell = shell;
    // The command under its own name.
    const bin = join(this.dir, 'bin');
    mkdirSync(bin);
    writeFileSync(join(bin, 'trellis'), `#!/bin/sh\nexec "${process.execPath}" "${builtFile('cli/main.ts')}" "$@"\n`, {
      mode: 0o755,
    });
    this.#env = {
      PATH: `${bin}${delimiter}${process.env['PATH'] ?? ''}`,
      HOME: this.dir,
      XDG_CONFIG_HOME: this.dir,
      TERM: 'dumb',
    };
  }

  /** True if this machine has the shell. */
  static has(shell: string): boolean {
    const folders = (process.env['PATH'] ?? '').split(delimiter);
    return folders.some((folder) => isProgram(join(folder, shell)));
  }

  /** Runs a script of the shell in its own folder and returns the lines it prints. */
  run(script: string): string[] {
    const args = { bash: ['--norc', '-c'], zsh: ['-f', '-c'], fish: ['--no-config', '-c'] }[this.#shell];
    const text = execFileSync(this.#shell, [...args, script], { env: this.#env, cwd: this.dir, encoding: 'utf8' });
    return text.split('\n').filter((line) => line !== '');
  }

  [Symbol.dispose](): void {
    rmSync(this.dir, { recursive: true, force: true });
  }
}

function isProgram(path: string): boolean {
  try {
    execFileSync('/bin/sh', ['-c', '[ -x "$1" ] && [ -f "$1" ]', 'sh', path]);
    return true;
  } catch {
    return false;
  }
}

/** The words that bash offers at the end of `line`. */
export function bashOffers(shell: CompletingShell, line: string): string[] {
  // Bash parts a line at blanks and at its word breaks, and hands over the parts.
  const parts = line.split(/([:=]+)|\s+/).filter((part) => part !== undefined && part !== '');
  if (/\s$/.test(line)) parts.push('');
  const quoted = parts.map((part) => `'${part}'`).join(' ');
  return shell.run(
    `source <(trellis completion bash); COMP_WORDS=(${quoted}); COMP_CWORD=$((\${#COMP_WORDS[@]} - 1)); _trellis; printf '%s\\n' "\${COMPREPLY[@]}"`,
  );
}
