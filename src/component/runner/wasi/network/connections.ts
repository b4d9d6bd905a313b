import type { Lifetime } from '../poll.ts';

/** Connections one instance may have open at once. */
const MAX_CONNECTIONS = 64;

/**
 * What one instance has open on the network. All of it ends with the call that opened it: so nothing outlives the deadline
 * of a call, and one caller's connections are no other's, also where an instance serves many calls.
 */
export class Connections {
  readonly lifetime: Lifetime;
  readonly #open = new Set<(reason: Error) => void>();

  constructor(lifetime: Lifetime) {
    this.lifetime = lifetime;
    lifetime.onStop((reason) => this.endAll(reason));
  }

  /** Registers something open, ended by `end`; the function returned takes that back. `undefined`: there is too much open. */
  add(end: (reason: Error) => void): (() => void) | undefined {
    if (this.lifetime.stopped !== undefined || this.#open.size >= MAX_CONNECTIONS) return undefined;
    this.#open.add(end);
    return () => void this.#open.delete(end);
  }

  /** Ends whatever is open. */
  endAll(reason: Error): void {
    const open = [...this.#open];
    this.#open.clear();
    for (const end of open) end(reason);
  }
}
