import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
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

async function build(name: string): Promise<SampleComponent> {
  const source = fileURLToPath(new URL(`../fixtures/guests/${name}`, import.meta.url));
  const { component } = await componentize({
    witPath: join(source, 'wit'),
    jsSource: readFileSync(join(source, 'guest.js'), 'utf8'),
    sync: true,
  });
  const file = join(folder, `${name}.wasm`);
  writeFileSync(file, component);
  return { file, digest: `sha256:${createHash('sha256').update(component).digest('hex')}` };
}
