import { createHash } from 'node:crypto';
import { cpSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { componentize } from 'componentize-qjs';
import type { SampleComponent } from './components.ts';

const folder = mkdtempSync(join(tmpdir(), 'trellis-guests-'));
const built = new Map<string, Promise<SampleComponent>>();

/** A guest of `test/fixtures/guests`, built from its JavaScript and WIT; about a second, once in a test file. */
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
  const js = readFileSync(join(source, 'guest.js'), 'utf8');
  const standsIn = js.includes("'wasi:http/") || js.includes("'wasi:blobstore/");
  const witPath = standsIn ? join(folder, `${name}-wit`) : join(source, 'wit');
  if (standsIn) {
    cpSync(join(source, 'wit'), witPath, { recursive: true });
    for (const file of readdirSync(witPath, { recursive: true, encoding: 'utf8' })) {
      const path = join(witPath, file);
      if (file.endsWith('.wit')) writeFileSync(path, readFileSync(path, 'utf8').replace(STAND_IN, 'wasj:'));
    }
  }
  const built = await componentize({ witPath, jsSource: standsIn ? js.replace(STAND_IN, 'wasj:') : js, sync: true });
  const component = standsIn
    ? Buffer.from(built.component.toString('latin1').replaceAll('wasj:', 'wasi:'), 'latin1')
    : built.component;
  const file = join(folder, `${name}.wasm`);
  writeFileSync(file, component);
  return { file, digest: `sha256:${createHash('sha256').update(component).digest('hex')}` };
}
