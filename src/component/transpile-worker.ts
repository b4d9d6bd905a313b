/**
 * The program of the translating process: a component on stdin, JavaScript and core modules on stdout; or a core module in, a component
 * out. It has no environment, no network, no way to start anything and no file it could write; it reads jco's own files only.
 *
 * stdin: u32 LE length, that many bytes of JSON ({@link TranspileJob} or {@link WrapJob}), then what it speaks of until end of file.
 * stdout: u32 LE length, that many bytes of JSON ({@link TranspileAnswer}), then the files one after the other.
 */
import { SourceTextModule } from 'node:vm';
import { TrellisError } from '../errors.ts';
import type { ErrorCode } from '../errors.ts';
import { capCoreModule } from './core-module.ts';
import { loadBindgen, loadWasmTools } from './translator.ts';
import { patchGlue } from './patches.ts';
import type { ExpectedPatches } from './patches.ts';

/** JavaScript of a component. */
export interface TranspileJob {
  readonly kind: 'translate';
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

/** A component of a core module: the adapter comes first, and then the module. */
export interface WrapJob {
  readonly kind: 'wrap';
  /** The module of whose imports the adapter makes others. */
  readonly adapterName: string;
  readonly adapterBytes: number;
}

/** With the URL of jco's tool: found by the host, because a search would have to read folders this process must not see. */
type Job = (TranspileJob | WrapJob) & { readonly tool: string };

/** What the host gets; the files follow in this order. */
export type TranspileAnswer =
  | {
      readonly ok: true;
      readonly files: readonly { readonly name: string; readonly bytes: number }[];
      /** Keys of the imports object that the JavaScript reads. */
      readonly imports: readonly string[];
    }
  | { readonly ok: false; readonly code: ErrorCode; readonly message: string; readonly remedy?: string };

type Files = [name: string, bytes: Uint8Array][];

async function readStdin(): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

interface Made {
  readonly files: Files;
  readonly imports: readonly string[];
}

async function wrap(job: Job & WrapJob, input: Uint8Array): Promise<Made> {
  const { componentNew } = await loadWasmTools(job.tool);
  const [adapter, module] = [input.subarray(0, job.adapterBytes), input.subarray(job.adapterBytes)];
  try {
    return { files: [['component.wasm', await componentNew(module, [[job.adapterName, adapter]])]], imports: [] };
  } catch (error) {
    throw new TrellisError('TRELLIS_COMPONENT_INVALID', {
      message: `the file is a core module of which no component can be made: ${printable(lastLine(textOf(error)))}`,
      remedy: 'Build a component of it, or let it import nothing but WASI and what its WIT says.',
    });
  }
}

async function translate(job: Job & TranspileJob, component: Uint8Array): Promise<Made> {
  const { generate } = await loadBindgen(job.tool);
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
  let isPatched = false;
  for (const [name, bytes] of generated.files) {
    if (name === 'c.js') {
      const patched = patchGlue(new TextDecoder('utf-8', { fatal: true }).decode(bytes), job.expected);
      isPatched = true;
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
  if (!isPatched) throw new TrellisError('TRELLIS_COMPONENT_PATCH', { message: 'no glue code was generated' });
  if (memories > job.maxMemories || initialBytes > job.maxMemoryBytes) {
    throw new TrellisError('TRELLIS_COMPONENT_LIMIT', {
      message: `the component starts with ${memories} memories of ${initialBytes} bytes together; allowed are ${job.maxMemories} and ${job.maxMemoryBytes}`,
    });
  }
  return { files, imports: generated.imports };
}

const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
const firstLine = (text: string): string => text.split('\n', 1)[0] ?? '';
/** Of a chain of causes the first one, without its number. */
const lastLine = (text: string): string => (text.trimEnd().split('\n').at(-1) ?? '').replace(/^ *(?:[0-9]+: )?/, '');

/** What may go from jco's text (which quotes the component) into a message: printable ASCII, bounded. */
const printable = (text: string): string => text.replace(/[^\x20-\x7e]/g, '?').slice(0, 300);

async function main(): Promise<void> {
  const input = await readStdin();
  const jobBytes = input.readUInt32LE(0);
  let answer: TranspileAnswer;
  let files: Files = [];
  try {
    const job = JSON.parse(input.toString('utf8', 4, 4 + jobBytes)) as Job;
    const rest = input.subarray(4 + jobBytes);
    const made = job.kind === 'wrap' ? await wrap(job, rest) : await translate(job, rest);
    ({ files } = made);
    answer = { ok: true, files: files.map(([name, bytes]) => ({ name, bytes: bytes.length })), imports: made.imports };
  } catch (error) {
    answer =
      error instanceof TrellisError
        ? { ok: false, code: error.code, message: error.message, remedy: error.remedy }
        : { ok: false, code: 'TRELLIS_COMPONENT_TRANSPILE', message: printable(firstLine(textOf(error))) };
  }
  const head = Buffer.from(JSON.stringify(answer));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(head.length);
  process.stdout.write(length);
  process.stdout.write(head);
  for (const [, bytes] of files) process.stdout.write(bytes);
}

await main();
