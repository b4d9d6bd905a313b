import type { Clock } from '../clock.ts';
import type { ComponentId } from '../ids.ts';
import type { ComponentPorts, GuestLogLevel } from './component.ts';
import { GUEST_LOG_KINDS, type GuestLogKind } from './runner/frames.ts';

const MAX_LINE_BYTES = 4_096;
const MAX_CONTEXT_BYTES = 256;
const HEAD_BYTES = 3;
const LEVELS: Readonly<Record<GuestLogKind, GuestLogLevel>> = {
  stdout: 'info',
  stderr: 'warn',
  trace: 'trace',
  debug: 'debug',
  info: 'info',
  warn: 'warn',
  error: 'error',
  critical: 'error',
};
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

  /** Takes the body of a `log` frame; false if it is malformed. */
  push(body: Buffer): boolean {
    const kind = GUEST_LOG_KINDS[body[0] ?? GUEST_LOG_KINDS.length];
    if (kind === undefined || body.length < HEAD_BYTES) return false;
    const start = HEAD_BYTES + body.readUInt16LE(1);
    if (body.length < start) return false;
    const nowMs = this.#clock.monotonicMs();
    this.#allowance = Math.min(BYTES_PER_SECOND, this.#allowance + ((nowMs - this.#refilledMs) * BYTES_PER_SECOND) / 1000);
    this.#refilledMs = nowMs;
    const cost = LINE_BYTES + Math.min(body.length, MAX_LINE_BYTES);
    if (cost > this.#allowance) {
      this.#suppressed += 1;
      return true;
    }
    this.#allowance -= cost;
    if (this.#suppressed > 0) {
      this.#onLine(this.#component, 'warn', `(${this.#suppressed} lines left out: more than 1 MB/s)`);
      this.#suppressed = 0;
    }
    const line = printable(body.toString('utf8', start, start + MAX_LINE_BYTES), MAX_LINE_BYTES);
    const context = printable(
      body.toString('utf8', HEAD_BYTES, Math.min(start, HEAD_BYTES + MAX_CONTEXT_BYTES)),
      MAX_CONTEXT_BYTES,
    );
    if (context === '') this.#onLine(this.#component, LEVELS[kind], line);
    else this.#onLine(this.#component, LEVELS[kind], line, context);
    return true;
  }
}
