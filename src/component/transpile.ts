import { join } from 'node:path';
import { TrellisError } from '../errors.ts';
import { cacheKey, readEntry, writeEntry, type CacheEntry, type Translation } from './cache.ts';
import { PATCH_VERSION } from './patches.ts';
import type { Preflight } from './preflight.ts';
import { jcoVersion, runTranslator } from './translating-process.ts';
import { planFor } from './transpile-plan.ts';
import type { TranspileJob } from './transpile-worker.ts';

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

/**
 * Translates a component that has passed `preflight`, or finds it translated already. The generator runs in a process of
 * its own (`translating-process.ts`).
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
    const known = await readEntry<Translation>(options.cacheDir, key, 'c.js');
    if (known !== undefined) return describe(known, true);
    const asyncStatics = plan.asyncExports.filter((name) => name.includes('[static]')).length;
    const job: TranspileJob = {
      kind: 'translate',
      ...plan,
      expected: { asyncFunctions: plan.asyncExports.length > 0 ? 1 : 0, asyncStatics },
      maxMemoryBytes,
      maxMemories: MAX_MEMORIES,
    };
    const translated = await runTranslator(job, [bytes], options.timeoutMs);
    if (translated === undefined) {
      throw new TrellisError('TRELLIS_COMPONENT_NOT_TRANSLATED', {
        message: `nothing in ${options.cacheDir} fits the component (${preflight.digest}) with ${maxMemoryBytes} bytes of memory, and there is no translator here`,
        details: { cacheDir: options.cacheDir, digest: preflight.digest, maxMemoryBytes },
      });
    }
    const entry = await writeEntry<Translation>(
      options.cacheDir,
      'c.js',
      {
        key,
        digest: preflight.digest,
        jcoVersion: jcoVersion(),
        patchVersion: PATCH_VERSION,
        asyncMode: plan.asyncMode,
        options: { ...plan, maxMemoryBytes },
        imports: translated.answer.imports,
        types: preflight.types,
      },
      [...translated.files, ['package.json', Buffer.from('{"type":"module"}\n')]],
    );
    return describe(entry, false);
  }
}

const inProgress = new Map<string, Promise<TranspiledComponent>>();

function describe(entry: CacheEntry<Translation>, cached: boolean): TranspiledComponent {
  const { manifest, dir, manifestPath } = entry;
  const coreModules = Object.keys(manifest.files).filter((name) => name.endsWith('.wasm'));
  const { digest, asyncMode, imports } = manifest;
  return { dir, digest, entry: 'c.js', coreModules, manifestPath, asyncMode, imports, cached };
}
