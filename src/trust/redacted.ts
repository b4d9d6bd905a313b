import { inspect } from 'node:util';

/**
 * A secret that does not print. Turning it into text, JSON or a debug print gives `[redacted]`; only
 * {@link Redacted.reveal} gives the value, so that every place that reads a secret can be found by its name.
 */
export class Redacted<T> {
  readonly #value: T;

  constructor(value: T) {
    this.#value = value;
  }

  /** The secret itself. */
  reveal(): T {
    return this.#value;
  }

  toString(): string {
    return '[redacted]';
  }

  toJSON(): string {
    return '[redacted]';
  }

  [inspect.custom](): string {
    return '[redacted]';
  }
}
