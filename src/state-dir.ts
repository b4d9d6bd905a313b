import { closeSync, constants, fstatSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openTrustFile, type TrustFile } from './control/trust-file.ts';
import { TrellisError } from './errors.ts';
import { type DesiredWorkload, desiredStateText, readDesiredState } from './lattice/desired-state.ts';
import { replaceFile, replaceFileLater } from './replace-file.ts';
import type { AheadStore } from './trust/restart-fence.ts';

/** As many as anybody's desired state has; a larger file is not one. */
const MAX_STATE_BYTES = 64 * 1024 * 1024;

/** Makes the folder of what must survive a crash, mode 0700, if it is not there. @throws TRELLIS_STATE_DIR */
function makeStateDir(dir: string): void {
  try {
    mkdirSync(dir, { recursive: true, mode: 0o700 });
  } catch (cause) {
    throw new TrellisError('TRELLIS_STATE_DIR', { message: `the folder ${dir} could not be made`, details: { dir }, cause });
  }
}

/** Further ahead than this no clock is believed (`trust.skewMs` ends at a minute), so a number beyond it is damage. */
const DAMAGE_MS = 120_000;

/**
 * Takes a state folder for this process alone until the returned function is called, or the process is gone.
 * @throws TRELLIS_STATE_DIR, TRELLIS_STATE_DIR_BUSY
 */
export function claimStateDir(dir: string): () => void {
  makeStateDir(dir);
  const file = join(dir, 'owner.pid');
  const claim = (): boolean => {
    try {
      writeFileSync(file, `${process.pid}\n`, { flag: 'wx', mode: 0o600 });
      return true;
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === 'EEXIST') return false;
      throw new TrellisError('TRELLIS_STATE_DIR', { message: `the folder ${dir} cannot be written`, details: { dir }, cause });
    }
  };
  if (!claim()) {
    const owner = Number(readFileSync(file, 'utf8'));
    if (owner !== process.pid && isAlive(owner)) {
      throw new TrellisError('TRELLIS_STATE_DIR_BUSY', {
        message: `process ${owner} runs a development lattice in ${dir}`,
        details: { dir, owner },
      });
    }
    // Left by one that was killed.
    rmSync(file, { force: true });
    if (!claim()) throw new TrellisError('TRELLIS_STATE_DIR_BUSY');
  }
  return () => rmSync(file, { force: true });
}

function isAlive(pid: number): boolean {
  if (!Number.isInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // Somebody else's process is alive as well.
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/**
 * The one number that the restart fence keeps across a crash, in a file of its own: written beside, flushed, renamed, so that
 * the file always holds a whole number. A file that holds anything else counts as 0, as does a missing one.
 */
export function openAheadFile(stateDir: string, lattice: string): AheadStore {
  makeStateDir(stateDir);
  const file = join(stateDir, `ahead-${lattice}`);
  const stored = (): number => {
    try {
      const text = readFileSync(file, 'utf8').trim();
      return /^[0-9]{1,15}$/.test(text) ? Number(text) : 0;
    } catch {
      // No host of this lattice has met a clock ahead of its own here.
      return 0;
    }
  };
  return {
    aheadMs: stored(),
    raise(ms) {
      // Another host of this lattice may keep its number in the same folder: the later one protects both.
      const leadMs = stored() - ms;
      if (leadMs >= 0 && leadMs <= DAMAGE_MS) return;
      replaceFile(file, `${Math.ceil(ms)}\n`);
    },
  };
}

/** The file in which a host keeps what it knows of issuers and revocations. @throws TRELLIS_STATE_DIR */
export function openTrustFileIn(stateDir: string, lattice: string): TrustFile {
  makeStateDir(stateDir);
  return openTrustFile(join(stateDir, `trust-${lattice}.json`), replaceFile);
}

/** Text of a file that is one: a pipe in its place would keep the host from starting, and a very large one takes its memory. */
function readPlainFile(path: string): string {
  const handle = openSync(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
  try {
    const found = fstatSync(handle);
    if (!found.isFile() || found.size > MAX_STATE_BYTES) throw new RangeError('no file of ours');
    return readFileSync(handle, 'utf8');
  } finally {
    closeSync(handle);
  }
}

/** Where a host keeps what the lattice had it start. */
export interface DesiredStateFile {
  readonly path: string;
  /** What is kept, `undefined` where nothing was, `damaged` where it cannot be read as what this wrote. Never throws. */
  load(): readonly DesiredWorkload[] | 'damaged' | undefined;
  /** Keeps what cannot be read for whoever looks into it, under the name that comes back; `undefined` if that failed. Never throws. */
  setAside(): string | undefined;
  /** Keeps it in place of what was kept. @throws what writing a file throws */
  save(workloads: readonly DesiredWorkload[]): Promise<void>;
}

/**
 * The file of what a host is to run again after a crash. A host with an identity that lasts has one of its own, the others of a lattice
 * that share the folder share it.
 * @throws TRELLIS_STATE_DIR
 */
export function openDesiredStateFile(stateDir: string, lattice: string, identity: string | undefined): DesiredStateFile {
  makeStateDir(stateDir);
  const path = join(stateDir, `workloads-${lattice}${identity === undefined ? '' : `-${identity}`}.json`);
  return {
    path,
    load() {
      try {
        return readDesiredState(readPlainFile(path)) ?? 'damaged';
      } catch (error) {
        return (error as NodeJS.ErrnoException).code === 'ENOENT' ? undefined : 'damaged';
      }
    },
    setAside() {
      try {
        renameSync(path, `${path}.damaged`);
        return `${path}.damaged`;
      } catch {
        return undefined;
      }
    },
    save: (workloads) => replaceFileLater(path, desiredStateText(workloads)),
  };
}
