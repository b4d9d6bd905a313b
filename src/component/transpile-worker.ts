/**
 * The program of the translating process: a component on stdin, JavaScript and core modules on stdout. It has no
 * environment, no network, no way to start anything and no file it could write; it reads jco's own files only.
 *
 * stdin: u32 LE length, that many bytes of JSON ({@link TranspileJob}), then the component until end of file.
 * stdout: u32 LE length, that many bytes of JSON ({@link TranspileAnswer}), then the files one after the other.
 */
import { registerHooks } from 'node:module';
import { SourceTextModule } from 'node:vm';
import { TrellisError } from '../errors.ts';
import type { ErrorCode } from '../errors.ts';
import { capCoreModule } from './core-module.ts';
import { patchGlue } from './patches.ts';
import type { ExpectedPatches, PatchReport } from './patches.ts';

/** What the host asks for. */
export interface TranspileJob {
  /** URL of jco's generator: found by the host, because a search would have to read folders this process must not see. */
  readonly generator: string;
  /** `'sync'`, or `'jspi'` with the functions that may wait. */
  readonly asyncMode: 'sync' | 'jspi';
  readonly asyncImports: readonly string[];
  readonly asyncExports: readonly string[];
  /** Import name → key in the object given to `instantiate`. */
  readonly map: Readonly<Record<string, string>>;
  readonly expected: ExpectedPatches;
  readonly maxMemoryBytes: number;
  readonly maxMemories: number;
}

/** What it gets; the files follow in this order. */
export type TranspileAnswer =
  | {
      readonly ok: true;
      readonly files: readonly { readonly name: string; readonly bytes: number }[];
      readonly imports: readonly string[];
      readonly exports: readonly string[];
      readonly patches: PatchReport;
    }
  | { readonly ok: false; readonly code: ErrorCode; readonly message: string; readonly remedy?: string };

interface Bindgen {
  readonly $init: Promise<void>;
  generate(
    component: Uint8Array,
    options: Record<string, unknown>,
  ): { files: [string, Uint8Array][]; imports: string[]; exports: [string, string][] };
}

type Files = [name: string, bytes: Uint8Array][];

/**
 * jco's generator is itself a component that imports WASI through a shim; the shim starts a thread and opens the file
 * system to it. It needs none of that, so it gets functions that refuse.
 */
async function loadBindgen(generator: string): Promise<Bindgen> {
  const shim = '@bytecodealliance/preview2-shim/';
  registerHooks({
    resolve: (specifier, context, next) =>
      specifier.startsWith(shim)
        ? { url: `trellis-shim:${specifier.slice(shim.length)}`, format: 'module', shortCircuit: true }
        : next(specifier, context),
    load: (url, context, next) =>
      url.startsWith('trellis-shim:')
        ? { format: 'module', source: SHIMS[url.slice('trellis-shim:'.length)] ?? '', shortCircuit: true }
        : next(url, context),
  });
  const bindgen = (await import(generator)) as Bindgen;
  await bindgen.$init;
  return bindgen;
}

const REFUSE = 'const no = () => { throw new Error("not available to the generator"); };';
const SHIMS: Readonly<Record<string, string>> = {
  cli: `${REFUSE} class T {} class O {}
    export const environment = { getEnvironment: () => [], getArguments: () => [], initialCwd: () => undefined };
    export const exit = { exit: no };
    export const stdin = { getStdin: no }, stdout = { getStdout: no }, stderr = { getStderr: no };
    export const terminalInput = { TerminalInput: T }, terminalOutput = { TerminalOutput: O };
    export const terminalStdin = { getTerminalStdin: () => undefined };
    export const terminalStdout = { getTerminalStdout: () => undefined };
    export const terminalStderr = { getTerminalStderr: () => undefined };`,
  clocks: `export const wallClock = { now: () => ({ seconds: 0n, nanoseconds: 0 }), resolution: () => ({ seconds: 1n, nanoseconds: 0 }) };
    export const monotonicClock = { now: () => 0n, resolution: () => 1n };`,
  filesystem: `${REFUSE} class D {} class S {}
    export const preopens = { getDirectories: () => [] };
    export const types = { Descriptor: D, DirectoryEntryStream: S, filesystemErrorCode: () => undefined };`,
  io: `class E {} class I {} class O {} class P {}
    export const error = { Error: E }, streams = { InputStream: I, OutputStream: O }, poll = { Pollable: P };`,
  random: `export const random = {
      getRandomBytes: (length) => crypto.getRandomValues(new Uint8Array(Number(length))),
      getRandomU64: () => crypto.getRandomValues(new BigUint64Array(1))[0] };
    export const insecure = random, insecureSeed = { insecureSeed: () => [0n, 0n] };`,
};

async function readStdin(): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

async function translate(job: TranspileJob, component: Uint8Array): Promise<{ answer: TranspileAnswer; files: Files }> {
  const { generate } = await loadBindgen(job.generator);
  const jspi = { tag: 'jspi', val: { imports: job.asyncImports, exports: job.asyncExports } };
  const generated = generate(component, {
    name: 'c',
    instantiation: { tag: 'async' },
    asyncMode: job.asyncMode === 'jspi' ? jspi : { tag: 'sync' },
    map: Object.entries(job.map),
    base64Cutoff: 0,
    noNodejsCompat: true,
    noTypescript: true,
    // Keeps a declared error (a ComponentError) apart from a trap.
    noComponentErrorWrapping: false,
    noNamespacedExports: false,
    strict: true,
  });
  const files: Files = [];
  let memories = 0;
  let initialBytes = 0;
  let patches: PatchReport | undefined;
  for (const [name, bytes] of generated.files) {
    if (name === 'c.js') {
      const patched = patchGlue(new TextDecoder('utf-8', { fatal: true }).decode(bytes), job.expected);
      patches = patched.report;
      // Parses without running anything: an identifier the generator got wrong is found here, not in a runner's crash loop.
      void new SourceTextModule(patched.source, { identifier: name });
      files.push([name, new TextEncoder().encode(patched.source)]);
    } else {
      const capped = capCoreModule(bytes, job.maxMemoryBytes);
      memories += capped.memories;
      initialBytes += capped.initialMemoryBytes;
      files.push([name, capped.bytes]);
    }
  }
  if (patches === undefined) throw new TrellisError('TRELLIS_COMPONENT_PATCH', { message: 'no glue code was generated' });
  if (memories > job.maxMemories || initialBytes > job.maxMemoryBytes) {
    throw new TrellisError('TRELLIS_COMPONENT_LIMIT', {
      message: `the component starts with ${memories} memories of ${initialBytes} bytes together; allowed are ${job.maxMemories} and ${job.maxMemoryBytes}`,
    });
  }
  const exports = generated.exports.map(([name]) => name);
  const listed = files.map(([name, bytes]) => ({ name, bytes: bytes.length }));
  return { answer: { ok: true, files: listed, imports: generated.imports, exports, patches }, files };
}

/** Printable ASCII, first line, bounded: what may go from jco's text (which quotes the component) into a message. */
function firstLine(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return (text.split('\n', 1)[0] ?? '').replace(/[^\x20-\x7e]/g, '?').slice(0, 300);
}

async function main(): Promise<void> {
  const input = await readStdin();
  const jobBytes = input.readUInt32LE(0);
  let answer: TranspileAnswer;
  let files: Files = [];
  try {
    const job = JSON.parse(input.toString('utf8', 4, 4 + jobBytes)) as TranspileJob;
    ({ answer, files } = await translate(job, input.subarray(4 + jobBytes)));
  } catch (error) {
    answer =
      error instanceof TrellisError
        ? { ok: false, code: error.code, message: error.message, remedy: error.remedy }
        : { ok: false, code: 'TRELLIS_COMPONENT_TRANSPILE', message: firstLine(error) };
  }
  const head = Buffer.from(JSON.stringify(answer));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(head.length);
  process.stdout.write(length);
  process.stdout.write(head);
  for (const [, bytes] of files) process.stdout.write(bytes);
}

await main();
