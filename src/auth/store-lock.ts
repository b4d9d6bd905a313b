import { existsSync, linkSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { TrellisError } from '../errors.ts';

const RETRY_MS = 50;

/** Locks of this process: in a container the process that left one had the same number as the next. */
const held = new Set<string>();

/**
 * Takes a store for this process alone until the returned function is called. Waits up to `waitMs` for another process; a lock
 * left by one that is gone is taken over.
 *
 * @throws TRELLIS_AUTH_STORE_BUSY, TRELLIS_AUTH_STORE
 */
export async function lockStore(dir: string, waitMs = 5_000): Promise<() => void> {
  const file = join(realpathSync(dir), '.lock');
  for (let waitedMs = 0; ; waitedMs += RETRY_MS) {
    if (!held.has(file) && claim(file)) {
      held.add(file);
      return () => {
        rmSync(file, { force: true });
        held.delete(file);
      };
    }
    const owner = ownerOf(file);
    if (owner !== undefined && !holds(file, owner)) removeStale(file, owner);
    if (waitedMs >= waitMs) {
      throw new TrellisError('TRELLIS_AUTH_STORE_BUSY', {
        message: `Process ${owner ?? 'unknown'} changes the store ${dir}`,
        ...(owner === undefined ? { remedy: `If no trellis command runs, remove ${file}.` } : {}),
      });
    }
    await sleep(RETRY_MS);
  }
}

/** The lock appears with its content in one step, so that no reader finds it empty. */
function claim(file: string): boolean {
  const own = `${file}.${process.pid}`;
  try {
    writeFileSync(own, `${process.pid}\n`, { mode: 0o600 });
    linkSync(own, file);
    return true;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw new TrellisError('TRELLIS_AUTH_STORE', {
      message: `The store cannot be written: ${file} could not be made (${String((cause as NodeJS.ErrnoException).code)})`,
      remedy: 'Run this as the user who owns the store.',
      cause,
    });
  } finally {
    rmSync(own, { force: true });
  }
}

function ownerOf(file: string): number | undefined {
  try {
    const text = readFileSync(file, 'utf8').trim();
    return /^[1-9][0-9]{0,9}$/.test(text) ? Number(text) : undefined;
  } catch {
    return undefined;
  }
}

/** Of several that find a stale lock, one removes it: whoever holds the lock on removing. */
function removeStale(file: string, owner: number): void {
  const remover = `${file}.stale`;
  if (!claim(remover)) {
    const other = ownerOf(remover);
    // It died while it removed; this process removes in one go, so of its own there is none.
    if (other !== undefined && (other === process.pid || !isAlive(other))) rmSync(remover, { force: true });
    return;
  }
  try {
    if (existsSync(file) && ownerOf(file) === owner) rmSync(file, { force: true });
  } finally {
    rmSync(remover, { force: true });
  }
}

const holds = (file: string, owner: number): boolean => (owner === process.pid ? held.has(file) : isAlive(owner));

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // Somebody else's process is alive as well.
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
