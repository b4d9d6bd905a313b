/** Bounds of a {@link Lane}. */
export interface LaneLimits {
  /** Pieces of work at once. */
  readonly maxRunning: number;
  /** Pieces of work begun in a second. */
  readonly maxPerSecond: number;
  /** Pieces of work that wait. */
  readonly maxWaiting: number;
  /** Bytes that what waits keeps in memory. */
  readonly maxWaitingBytes: number;
}

interface Waiting {
  readonly bytes: number;
  readonly work: () => Promise<void>;
}

const SECOND_MS = 1_000;

/** Runs so many pieces of work at once and in a second, lets so many wait in their order, and takes no more. */
export class Lane {
  readonly #limits: LaneLimits;
  readonly #waiting: Waiting[] = [];
  readonly #idle = new Set<() => void>();
  readonly #clock: { monotonicMs(): number };
  #running = 0;
  #begun = 0;
  #fromMs = Number.NEGATIVE_INFINITY;
  #isTimed = false;
  #bytes = 0;
  #open = false;

  /** Nothing runs before {@link open}. */
  constructor(limits: LaneLimits, clock: { monotonicMs(): number }) {
    this.#limits = limits;
    this.#clock = clock;
  }

  /** Begins with what waits. */
  open(): void {
    this.#open = true;
    this.#next();
  }

  /** True if there is room; `work` then runs now or later. It must not reject. @param bytes - What it keeps in memory while it waits. */
  add(bytes: number, work: () => Promise<void>): boolean {
    const { maxWaiting, maxWaitingBytes } = this.#limits;
    if (this.#waiting.length >= maxWaiting || this.#bytes + bytes > maxWaitingBytes) return false;
    this.#waiting.push({ bytes, work });
    this.#bytes += bytes;
    this.#next();
    return true;
  }

  /** Resolves when nothing runs and nothing waits. */
  idle(): Promise<void> {
    return this.#running === 0 && (this.#waiting.length === 0 || !this.#open)
      ? Promise.resolve()
      : new Promise((resolve) => this.#idle.add(resolve));
  }

  /** Whether another may begin in this second; if not, it is looked again in the next one. */
  #isInTime(): boolean {
    const nowMs = this.#clock.monotonicMs();
    if (nowMs - this.#fromMs >= SECOND_MS) {
      this.#fromMs = nowMs;
      this.#begun = 0;
    }
    if (this.#begun++ < this.#limits.maxPerSecond) return true;
    if (!this.#isTimed) setTimeout(() => this.#later(), Math.max(1, this.#fromMs + SECOND_MS - nowMs));
    this.#isTimed = true;
    return false;
  }

  #later(): void {
    this.#isTimed = false;
    this.#next();
  }

  #next(): void {
    while (this.#open && this.#running < this.#limits.maxRunning && this.#waiting.length > 0 && this.#isInTime()) {
      const next = this.#waiting.shift();
      if (next === undefined) break;
      this.#bytes -= next.bytes;
      this.#running += 1;
      void next.work().finally(() => {
        this.#running -= 1;
        this.#next();
        if (this.#running > 0 || this.#waiting.length > 0) return;
        for (const resolve of this.#idle) resolve();
        this.#idle.clear();
      });
    }
  }
}
