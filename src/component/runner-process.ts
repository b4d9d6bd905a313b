import { spawn, type ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import { confinedNode } from './confined-node.ts';

const PAGE_BYTES = 65_536;
/** Parts of Node are wasm themselves, and need some. */
const LEAST_WASM_PAGES = 1_024;
/** Beginning of the runner's own stderr that is kept for the message about its death. */
const STDERR_BYTES = 8_192;
const MAX_COMPLAINT = 300;

/** What a runner process is given. It gets nothing else: no environment, no other file, no network without a grant. */
export interface RunnerProcessOptions {
  /** Folder of the transpiled component; readable. */
  readonly artifactDir: string;
  /** Further readable files or folders: granted preopens. */
  readonly readable?: readonly string[];
  /** Writable folders: granted preopens. */
  readonly writable?: readonly string[];
  /** The component has a network grant. */
  readonly network?: boolean;
  /** Largest wasm memory, bytes: the process-wide net below the cap that is written into each module. */
  readonly maxMemoryBytes: number;
  /** Largest JavaScript heap, MiB. */
  readonly maxHeapMiB: number;
}

/** How a runner ended. */
export interface RunnerExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** The line of its stderr that says most, printable. */
  readonly complaint: string;
}

/** A live runner process. */
export interface RunnerProcess {
  readonly pid: number;
  /** Its end of the duplex pipe. */
  readonly pipe: Socket;
  /** Resolves when the process is gone; never rejects. */
  readonly exited: Promise<RunnerExit>;
  /** Ends it at once. */
  kill(): void;
  /** Resident memory, bytes; 0 where it cannot be read. */
  rssBytes(): number;
}

const own = import.meta.url.endsWith('.ts') ? '.ts' : '.js';
const program = fileURLToPath(new URL(`./runner/main${own}`, import.meta.url));
/** The runner's own code, and what tells Node that it is made of modules. */
const code = [
  fileURLToPath(new URL('./runner/', import.meta.url)),
  fileURLToPath(new URL('../wit/', import.meta.url)),
  fileURLToPath(new URL(`../errors${own}`, import.meta.url)),
  fileURLToPath(new URL('../errors/', import.meta.url)),
  fileURLToPath(new URL(`../ids${own}`, import.meta.url)),
  fileURLToPath(new URL(`../clock${own}`, import.meta.url)),
  fileURLToPath(new URL('../../package.json', import.meta.url)),
];

/** Node's arguments for a runner. */
export function runnerArguments(options: RunnerProcessOptions): string[] {
  const pages = Math.max(LEAST_WASM_PAGES, Math.ceil(options.maxMemoryBytes / PAGE_BYTES));
  return [
    '--permission',
    ...[...code, options.artifactDir, ...(options.readable ?? [])].map((path) => `--allow-fs-read=${path}`),
    ...(options.writable ?? []).map((path) => `--allow-fs-write=${path}`),
    // All or nothing: Node's permissions know no addresses. Which ones are granted is then checked by the runner's own code,
    // so a guest that escapes into JavaScript in such a runner could reach others. Hence only with a grant.
    ...(options.network === true ? ['--allow-net'] : []),
    // No eval and no Function: a string never becomes code.
    '--disallow-code-generation-from-strings',
    `--wasm-max-mem-pages=${pages}`,
    `--max-old-space-size=${options.maxHeapMiB}`,
    // Small new-space: a runner's garbage is short-lived, and idle ones should stay small.
    '--max-semi-space-size=4',
    // A signal must not open the inspector.
    '--disable-sigusr1',
    '--no-addons',
    '--no-global-search-paths',
    '--no-experimental-global-navigator',
    '--no-experimental-websocket',
    '--no-experimental-sqlite',
    '--no-warnings',
    program,
  ];
}

/** Starts a runner process. Never throws: one that cannot start shows as `exited`. */
export function startRunnerProcess(options: RunnerProcessOptions): RunnerProcess | { readonly failed: string } {
  const { command, args } = confinedNode();
  let child: ChildProcess;
  try {
    child = spawn(command, [...args, ...runnerArguments(options)], {
      cwd: '/',
      env: {},
      // fd 3 is a socket pair: one pipe, both directions.
      stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
      windowsHide: true,
    });
  } catch (error) {
    return { failed: error instanceof Error ? error.message : String(error) };
  }
  let stderr = '';
  child.stderr?.on('data', (chunk: Buffer) => {
    if (stderr.length < STDERR_BYTES) stderr += chunk.toString('latin1').slice(0, STDERR_BYTES - stderr.length);
  });
  const exited = new Promise<RunnerExit>((resolve) => {
    const end = (code: number | null, signal: NodeJS.Signals | null): void =>
      resolve({ code, signal, complaint: complaintIn(stderr) });
    child.once('error', (error) => {
      stderr += error.message;
      end(null, null);
    });
    child.once('exit', end);
  });
  const pid = child.pid;
  const pipe = child.stdio[3] as Socket | null | undefined;
  if (pid === undefined || pipe === null || pipe === undefined) {
    // The 'error' event of a child without a pid still comes; it has its listener above.
    return { failed: `${command} could not be started` };
  }
  return { pid, pipe, exited, kill: () => void child.kill('SIGKILL'), rssBytes: () => rssBytes(pid) };
}

function complaintIn(stderr: string): string {
  const lines = stderr.split('\n').map((line) => line.replace(/[^\x20-\x7e]+/g, ' ').trim());
  const best = lines.find((line) => line.startsWith('FATAL ERROR')) ?? lines.find((line) => /^\w*Error\b/.test(line));
  return (best ?? lines.find((line) => line !== '') ?? '').slice(0, MAX_COMPLAINT);
}

function rssBytes(pid: number): number {
  if (process.platform !== 'linux') return 0;
  try {
    return Number(readFileSync(`/proc/${pid}/statm`, 'latin1').split(' ', 2)[1]) * 4096;
  } catch {
    return 0;
  }
}
