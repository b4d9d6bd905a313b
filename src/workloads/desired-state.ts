import type { DesiredWorkload } from '../lattice/desired-state.ts';
import type { DesiredStateFile } from '../state-dir.ts';
import type { Logger } from '../telemetry/log.ts';

/**
 * What the lattice wants this host to run, kept in a file as it changes: changes that come while one is being written go into the next
 * writing together. Without a file it keeps nothing. Never throws: a disk that is full costs the memory of a crash, not a workload.
 */
export class DesiredState {
  readonly #file: DesiredStateFile | undefined;
  readonly #log: Logger;
  readonly #workloads = new Map<string, DesiredWorkload>();
  #changed = false;
  #saving: Promise<void> | undefined;
  #failed = false;

  constructor(file: DesiredStateFile | undefined, log: Logger) {
    this.#file = file;
    this.#log = log;
  }

  /** Takes over what is kept from an earlier run: nothing where that cannot be read, which is said. */
  takeOver(): readonly DesiredWorkload[] {
    const kept = this.#file?.load();
    if (kept !== 'damaged') {
      for (const workload of kept ?? []) this.#workloads.set(workload.id, workload);
      return kept ?? [];
    }
    // The next change writes a new file, and whoever looks into it needs the old one.
    const aside = this.#file?.setAside();
    this.#log.error(
      { code: 'TRELLIS_RESTORE_DAMAGED', file: this.#file?.path, ...(aside === undefined ? {} : { keptAs: aside }) },
      'what this host ran before cannot be read; it starts without',
    );
    return [];
  }

  /** It shall run like this. */
  set(workload: DesiredWorkload): void {
    this.#workloads.set(workload.id, workload);
    this.#save();
  }

  /** It shall not run. */
  delete(id: string): void {
    if (this.#workloads.delete(id)) this.#save();
  }

  /** How it shall run, or `undefined` if it shall not. */
  get(id: string): DesiredWorkload | undefined {
    return this.#workloads.get(id);
  }

  /** Resolves when everything said until now is on disk, or could not be written. */
  async saved(): Promise<void> {
    while (this.#saving !== undefined) await this.#saving;
  }

  #save(): void {
    if (this.#file === undefined) return;
    this.#changed = true;
    this.#saving ??= this.#write(this.#file).finally(() => {
      this.#saving = undefined;
    });
  }

  async #write(file: DesiredStateFile): Promise<void> {
    while (this.#changed) {
      this.#changed = false;
      try {
        await file.save([...this.#workloads.values()]);
        if (this.#failed) this.#log.info({ file: file.path }, 'what this host runs is kept again');
        this.#failed = false;
      } catch (err) {
        // Said once: the next change tries again.
        if (!this.#failed) {
          this.#log.error(
            { code: 'TRELLIS_STATE_DIR', err, file: file.path },
            'what this host runs could not be kept for its next start',
          );
        }
        this.#failed = true;
      }
    }
  }
}
