import type { EmbeddedClaims } from '../component/claims.ts';
import { TrellisError } from '../errors.ts';
import type { Logger } from '../telemetry/log.ts';
import { claimsEntry } from './program.ts';

/** The lattice's data, as far as it remembers what runs. */
export interface MemoryData {
  ensureSpec(id: string, url: string): Promise<void>;
  putClaims(entry: ReturnType<typeof claimsEntry>): Promise<void>;
}

/** What the lattice is to remember of a component. */
export interface Remembered {
  readonly id: string;
  /** Its reference, for an entry that is not there yet; the entry stays alone without. */
  readonly ref?: string;
  readonly claims?: EmbeddedClaims | undefined;
}

/** Pause before what could not be written is tried again. */
const AGAIN_MS = 5_000;

/**
 * Writes into the lattice's data what runs here. A component does not wait for a store that is away: what could not be
 * written is written when it is back.
 */
export class LatticeMemory {
  readonly #data: MemoryData;
  readonly #log: Logger;
  readonly #unwritten = new Map<string, Remembered>();
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(data: MemoryData, log: Logger) {
    this.#data = data;
    this.#log = log;
  }

  /** Writes it, or will. Resolves either way, and never rejects. */
  async remember(what: Remembered): Promise<void> {
    try {
      if (what.claims !== undefined) await this.#data.putClaims(claimsEntry(what.claims));
      if (what.ref !== undefined) await this.#data.ensureSpec(what.id, what.ref);
      this.#unwritten.delete(what.id);
    } catch (err) {
      const code = err instanceof TrellisError ? err.code : 'TRELLIS_INTERNAL';
      if (!this.#unwritten.has(what.id))
        this.#log.warn(
          { code, component: what.id, err },
          'the lattice does not remember a component yet; tried again until it does',
        );
      this.#unwritten.set(what.id, what);
      this.#tryLater();
    }
  }

  /** True if nothing of it waits to be written. */
  knows(id: string): boolean {
    return !this.#unwritten.has(id);
  }

  /** It has stopped: what is not written needs not be. */
  forget(id: string): void {
    this.#unwritten.delete(id);
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  #tryLater(): void {
    if (this.#closed || this.#timer !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      for (const what of this.#unwritten.values()) void this.remember(what);
    }, AGAIN_MS).unref();
  }
}
