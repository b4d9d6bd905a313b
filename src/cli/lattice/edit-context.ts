import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TrellisError } from '../../errors.ts';
import type { ContextStore } from './context-store.ts';

/**
 * Opens a copy of a context, right or not, in the user's editor, and keeps it if it is right.
 * @returns whether it was changed
 * @throws TRELLIS_CONTEXT_UNKNOWN, TRELLIS_CONTEXT_INVALID, TRELLIS_USAGE without an editor
 */
export async function editContext(store: ContextStore, name: string): Promise<boolean> {
  if (!store.names(name) || name.startsWith('nats:') || !store.has(name)) {
    // Says what is wrong with one that is none.
    store.get(name);
    throw new TrellisError('TRELLIS_USAGE', {
      message: `${name} is a context of the nats command`,
      remedy: `Edit it with nats context edit, or copy it: trellis ctx new NAME --from ${name}`,
    });
  }
  const kept = store.fileOf(name);
  const editor = process.env['VISUAL'] || process.env['EDITOR'];
  if (editor === undefined || editor === '') {
    throw new TrellisError('TRELLIS_USAGE', {
      message: 'neither VISUAL nor EDITOR names an editor',
      remedy: `Set EDITOR, or edit ${kept} by hand; trellis ctx show ${name} then says whether it is right.`,
    });
  }
  const before = readFileSync(kept, 'utf8');
  const dir = mkdtempSync(join(tmpdir(), 'trellis-context-'));
  try {
    const file = join(dir, `${name}.json`);
    writeFileSync(file, before, { mode: 0o600 });
    // By the shell, as git and others do it: the variable may hold arguments.
    const child = spawn('/bin/sh', ['-c', `${editor} "$1"`, 'sh', file], { stdio: 'inherit' });
    const [code] = (await once(child, 'close')) as [number | null];
    if (code !== 0)
      throw new TrellisError('TRELLIS_USAGE', { message: `the editor ended with ${code ?? 'a signal'}; nothing is changed` });
    const after = readFileSync(file, 'utf8');
    if (after === before) return false;
    store.put(name, store.parse(name, kept, after));
    return true;
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}
