import type { Logger } from './log.ts';

/** What is wrong with a host that goes on as far as it can. A reason has a key, such as `rpc`, and a text for people. */
export class Health {
  readonly #log: Logger;
  readonly #monotonicMs: () => number;
  readonly #reasons = new Map<string, string>();
  #sinceMs = 0;

  constructor(log: Logger, monotonicMs: () => number) {
    this.#log = log;
    this.#monotonicMs = monotonicMs;
  }

  /** The reasons, in the order they came; empty if all is well. */
  get degraded(): readonly string[] {
    return [...this.#reasons.values()];
  }

  /** Something is wrong, or not any more: `undefined`. Each change of the whole leaves a line in the log. */
  set(key: string, reason: string | undefined): void {
    const before = this.#reasons.size;
    if (reason === undefined) this.#reasons.delete(key);
    else this.#reasons.set(key, reason);
    const after = this.#reasons.size;
    if (after > before) {
      if (before === 0) this.#sinceMs = this.#monotonicMs();
      this.#log.error({ code: 'TRELLIS_HOST_DEGRADED', degraded: this.degraded }, 'the host is degraded');
    } else if (after === 0 && before > 0) {
      this.#log.info({ degradedMs: Math.round(this.#monotonicMs() - this.#sinceMs) }, 'the host is well again');
    }
  }
}
