import { spawn } from 'node:child_process';
import { readFileSync, realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { TrellisError } from '../errors.ts';
import { cacheKey, isEntryFile, readEntry, writeEntry } from './cache.ts';
import type { CacheEntry } from './cache.ts';
import { confinedNode } from './confined-node.ts';
import { PATCH_VERSION } from './patches.ts';
import type { Preflight } from './preflight.ts';
import { planFor } from './transpile-plan.ts';
import type { TranspileAnswer, TranspileJob } from './transpile-worker.ts';

/** A component as JavaScript and core modules, verified and ready for a runner. */
export interface TranspiledComponent {
  /** The folder; a runner needs to read nothing else. */
  readonly dir: string;
  /** `sha256:<hex>` of the component. */
  readonly digest: string;
  /** Name of the module with `instantiate(getCoreModule, imports)`. */
  readonly entry: string;
  /** Names of the core modules in `dir`. */
  readonly coreModules: readonly string[];
  /** Absolute path of `manifest.json`, which also holds the component's types. */
  readonly manifestPath: string;
  readonly asyncMode: 'sync' | 'jspi';
  /** Keys of the imports object that `instantiate` reads. */
  readonly imports: readonly string[];
  /** True if nothing had to be translated. */
  readonly cached: boolean;
}

/** Options of {@link transpileComponent}. */
export interface TranspileOptions {
  readonly cacheDir: string;
  readonly limits: {
    /** Linear memory of one instance, bytes: the maximum written into each of its core modules. */
    readonly maxMemoryBytes: number;
  };
  /** How long the translating process may run, milliseconds. */
  readonly timeoutMs: number;
}

/** Memories that one component may define; an engine reserves address space for each. */
const MAX_MEMORIES = 8;
/** Translating processes at a time. Each holds up to some hundred megabytes. */
const MAX_PROCESSES = 2;
const MAX_STDERR_BYTES = 4_096;

/**
 * Translates a component that has passed `preflight`, or finds it translated already. The generator runs in a process of
 * its own, with an empty environment and the permission model, because it handles hostile input.
 *
 * @throws TRELLIS_COMPONENT_TRANSPILE, _TRANSPILE_TIMEOUT, _LIMIT, _UNSUPPORTED, _PATCH, _CACHE, _NOT_TRANSLATED
 */
export async function transpileComponent(
  bytes: Uint8Array,
  preflight: Pick<Preflight, 'types' | 'digest'>,
  options: TranspileOptions,
): Promise<TranspiledComponent> {
  const plan = planFor(preflight.types);
  const { maxMemoryBytes } = options.limits;
  const key = cacheKey({ digest: preflight.digest, plan, maxMemoryBytes, jco: jcoVersion(), patches: PATCH_VERSION });
  const place = join(options.cacheDir, key);
  const running = inProgress.get(place);
  if (running !== undefined) return running;
  const made = make();
  inProgress.set(place, made);
  try {
    return await made;
  } finally {
    inProgress.delete(place);
  }

  async function make(): Promise<TranspiledComponent> {
    const known = await readEntry(options.cacheDir, key);
    if (known !== undefined) return describe(known, true);
    const generator = generatorFile();
    if (generator === undefined) {
      throw new TrellisError('TRELLIS_COMPONENT_NOT_TRANSLATED', {
        message: `nothing in ${options.cacheDir} fits the component (${preflight.digest}) with ${maxMemoryBytes} bytes of memory, and there is no translator here`,
        details: { cacheDir: options.cacheDir, digest: preflight.digest, maxMemoryBytes },
      });
    }
    const asyncStatics = plan.asyncExports.filter((name) => name.includes('[static]')).length;
    const job: TranspileJob = {
      ...plan,
      generator: pathToFileURL(generator).href,
      expected: { asyncFunctions: plan.asyncExports.length > 0 ? 1 : 0, asyncStatics },
      maxMemoryBytes,
      maxMemories: MAX_MEMORIES,
    };
    const { answer, files } = await withSlot(() => runTranslator(job, jcoFolder(generator), bytes, options.timeoutMs));
    const entry = await writeEntry(
      options.cacheDir,
      {
        key,
        digest: preflight.digest,
        jcoVersion: jcoVersion(),
        patchVersion: PATCH_VERSION,
        asyncMode: plan.asyncMode,
        options: { ...plan, maxMemoryBytes },
        imports: answer.imports,
        types: preflight.types,
      },
      [...files, ['package.json', Buffer.from('{"type":"module"}\n')]],
    );
    return describe(entry, false);
  }
}

const inProgress = new Map<string, Promise<TranspiledComponent>>();

function describe(entry: CacheEntry, cached: boolean): TranspiledComponent {
  const { manifest, dir, manifestPath } = entry;
  const coreModules = Object.keys(manifest.files).filter((name) => name.endsWith('.wasm'));
  const { digest, asyncMode, imports } = manifest;
  return { dir, digest, entry: 'c.js', coreModules, manifestPath, asyncMode, imports, cached };
}

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
  const own = ['transpile-worker', 'patches', 'core-module'].map((name) => join(folder, name + extension));
  const shared = [
    join(folder, '..', `errors${extension}`),
    join(folder, '..', 'errors'),
    join(folder, '..', '..', 'package.json'),
  ];
  return { main: own[0]!, readable: [...own, ...shared, jco] };
}

/** jco's generator, or `undefined` in an installation that only runs what was translated elsewhere. */
function generatorFile(): string | undefined {
  try {
    return realpathSync(fileURLToPath(import.meta.resolve(`${JCO}/component`)));
  } catch {
    return undefined;
  }
}

function jcoFolder(generator: string): string {
  // `…/jco-transpile/vendor/js-component-bindgen-component.js`
  return dirname(dirname(generator));
}

const JCO = '@bytecodealliance/jco-transpile';
let jcoVersionRead: string | undefined;

/**
 * Returns the version of the installed jco-transpile. Where none is, the one that this package is made for: what was translated with it
 * elsewhere is good here.
 */
export function jcoVersion(): string {
  if (jcoVersionRead === undefined) {
    const generator = generatorFile();
    const text = (folder: string): string => readFileSync(join(folder, 'package.json'), 'utf8');
    jcoVersionRead =
      generator === undefined
        ? (JSON.parse(text(join(import.meta.dirname, '..', '..'))) as { dependencies: Record<string, string> }).dependencies[JCO]!
        : (JSON.parse(text(jcoFolder(generator))) as { version: string }).version;
  }
  return jcoVersionRead;
}

type Translated = { answer: Extract<TranspileAnswer, { ok: true }>; files: [name: string, bytes: Uint8Array][] };

async function runTranslator(job: TranspileJob, jco: string, component: Uint8Array, timeoutMs: number): Promise<Translated> {
  const { main, readable } = program(jco);
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
  const maxBytes = 64 * 1024 * 1024 + 4 * component.length;
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
  const head = Buffer.from(JSON.stringify(job));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(head.length);
  child.stdin.write(length);
  child.stdin.write(head);
  child.stdin.end(component);
  const exit = await new Promise<{ code: number | null; signal: string | null } | { error: Error }>((resolve) => {
    child.once('error', (error) => resolve({ error }));
    child.once('close', (code, signal) => resolve({ code, signal }));
  });
  clearTimeout(timer);
  if (stopped === 'timeout') {
    throw new TrellisError('TRELLIS_COMPONENT_TRANSPILE_TIMEOUT', {
      message: `translating the component took longer than ${timeoutMs} ms`,
      details: { timeoutMs, bytes: component.length },
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
