import { InputStream, OutputStream } from './io.ts';
import { GuestExit } from './wit-error.ts';

/** `wasi:cli`: environment, arguments, exit, and the standard streams as lines for the log. */

/** Longer lines are cut into pieces of this size, so a guest that never ends a line costs no memory. */
export const MAX_LINE_BYTES = 8_192;

const NEWLINE = 10;
const CARRIAGE_RETURN = 13;

/** Collects bytes and hands them over line by line, without the line end. */
export class LineBuffer {
  readonly #onLine: (line: Uint8Array) => void;
  #held = new Uint8Array(256);
  #length = 0;

  constructor(onLine: (line: Uint8Array) => void) {
    this.#onLine = onLine;
  }

  write(bytes: Uint8Array): void {
    let from = 0;
    while (from < bytes.length) {
      const newline = bytes.indexOf(NEWLINE, from);
      const end = newline === -1 ? bytes.length : newline;
      const cut = Math.min(end, from + MAX_LINE_BYTES - this.#length);
      this.#hold(bytes.subarray(from, cut));
      if (cut === newline) {
        this.#emit();
        from = newline + 1;
      } else {
        if (this.#length >= MAX_LINE_BYTES) this.#emit();
        from = cut;
      }
    }
  }

  /** Hands over what has no line end yet. */
  flush(): void {
    if (this.#length > 0) this.#emit();
  }

  #hold(bytes: Uint8Array): void {
    const length = this.#length + bytes.length;
    if (length > this.#held.length) {
      const larger = new Uint8Array(Math.min(MAX_LINE_BYTES, Math.max(length, this.#held.length * 2)));
      larger.set(this.#held.subarray(0, this.#length));
      this.#held = larger;
    }
    this.#held.set(bytes, this.#length);
    this.#length = length;
  }

  #emit(): void {
    const end = this.#held[this.#length - 1] === CARRIAGE_RETURN && this.#length > 0 ? this.#length - 1 : this.#length;
    this.#onLine(this.#held.slice(0, end));
    this.#length = 0;
  }
}

class TerminalInput {
  readonly kind = 'input';
}

class TerminalOutput {
  readonly kind = 'output';
}

const noTerminal = (): undefined => undefined;

/** What {@link createCli} needs of one instance. */
export interface CliOptions {
  readonly env: Readonly<Record<string, string>>;
  readonly args: readonly string[];
  readonly stdout: LineBuffer;
  readonly stderr: LineBuffer;
  readonly onExit: (exitCode: number) => void;
}

/** Returns the `wasi:cli` interfaces of one instance. Standard input is at its end; there is no terminal. */
export function createCli(options: CliOptions): Record<string, object> {
  const leave = (exitCode: number): never => {
    options.onExit(exitCode);
    throw new GuestExit(exitCode);
  };
  return {
    'wasi:cli/environment': {
      getEnvironment: () => Object.entries(options.env),
      getArguments: () => [...options.args],
      initialCwd: () => undefined,
    },
    'wasi:cli/exit': {
      exit: (status: { tag: 'ok' | 'err' }) => leave(status.tag === 'ok' ? 0 : 1),
      exitWithCode: (exitCode: number) => leave(exitCode),
    },
    'wasi:cli/stdin': { getStdin: () => new InputStream(() => undefined) },
    'wasi:cli/stdout': { getStdout: () => new OutputStream((bytes) => options.stdout.write(bytes)) },
    'wasi:cli/stderr': { getStderr: () => new OutputStream((bytes) => options.stderr.write(bytes)) },
    'wasi:cli/terminal-input': { TerminalInput },
    'wasi:cli/terminal-output': { TerminalOutput },
    'wasi:cli/terminal-stdin': { getTerminalStdin: noTerminal },
    'wasi:cli/terminal-stdout': { getTerminalStdout: noTerminal },
    'wasi:cli/terminal-stderr': { getTerminalStderr: noTerminal },
  };
}
