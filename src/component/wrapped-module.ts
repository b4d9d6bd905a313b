import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { TrellisError } from '../errors.ts';
import { looksLikeCoreModule } from '../wit/component-parser.ts';
import { digestOf } from './artifact.ts';
import { cacheKey, readEntry, writeEntry, type Manifest } from './cache.ts';
import { preflightCoreModule } from './preflight.ts';
import { jcoVersion, runTranslator } from './translating-process.ts';
import type { WrapJob } from './transpile-worker.ts';

/**
 * Core modules as components, as hosts of wasmCloud 1.x make them: what a module says of its WIT in `component-type` sections is what it
 * imports and exports; `wasi_snapshot_preview1` becomes WASI 0.2 by an adapter (`config/preview1`), the one that those hosts have.
 */

const ADAPTER = {
  name: 'wasi_snapshot_preview1',
  file: join(import.meta.dirname, '..', '..', 'config', 'preview1', 'wasi_snapshot_preview1.reactor.wasm'),
  digest: 'sha256:314cf8cc2d733b051e10c14e9780145bce0862974fed255e791fa7c31a5a5cfd',
};

/** Options of {@link asComponent}. */
export interface WrapOptions {
  /** The largest module, bytes. */
  readonly maxBytes: number;
  /** Where components are kept that were made; nowhere if left out. */
  readonly cacheDir?: string;
  /** How long the process that makes one may run, milliseconds. */
  readonly timeoutMs: number;
}

/**
 * Returns the component that `bytes` are, or, of a core module, the one that is made of it, in a process of its own or found in the
 * cache. Claims and digest of an artifact are about the bytes that came; nothing is checked of what is returned, which `preflight` does.
 *
 * @throws TRELLIS_COMPONENT_INVALID (no component can be made of the module), _TOO_LARGE, _NAME, _LIMIT, _TRANSPILE, _TRANSPILE_TIMEOUT,
 *   _CACHE, _NOT_TRANSLATED; TRELLIS_WIT_MALFORMED and TRELLIS_WIT_UNSUPPORTED of the reader
 */
export async function asComponent(bytes: Uint8Array, { maxBytes, cacheDir, timeoutMs }: WrapOptions): Promise<Uint8Array> {
  if (!looksLikeCoreModule(bytes)) return bytes;
  preflightCoreModule(bytes, { maxBytes });
  const digest = digestOf(bytes);
  const key = cacheKey({ coreModule: digest, adapter: ADAPTER.digest, jco: jcoVersion() });
  const known = cacheDir === undefined ? undefined : await readEntry(cacheDir, key, 'component.wasm');
  if (known !== undefined) return readFile(join(known.dir, 'component.wasm'));
  const adapter = await readFile(ADAPTER.file);
  if (digestOf(adapter) !== ADAPTER.digest) {
    throw new TrellisError('TRELLIS_INTERNAL', { message: `${ADAPTER.file} is not the adapter that belongs to this program` });
  }
  const job: WrapJob = { kind: 'wrap', adapterName: ADAPTER.name, adapterBytes: adapter.length };
  const made = await runTranslator(job, [adapter, bytes], timeoutMs);
  if (made === undefined) {
    throw new TrellisError('TRELLIS_COMPONENT_NOT_TRANSLATED', {
      message: `${cacheDir ?? 'no cache'} does not hold the component of the core module (${digest}), and there is no translator here`,
      details: { digest, ...(cacheDir === undefined ? {} : { cacheDir }) },
    });
  }
  if (cacheDir !== undefined) {
    await writeEntry<Manifest>(cacheDir, 'component.wasm', { key, digest, jcoVersion: jcoVersion() }, made.files);
  }
  return made.files[0]![1];
}
