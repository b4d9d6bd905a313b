import { vi } from 'vitest';
import { runCli } from '../../src/cli/program.ts';
import type { ProgramEnd } from './program.ts';

const COMMAND = { name: 'auth', summary: '', load: () => import('../../src/cli/commands/auth.ts') };

/** Runs `trellis auth …` in this process, which spares the start of one for each. One at a time. */
export async function runAuth(...args: string[]): Promise<ProgramEnd> {
  const out: string[] = [];
  const err: string[] = [];
  const spies = [
    vi.spyOn(process.stdout, 'write').mockImplementation((text) => out.push(String(text)) > 0),
    vi.spyOn(process.stderr, 'write').mockImplementation((text) => err.push(String(text)) > 0),
  ];
  try {
    const code = await runCli(['auth', ...args], [COMMAND]);
    return { code, signal: undefined, stdout: out.join(''), stderr: err.join('') };
  } finally {
    // A command says by it how its own process should end, and this one goes on.
    process.exitCode = undefined;
    for (const spy of spies) spy.mockRestore();
  }
}
