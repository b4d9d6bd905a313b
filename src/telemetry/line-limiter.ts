import type { Clock } from '../clock.ts';

const WINDOW_MS = 1_000;
const MAX_CODES = 1_000;

interface Window {
  startMs: number;
  lines: number;
  suppressed: number;
}

/** Keeps a flood of one kind of event from becoming a flood of log lines: so many a second and code, the rest is counted. */
export class LineLimiter {
  readonly #clock: Clock;
  readonly #maxPerSecond: number;
  readonly #report: (code: string, suppressed: number) => void;
  readonly #windows = new Map<string, Window>();
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
    let window = this.#windows.get(code);
    if (window === undefined) {
      // Codes come from a fixed catalogue; whoever passes something else must not fill the memory with it.
      if (this.#windows.size >= MAX_CODES) return false;
      window = { startMs: nowMs, lines: 0, suppressed: 0 };
      this.#windows.set(code, window);
    } else if (nowMs - window.startMs >= WINDOW_MS) {
      this.#close(code, window);
      window.startMs = nowMs;
      window.lines = 0;
    }
    window.lines += 1;
    if (window.lines <= this.#maxPerSecond) return true;
    window.suppressed += 1;
    this.#timer ??= setTimeout(() => this.flush(), WINDOW_MS).unref();
    return false;
  }

  /** Reports what was left out so far. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    for (const [code, window] of this.#windows) this.#close(code, window);
  }

  #close(code: string, window: Window): void {
    if (window.suppressed === 0) return;
    const { suppressed } = window;
    window.suppressed = 0;
    this.#report(code, suppressed);
  }
}
