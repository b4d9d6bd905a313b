/** A call that can tell its caller that it runs. */
export interface LongCall {
  tellRunning(): void;
}

/** How long a call may run before its caller is told, at least; at most twice that. */
const ROUND_MS = 250;

/**
 * Has callers told of calls that take long, so that nobody can end those with a forged refusal. One timer looks after all of them, in
 * rounds, and rests when there are none: a call that ends soon costs two steps on a set and nothing else.
 */
export class LongCalls {
  #young = new Set<LongCall>();
  #old = new Set<LongCall>();
  #timer: NodeJS.Timeout | undefined;

  /** A call has begun. */
  add(call: LongCall): void {
    this.#young.add(call);
    this.#timer ??= setInterval(() => this.#round(), ROUND_MS).unref();
  }

  /** It has ended. */
  delete(call: LongCall): void {
    if (!this.#young.delete(call)) this.#old.delete(call);
  }

  #round(): void {
    for (const call of this.#old) call.tellRunning();
    this.#old = this.#young;
    this.#young = new Set();
    if (this.#old.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
