import { unwatchFile, watchFile } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { TrellisError } from '../errors.ts';
import type { DelegationSource } from './delegation-source.ts';

/** How often the file is looked at for changes, milliseconds. */
const LOOK_EVERY_MS = 2_000;

/** A delegation that somebody else minted for this host and keeps fresh in a file. */
export class FileSource implements DelegationSource {
  readonly #file: string;

  constructor(file: string) {
    this.#file = file;
  }

  async obtain(): Promise<string> {
    const text = await readFile(this.#file, 'utf8').catch((cause: unknown) => {
      throw new TrellisError('TRELLIS_DELEGATION_INVALID', {
        message: `the delegation file ${this.#file} could not be read`,
        cause,
      });
    });
    return text.trim();
  }

  // Looked at, not subscribed to: mounted secrets are replaced by renaming a link above the file.
  watch(listener: () => void): () => void {
    watchFile(this.#file, { interval: LOOK_EVERY_MS, persistent: false }, listener);
    return () => unwatchFile(this.#file, listener);
  }
}
