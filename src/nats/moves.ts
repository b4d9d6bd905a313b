import { TrellisError } from '../errors.ts';

/** What {@link Moves} needs. */
export interface MovesOptions {
  /** Moves the connection. */
  readonly move: (reason: string) => Promise<void>;
  /** Whether the connection should be elsewhere, why, and where: after another `where` a failure counts no longer. */
  readonly wanted: () => { readonly reason: string; readonly where: string } | undefined;
  /** A move that nobody asked for by hand has failed; it is tried again. */
  readonly failed: (reason: string, error: TrellisError) => void;
  /** No move is wanted any more, after some had failed. */
  readonly settled: () => void;
}

const FIRST_RETRY_MS = 1_000;
const MAX_RETRY_MS = 60_000;

/** The moves of a connection from line to line: one at a time, and again when one has failed. */
export class Moves {
  readonly #o: MovesOptions;
  #running: Promise<void> = Promise.resolve();
  #queued: Promise<void> | undefined;
  #retry: NodeJS.Timeout | undefined;
  #failures = 0;
  #failedWhere: string | undefined;
  #over = false;

  constructor(options: MovesOptions) {
    this.#o = options;
  }

  /**
   * Moves once from now on; a move that has begun may have begun with what is old by now. All who ask before it begins get the
   * same move. Rejects with why it failed.
   */
  now(reason: string): Promise<void> {
    if (this.#over) return Promise.reject(new TrellisError('TRELLIS_NATS_CLOSED'));
    if (this.#queued !== undefined) return this.#queued;
    const queued = this.#running.then(() => {
      this.#queued = undefined;
      if (this.#over) throw new TrellisError('TRELLIS_NATS_CLOSED');
      const move = this.#o.move(reason);
      this.#running = move.catch(() => undefined);
      return move;
    });
    this.#queued = queued;
    queued.catch(() => undefined);
    return queued;
  }

  /** Looks whether a move is wanted, and sees to it that it happens. */
  look(): void {
    if (this.#over || this.#queued !== undefined) return;
    if (this.#retry !== undefined) {
      if (this.#o.wanted()?.where === this.#failedWhere) return;
      clearTimeout(this.#retry);
      this.#retry = undefined;
      this.#failures = 0;
    }
    void this.#attempt();
  }

  end(): void {
    this.#over = true;
    clearTimeout(this.#retry);
  }

  /** Resolves when no move is under way. */
  idle(): Promise<void> {
    return this.#running;
  }

  async #attempt(): Promise<void> {
    // What runs now may be just the move that is wanted.
    await this.#running;
    if (this.#over || this.#retry !== undefined || this.#queued !== undefined) return;
    const wanted = this.#o.wanted();
    if (wanted === undefined) {
      this.#settle();
      return;
    }
    try {
      await this.now(wanted.reason);
      this.#settle();
    } catch (cause) {
      if (this.#over) return;
      this.#failedWhere = wanted.where;
      const delayMs = Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** this.#failures++) * (0.75 + Math.random() / 2);
      this.#retry = setTimeout(() => {
        this.#retry = undefined;
        void this.#attempt();
      }, delayMs).unref();
      this.#o.failed(wanted.reason, cause instanceof TrellisError ? cause : new TrellisError('TRELLIS_INTERNAL', { cause }));
    }
  }

  #settle(): void {
    if (this.#failedWhere !== undefined) this.#o.settled();
    this.#failedWhere = undefined;
    this.#failures = 0;
  }
}
