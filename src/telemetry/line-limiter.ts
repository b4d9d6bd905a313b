import type { Clock } from '../clock.ts';

const WINDOW_MS = 1_000;
const MAX_CODES = 1_000;
/** Lines a second that every code has for itself, so that the flood of one hides no other. */
const OWN_LINES = 3;

interface Lines {
  written: number;
  suppressed: number;
}

/** Keeps a flood of events from becoming a flood of log lines: so many a second for all codes together, the rest is counted. */
export class LineLimiter {
  readonly #clock: Clock;
  readonly #maxPerSecond: number;
  readonly #report: (code: string, suppressed: number) => void;
  readonly #codes = new Map<string, Lines>();
  #startMs = Number.NEGATIVE_INFINITY;
  #written = 0;
  #timer: NodeJS.Timeout | undefined;

  /** @param o.report - Called at most once a second and code, with the number of lines left out. */
  constructor(o: { clock: Clock; maxPerSecond: number; report: (code: string, suppressed: number) => void }) {
    this.#clock = o.clock;
    this.#maxPerSecond = o.maxPerSecond;
    this.#report = o.report;
  }

  /** True if a line with this code may be written now. */
  allows(code: string): boolean {
    const nowMs = this.#clock.monotonicMs();
    if (nowMs - this.#startMs >= WINDOW_MS) {
      this.flush();
      this.#startMs = nowMs;
      this.#written = 0;
      for (const lines of this.#codes.values()) lines.written = 0;
    }
    let lines = this.#codes.get(code);
    if (lines === undefined) {
      // Codes come from a fixed catalogue; whoever passes something else must not fill the memory with it.
      if (this.#codes.size >= MAX_CODES) return false;
      lines = { written: 0, suppressed: 0 };
      this.#codes.set(code, lines);
    }
    if (this.#written < this.#maxPerSecond || lines.written < OWN_LINES) {
      this.#written += 1;
      lines.written += 1;
      return true;
    }
    lines.suppressed += 1;
    this.#timer ??= setTimeout(() => this.flush(), WINDOW_MS).unref();
    return false;
  }

  /** Reports what was left out so far. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    for (const [code, lines] of this.#codes) {
      const { suppressed } = lines;
      lines.suppressed = 0;
      if (suppressed > 0) this.#report(code, suppressed);
    }
  }
}
