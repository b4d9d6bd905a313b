import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { builtFile, COMPILE_CACHE } from './built-program.ts';

/** The programs of Trellis. */
const PROGRAMS = { daemon: builtFile('daemon/main.ts'), cli: builtFile('cli/main.ts') } as const;

/** How a program ended and what it said. */
export interface ProgramEnd {
  /** Exit code; 128 + the signal's number is the program's own doing, `undefined` means a signal ended it. */
  readonly code: number | undefined;
  readonly signal: NodeJS.Signals | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

/** A program of Trellis as a real process. Its environment is what the test gives, and little else. */
export class Program {
  stdout = '';
  stderr = '';
  readonly pid: number;
  readonly #child;
  readonly ended: Promise<ProgramEnd>;

  constructor(
    name: keyof typeof PROGRAMS,
    args: readonly string[],
    options: { env?: Record<string, string>; cwd?: string } = {},
  ) {
    this.#child = spawn(process.execPath, [PROGRAMS[name], ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { HOME: process.env['HOME'] ?? '/', NODE_COMPILE_CACHE: COMPILE_CACHE, ...options.env },
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    });
    this.pid = this.#child.pid!;
    this.#child.stdout.on('data', (chunk: Buffer) => (this.stdout += chunk.toString('utf8')));
    this.#child.stderr.on('data', (chunk: Buffer) => (this.stderr += chunk.toString('utf8')));
    this.ended = once(this.#child, 'close').then(([code, signal]) => ({
      code: (code as number | null) ?? undefined,
      signal: (signal as NodeJS.Signals | null) ?? undefined,
      stdout: this.stdout,
      stderr: this.stderr,
    }));
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  /** Closes our end of its standard error as soon as it has said `text`, as a log collector does that ends. */
  closeLogAfter(text: string): void {
    this.#child.stderr.on('data', () => {
      if (this.stderr.includes(text)) this.#child.stderr.destroy();
    });
  }

  /** Resolves with the first JSON log line on standard error that `matches`. */
  async logLine(matches: (line: Record<string, unknown>) => boolean, timeoutMs = 60_000): Promise<Record<string, unknown>> {
    const deadlineMs = performance.now() + timeoutMs;
    while (performance.now() < deadlineMs) {
      const found = this.logLines().find(matches);
      if (found !== undefined) return found;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    throw new Error(`no such log line in ${timeoutMs} ms; it said:\n${this.stderr}\n${this.stdout}`);
  }

  /** Every complete JSON line so far. */
  logLines(): Record<string, unknown>[] {
    const complete = this.stderr.slice(0, this.stderr.lastIndexOf('\n') + 1);
    return complete
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) this.#child.kill('SIGKILL');
    await this.ended;
  }
}

/** Runs a program to its end. */
export async function runProgram(
  name: keyof typeof PROGRAMS,
  args: readonly string[],
  options: { env?: Record<string, string>; cwd?: string } = {},
): Promise<ProgramEnd> {
  await using program = new Program(name, args, options);
  return await program.ended;
}
