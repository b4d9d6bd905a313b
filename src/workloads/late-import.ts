import type { ImportHandle } from '../component/component.ts';

/** Most bytes of values that may come before the import has been sent. */
const MAX_EARLY_BYTES = 1024 * 1024;

/** An import that is sent a moment later: once `ready` resolves, with the values that came meanwhile, or at once when those are too many. */
export class LateImport implements ImportHandle {
  readonly #begin: () => ImportHandle;
  readonly #fail: (detail: string) => void;
  #early: Parameters<ImportHandle['sendPath']>[] = [];
  #earlyBytes = 0;
  #handle: ImportHandle | undefined;
  #over = false;

  /** @param fail - Told what `begin` throws. */
  constructor(ready: Promise<void>, begin: () => ImportHandle, fail: (detail: string) => void) {
    this.#begin = begin;
    this.#fail = fail;
    void ready.then(() => this.#send());
  }

  sendPath(path: string, bytes: Uint8Array, eof: boolean): void {
    if (this.#handle !== undefined) {
      this.#handle.sendPath(path, bytes, eof);
      return;
    }
    if (this.#over) return;
    this.#early.push([path, new Uint8Array(bytes), eof]);
    this.#earlyBytes += bytes.length;
    if (this.#earlyBytes > MAX_EARLY_BYTES) this.#send();
  }

  cancel(): void {
    this.#over = true;
    this.#early = [];
    this.#handle?.cancel();
  }

  #send(): void {
    if (this.#over || this.#handle !== undefined) return;
    try {
      this.#handle = this.#begin();
      for (const value of this.#early) this.#handle.sendPath(...value);
    } catch (error) {
      this.#over = true;
      this.#fail(error instanceof Error ? error.message : 'it could not be sent');
    }
    this.#early = [];
  }
}
