import { spawn } from 'node:child_process';
import { readFileSync, realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { TrellisError } from '../errors.ts';
import { isEntryFile } from './cache.ts';
import { confinedNode } from './confined-node.ts';
import type { TranspileAnswer, TranspileJob, WrapJob } from './transpile-worker.ts';

/** The translating process as the host sees it: how it is started and confined, what goes in, what comes out. */

/** Translating processes at a time. Each holds up to some hundred megabytes. */
const MAX_PROCESSES = 2;
const MAX_STDERR_BYTES = 4_096;

let waiting: (() => void)[] = [];
let slotsTaken = 0;

async function withSlot<T>(work: () => Promise<T>): Promise<T> {
  if (slotsTaken >= MAX_PROCESSES) await new Promise<void>((resolve) => waiting.push(resolve));
  else slotsTaken += 1;
  try {
    return await work();
  } finally {
    const next = waiting.shift();
    // A slot is handed on, not given back, so nobody can slip in between.
    if (next === undefined) slotsTaken -= 1;
    else next();
  }
}

/**
 * Own files of the translating process; `.ts` in a source tree, `.js` when built. Real paths, because the permission model
 * judges those and a package may be reached through links.
 */
function program(jco: string): { main: string; readable: string[] } {
  const here = realpathSync(import.meta.filename);
  const extension = here.slice(here.lastIndexOf('.'));
  const folder = dirname(here);
  const own = ['transpile-worker', 'translator', 'patches', 'core-module'].map((name) => join(folder, name + extension));
  const shared = [
    join(folder, '..', `errors${extension}`),
    join(folder, '..', 'errors'),
    join(folder, '..', '..', 'package.json'),
  ];
  return { main: own[0]!, readable: [...own, ...shared, jco] };
}

/** The installed jco-transpile, or `undefined` in an installation that only runs what was translated elsewhere. */
interface Jco {
  readonly folder: string;
  /** What makes JavaScript of a component. */
  readonly generator: string;
  /** What makes a component of a core module. */
  readonly tools: string;
}

function findJco(): Jco | undefined {
  try {
    const [generator, tools] = ['component', 'wasm-tools'].map((part) =>
      realpathSync(fileURLToPath(import.meta.resolve(`${JCO}/${part}`))),
    );
    // Both lie in a folder of the package.
    return { folder: dirname(dirname(generator!)), generator: generator!, tools: tools! };
  } catch {
    return undefined;
  }
}

const JCO = '@bytecodealliance/jco-transpile';
let jcoVersionRead: string | undefined;

/**
 * Returns the version of the installed jco-transpile. Where none is, the one that this package is made for: what was translated with it
 * elsewhere is good here.
 */
export function jcoVersion(): string {
  if (jcoVersionRead === undefined) {
    const folder = findJco()?.folder;
    const text = (of: string): string => readFileSync(join(of, 'package.json'), 'utf8');
    jcoVersionRead =
      folder === undefined
        ? (JSON.parse(text(join(import.meta.dirname, '..', '..'))) as { dependencies: Record<string, string> }).dependencies[JCO]!
        : (JSON.parse(text(folder)) as { version: string }).version;
  }
  return jcoVersionRead;
}

/** What the process made. */
export interface Translated {
  readonly answer: Extract<TranspileAnswer, { ok: true }>;
  readonly files: readonly (readonly [name: string, bytes: Uint8Array])[];
}

/**
 * Has a job done in a process of its own, with an empty environment and the permission model, because it handles hostile input. At most
 * {@link MAX_PROCESSES} run at a time. Gives `undefined` where there is no jco-transpile.
 *
 * @param inputs What the job speaks of, in the order in which it says their lengths.
 * @param timeoutMs How long the process may run.
 * @throws TRELLIS_COMPONENT_TRANSPILE, _TRANSPILE_TIMEOUT, and what the job answers with
 */
export async function runTranslator(
  job: TranspileJob | WrapJob,
  inputs: readonly Uint8Array[],
  timeoutMs: number,
): Promise<Translated | undefined> {
  const jco = findJco();
  return jco === undefined ? undefined : withSlot(() => run(job, jco, inputs, timeoutMs));
}

async function run(job: TranspileJob | WrapJob, jco: Jco, inputs: readonly Uint8Array[], timeoutMs: number): Promise<Translated> {
  const inputBytes = inputs.reduce((sum, { length }) => sum + length, 0);
  const tool = pathToFileURL(job.kind === 'wrap' ? jco.tools : jco.generator).href;
  const { main, readable } = program(jco.folder);
  const flags = [
    '--permission',
    ...readable.map((path) => `--allow-fs-read=${path}`),
    '--disallow-code-generation-from-strings',
    '--disable-sigusr1',
    '--no-addons',
    '--experimental-vm-modules',
    '--no-warnings',
    '--max-old-space-size=1024',
  ];
  const node = confinedNode();
  const child = spawn(node.command, [...node.args, ...flags, main], { env: {}, cwd: '/', stdio: ['pipe', 'pipe', 'pipe'] });
  // Generated text is a small multiple of the component; the rest is room for the fixed part.
  const maxBytes = 64 * 1024 * 1024 + 4 * inputBytes;
  const output: Buffer[] = [];
  let outputBytes = 0;
  let complaint = '';
  let stopped: 'timeout' | 'output' | undefined;
  const stop = (why: 'timeout' | 'output'): void => {
    stopped ??= why;
    child.kill('SIGKILL');
  };
  const timer = setTimeout(() => stop('timeout'), timeoutMs);
  child.stdout.on('data', (chunk: Buffer) => {
    outputBytes += chunk.length;
    if (outputBytes > maxBytes) stop('output');
    else output.push(chunk);
  });
  child.stderr.setEncoding('latin1').on('data', (text: string) => {
    if (complaint.length < MAX_STDERR_BYTES) complaint += text.slice(0, MAX_STDERR_BYTES - complaint.length);
  });
  // A child that dies early closes the pipe under our feet; its exit tells more than EPIPE.
  child.stdin.on('error', () => undefined);
  const head = Buffer.from(JSON.stringify({ ...job, tool }));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(head.length);
  child.stdin.write(length);
  child.stdin.write(head);
  for (const input of inputs) child.stdin.write(input);
  child.stdin.end();
  const exit = await new Promise<{ code: number | null; signal: string | null } | { error: Error }>((resolve) => {
    child.once('error', (error) => resolve({ error }));
    child.once('close', (code, signal) => resolve({ code, signal }));
  });
  clearTimeout(timer);
  if (stopped === 'timeout') {
    throw new TrellisError('TRELLIS_COMPONENT_TRANSPILE_TIMEOUT', {
      message: `translating the component took longer than ${timeoutMs} ms`,
      details: { timeoutMs, bytes: inputBytes },
    });
  }
  if (stopped === 'output') throw failed('the generated code is too large', { maxBytes });
  if ('error' in exit) throw failed('the translating process could not be started', {}, exit.error);
  if (exit.code !== 0) {
    throw failed(`the translating process ended unexpectedly (${exit.signal ?? `code ${exit.code}`})`, {
      complaint: printable(complaint),
    });
  }
  return parseAnswer(Buffer.concat(output));
}

function parseAnswer(output: Buffer): Translated {
  if (output.length < 4) throw failed('the translating process gave no answer');
  const headEnd = 4 + output.readUInt32LE(0);
  if (headEnd > output.length) throw failed('the translating process gave half an answer');
  let answer: TranspileAnswer;
  try {
    answer = JSON.parse(output.toString('utf8', 4, headEnd)) as TranspileAnswer;
  } catch (cause) {
    throw failed('the translating process gave an answer that is not JSON', {}, cause);
  }
  if (!answer.ok) {
    throw new TrellisError(answer.code, {
      message: printable(answer.message),
      ...(answer.remedy === undefined ? {} : { remedy: answer.remedy }),
    });
  }
  const files: [string, Uint8Array][] = [];
  let offset = headEnd;
  for (const { name, bytes } of answer.files) {
    if (!isEntryFile(name)) throw failed('the generator made a file of an unexpected name', { name: printable(name) });
    files.push([name, output.subarray(offset, offset + bytes)]);
    offset += bytes;
  }
  if (offset !== output.length) throw failed('the translating process gave an answer of the wrong length');
  return { answer, files };
}

function printable(text: string): string {
  return text
    .replace(/[^\x20-\x7e]/g, ' ')
    .trim()
    .slice(0, 500);
}

function failed(message: string, details: Record<string, unknown> = {}, cause?: unknown): TrellisError {
  return new TrellisError('TRELLIS_COMPONENT_TRANSPILE', { message, details, ...(cause === undefined ? {} : { cause }) });
}
