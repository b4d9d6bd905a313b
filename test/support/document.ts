import { type ChildProcess, spawn } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import { findNatsServer } from '../../src/nats/server.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** The text of a file of the repository. */
export const textOf = (path: string): string => readFileSync(join(ROOT, path), 'utf8');

/** A block of commands, and the output that the document shows for it. */
export interface Block {
  readonly commands: string;
  readonly fails: boolean;
  readonly output: readonly string[];
}

/** The `sh` blocks of a document, each with the `text` block that follows it. ```` ```sh fails ```` ends with another code than 0. */
export function blocksIn(markdown: string): Block[] {
  const fences = [...markdown.matchAll(/^```(\S+)(?: (\S+))?\n([\s\S]*?)^```$/gm)];
  return fences.flatMap(([, language, mark, commands], at) => {
    if (language !== 'sh') return [];
    const next = fences[at + 1];
    const output = next?.[1] === 'text' ? next[3]!.split('\n').filter((line) => line.trim() !== '') : [];
    return [{ commands: commands!, fails: mark === 'fails', output }];
  });
}

/** What differs from machine to machine and from run to run is the same after this. */
const steady = (text: string): string =>
  text
    .replace(/127\.0\.0\.1:\d+/g, '127.0.0.1:PORT')
    .replace(/version \d+\.\d+\.\d+/g, 'version N')
    .replace(/runner \d+/g, 'runner PID')
    .replace(/sha256:[0-9a-f]+/g, 'sha256:DIGEST')
    .replace(/[ \t]+/g, ' ')
    .trim();

/** Checks that every line shown was printed; `…` stands for anything. */
export function expectShown(block: Block, printed: string): void {
  const lines = printed.split('\n').map(steady);
  for (const line of block.output) {
    const parts = steady(line).split('…');
    const pattern = new RegExp(`^${parts.map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('.*')}$`);
    expect(
      lines.some((printedLine) => pattern.test(printedLine)),
      `not printed: ${line}\nby: ${block.commands}\n${printed}`,
    ).toBe(true);
  }
}

/** A program that a document starts. */
export interface Started {
  readonly child: ChildProcess;
  /** What it has printed so far, both streams. */
  readonly text: () => string;
  /** Resolves with the exit code. */
  readonly ended: Promise<number | null>;
}

/** How a test runs commands that go on until they are stopped. */
export interface Server {
  /** The commands begin with this. */
  readonly starts: string;
  /** Run in their place, or as they are if empty. */
  readonly as: string;
  /** What they print when they are ready. */
  readonly ready: RegExp;
  readonly stop: NodeJS.Signals;
}

/**
 * A copy of the repository, set up, with a state of its own, in which the commands of a document run as they stand there: a
 * document must not meet the development lattice of whoever runs the tests. `close` ends what still runs and removes the copy.
 */
export class DocumentRun {
  readonly running: (Started & { readonly stop: NodeJS.Signals })[] = [];
  readonly #home: string;
  readonly #copy: string;
  #env: NodeJS.ProcessEnv;

  constructor() {
    this.#home = mkdtempSync(join(tmpdir(), 'trellis-document-'));
    this.#copy = join(this.#home, 'trellis');
    mkdirSync(this.#copy);
    for (const part of ['bin', 'components', 'config', 'dist', 'setup', 'src', 'test/fixtures']) {
      if (existsSync(join(ROOT, part))) cpSync(join(ROOT, part), join(this.#copy, part), { recursive: true });
    }
    for (const file of ['host.js', 'package.json', 'package-lock.json', 'tsconfig.json', '.npmrc'])
      cpSync(join(ROOT, file), join(this.#copy, file));
    symlinkSync(join(ROOT, 'node_modules'), join(this.#copy, 'node_modules'));
    const inherited = Object.entries(process.env).filter(
      ([name]) => !/^(?:TRELLIS_|WASMCLOUD_|NATS_|XDG_|npm_package_|INIT_CWD|VITEST|NODE_ENV)/.test(name),
    );
    this.#env = { ...Object.fromEntries(inherited), HOME: this.#home, NATS_SERVER: findNatsServer().path, NO_COLOR: '1' };
  }

  /** Runs commands in the copy. */
  run(commands: string): Started {
    let text = '';
    // A process group of its own, so that a signal reaches all of it, as Ctrl-C in a terminal does.
    const child = spawn('/bin/sh', ['-e', '-c', commands], {
      cwd: this.#copy,
      env: this.#env,
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    child.stdout.on('data', (chunk: Buffer) => (text += chunk.toString('utf8')));
    child.stderr.on('data', (chunk: Buffer) => (text += chunk.toString('utf8')));
    return { child, text: () => text, ended: new Promise((resolve) => child.once('close', resolve)) };
  }

  /** Runs a block of commands to its end, or, if one of `servers` fits, until it is ready; checks code and output. */
  async play(block: Block, servers: readonly Server[] = []): Promise<string> {
    const server = servers.find(({ starts }) => block.commands.startsWith(starts));
    if (server !== undefined) return this.#start(block, server);
    const { text, ended } = this.run(block.commands);
    const code = await ended;
    if (block.fails) expect(code, text()).not.toBe(0);
    else expect(code, text()).toBe(0);
    expectShown(block, text());
    return text();
  }

  /** Adds to the environment of what runs from now on. */
  setEnv(more: NodeJS.ProcessEnv): void {
    this.#env = { ...this.#env, ...more };
  }

  async #start(block: Block, server: Server): Promise<string> {
    const started = this.run(server.as || block.commands);
    this.running.push({ ...started, stop: server.stop });
    let over = false;
    void started.ended.then(() => (over = true));
    while (!server.ready.test(started.text())) {
      if (over) throw new Error(`${block.commands} ended:\n${started.text()}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    expectShown(block, started.text());
    return started.text();
  }

  /** Ends what still runs, without ceremony, and removes the copy. */
  async close(): Promise<void> {
    for (const { child } of this.running)
      if (child.exitCode === null && child.signalCode === null) process.kill(-child.pid!, 'SIGKILL');
    await Promise.all(this.running.map(({ ended }) => ended));
    rmSync(this.#home, { recursive: true, force: true });
  }
}
