import { createHash } from 'node:crypto';
import { cpSync, existsSync, linkSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { componentize } from 'componentize-qjs';
import { CACHE_DIR } from './cache-dir.ts';
import type { SampleComponent } from './components.ts';

/** Where all tests of a user keep built guests. The builder never makes the same bytes twice: one build is also translated once. */
const FOLDER = `${CACHE_DIR}-guests`;
const BUILDER = (createRequire(import.meta.url)('componentize-qjs/package.json') as { version: string }).version;
const built = new Map<string, Promise<SampleComponent>>();

/** A guest of `test/fixtures/guests`, built from its JavaScript and WIT: some seconds, once for what it is made of. */
export function builtGuest(name: string): Promise<SampleComponent> {
  let guest = built.get(name);
  if (guest === undefined) built.set(name, (guest = build(name)));
  return guest;
}

/**
 * What these interfaces are called while a guest is built: the builder has `wasi:io` of its own, whose streams are no streams to a `wasi:http` that
 * it does not have. As long as the name they get afterwards.
 */
const STAND_IN = /\bwasi:(?=http\/|io\/|blobstore\/|http@|io@|blobstore@)/g;

async function build(name: string): Promise<SampleComponent> {
  const source = fileURLToPath(new URL(`../fixtures/guests/${name}`, import.meta.url));
  const file = join(FOLDER, `${name}-${madeOf(source)}.wasm`);
  if (!existsSync(file)) {
    mkdirSync(FOLDER, { recursive: true, mode: 0o700 });
    const folder = mkdtempSync(join(FOLDER, `${name}-`));
    try {
      const own = join(folder, 'built.wasm');
      writeFileSync(own, await componentOf(source, folder));
      keepFirst(own, file);
    } finally {
      rmSync(folder, { recursive: true });
    }
  }
  return { file, digest: `sha256:${createHash('sha256').update(readFileSync(file)).digest('hex')}` };
}

/** Names all that goes into a guest: its files, the builder, and what is done here. */
function madeOf(source: string): string {
  const hash = createHash('sha256')
    .update(BUILDER)
    .update(readFileSync(fileURLToPath(import.meta.url)));
  for (const file of filesIn(source)) hash.update(`\n${file}\n`).update(readFileSync(join(source, file)));
  return hash.digest('hex').slice(0, 32);
}

const filesIn = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .toSorted();

/** Another test may have been faster, and its bytes are in use. */
function keepFirst(own: string, file: string): void {
  try {
    linkSync(own, file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}

async function componentOf(source: string, folder: string): Promise<Uint8Array> {
  const js = readFileSync(join(source, 'guest.js'), 'utf8');
  const standsIn = js.includes("'wasi:http/") || js.includes("'wasi:blobstore/");
  const witPath = standsIn ? join(folder, 'wit') : join(source, 'wit');
  if (standsIn) {
    cpSync(join(source, 'wit'), witPath, { recursive: true });
    for (const file of filesIn(witPath).filter((each) => each.endsWith('.wit'))) {
      const path = join(witPath, file);
      writeFileSync(path, readFileSync(path, 'utf8').replace(STAND_IN, 'wasj:'));
    }
  }
  const { component } = await componentize({ witPath, jsSource: standsIn ? js.replace(STAND_IN, 'wasj:') : js, sync: true });
  return standsIn ? Buffer.from(component.toString('latin1').replaceAll('wasj:', 'wasi:'), 'latin1') : component;
}
