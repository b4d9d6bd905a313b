import type { Clock } from '../clock.ts';
import type { ComponentId } from '../ids.ts';
import type { ComponentPorts } from './component.ts';

const MAX_LINE_BYTES = 4_096;
/** Bytes a component may log per second; one second's worth may come at once. */
const BYTES_PER_SECOND = 1_000_000;
/** What a line costs beyond its bytes, so that empty lines are not free. */
const LINE_BYTES = 64;

const UNPRINTABLE = /[^\x20-\x7e\u00a0-\u{10ffff}]/gu;

/** Text as it may stand in a log line: no control characters (a guest could forge lines or steer a terminal). */
export function printable(text: string, maxLength: number): string {
  const cut = text.length > maxLength ? `${text.slice(0, maxLength)}...` : text;
  return cut.replace(UNPRINTABLE, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** Passes on what a guest writes: one line each, printable, bounded, at most 1 MB/s. What is left out is counted and said. */
export class GuestLog {
  readonly #component: ComponentId;
  readonly #clock: Clock;
  readonly #onLine: ComponentPorts['onGuestLog'];
  #allowance = BYTES_PER_SECOND;
  #refilledMs: number;
  #suppressed = 0;

  constructor(component: ComponentId, clock: Clock, onLine: ComponentPorts['onGuestLog']) {
    this.#component = component;
    this.#clock = clock;
    this.#onLine = onLine;
    this.#refilledMs = clock.monotonicMs();
  }

  /** Takes the body of a `log` frame: `u8` stream, bytes. */
  push(body: Buffer): void {
    const nowMs = this.#clock.monotonicMs();
    this.#allowance = Math.min(BYTES_PER_SECOND, this.#allowance + ((nowMs - this.#refilledMs) * BYTES_PER_SECOND) / 1000);
    this.#refilledMs = nowMs;
    const cost = LINE_BYTES + Math.min(body.length, MAX_LINE_BYTES);
    if (cost > this.#allowance) {
      this.#suppressed += 1;
      return;
    }
    this.#allowance -= cost;
    if (this.#suppressed > 0) {
      this.#onLine(this.#component, 'warn', `(${this.#suppressed} lines left out: more than 1 MB/s)`);
      this.#suppressed = 0;
    }
    const line = printable(body.toString('utf8', 1, 1 + MAX_LINE_BYTES), MAX_LINE_BYTES);
    this.#onLine(this.#component, body[0] === 2 ? 'warn' : 'info', line);
  }
}
