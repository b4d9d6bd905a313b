import { type FSWatcher, watch } from 'node:fs';
import { dirname } from 'node:path';

/** What {@link FileWatch} takes. */
export interface FileWatchOptions {
  readonly files: readonly string[];
  /** Something may have changed; called at least every `pollMs`. */
  readonly onLook: () => void;
  /** For file systems without events, and for links whose target lies elsewhere. Milliseconds. */
  readonly pollMs: number;
}

/** Whoever replaces a file does so in several steps. */
const SETTLE_MS = 100;

/**
 * Says when files may have changed. It watches their folders: editors, renames and the links of a Kubernetes secret replace the file,
 * and a watch on the file itself would stay with the old one.
 */
export class FileWatch {
  readonly #options: FileWatchOptions;
  readonly #watchers = new Map<string, FSWatcher>();
  readonly #poll: NodeJS.Timeout;
  #settling: NodeJS.Timeout | undefined;

  constructor(options: FileWatchOptions) {
    this.#options = options;
    this.#watchFolders();
    this.#poll = setInterval(() => {
      // A folder may have been removed and made again.
      this.#watchFolders();
      options.onLook();
    }, options.pollMs).unref();
  }

  close(): void {
    clearInterval(this.#poll);
    clearTimeout(this.#settling);
    for (const watcher of this.#watchers.values()) watcher.close();
    this.#watchers.clear();
  }

  #watchFolders(): void {
    for (const folder of new Set(this.#options.files.map((file) => dirname(file)))) {
      if (this.#watchers.has(folder)) continue;
      try {
        const watcher = watch(folder, { persistent: false }, (type, name) => {
          // The folder's own end arrives under its own name.
          if (type === 'rename' && name !== null && folder.endsWith(`/${name}`)) this.#forget(folder);
          this.#settle();
        });
        watcher.on('error', () => this.#forget(folder));
        this.#watchers.set(folder, watcher);
      } catch {
        // Not there, or no watches left: the poll sees what changes.
      }
    }
  }

  #forget(folder: string): void {
    this.#watchers.get(folder)?.close();
    this.#watchers.delete(folder);
  }

  #settle(): void {
    clearTimeout(this.#settling);
    this.#settling = setTimeout(() => this.#options.onLook(), SETTLE_MS).unref();
  }
}
