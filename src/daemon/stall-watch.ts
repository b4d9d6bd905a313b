import type { Clock } from '../clock.ts';
import type { Alarms } from '../telemetry/alarms.ts';
import type { Metrics } from '../telemetry/metrics.ts';

const TICK_MS = 250;
/** What is late by more than this has kept callers waiting. */
const STALL_MS = 1_500;
/** Differences of the two clocks between two ticks that nobody but a person or a sleeping machine makes. */
const JUMP_MS = 1_000;
/** How long an alarm of something that is over stands. */
const STANDS_MS = 600_000;

type StallAlarm = 'TRELLIS_ALARM_HOST_STALLED' | 'TRELLIS_ALARM_CLOCK_SET';

/** What {@link watchStalls} takes. */
export interface StallWatchOptions {
  readonly clock: Clock;
  readonly alarms: Alarms;
  readonly metrics: Pick<Metrics, 'stalled'>;
  /** CPU time that this process has used so far, milliseconds. */
  readonly cpuMs: () => number;
}

/**
 * Notices that the event loop stood still, and that somebody set the clock, with a timer that costs nothing. It says so once the loop
 * turns again; a loop that never does answers no `/livez` either, and whoever asks there ends the process.
 */
export class StallWatch {
  readonly #options: StallWatchOptions;
  #wallMs: number;
  #monotonicMs: number;
  #cpuMs: number;
  readonly #over = new Map<StallAlarm, number>();

  constructor(options: StallWatchOptions) {
    this.#options = options;
    const { clock, cpuMs } = options;
    [this.#wallMs, this.#monotonicMs, this.#cpuMs] = [clock.wallMs(), clock.monotonicMs(), cpuMs()];
  }

  /** To be called every {@link TICK_MS}. */
  tick(): void {
    const { clock, cpuMs, alarms, metrics } = this.#options;
    const [wallMs, monotonicMs, usedMs] = [clock.wallMs(), clock.monotonicMs(), cpuMs()];
    const passedMs = monotonicMs - this.#monotonicMs;
    const jumpMs = wallMs - this.#wallMs - passedMs;
    const stalledMs = passedMs - TICK_MS;
    const wasBusy = usedMs - this.#cpuMs > stalledMs / 2;
    [this.#wallMs, this.#monotonicMs, this.#cpuMs] = [wallMs, monotonicMs, usedMs];
    if (stalledMs > STALL_MS) {
      metrics.stalled();
      const why = wasBusy ? 'code in the host kept it busy' : 'the process was stopped, or the machine had no time for it';
      this.#raise('TRELLIS_ALARM_HOST_STALLED', `the host stood still for ${seconds(stalledMs)}: ${why}`);
    }
    if (Math.abs(jumpMs) > JUMP_MS) {
      const how = jumpMs > 0 ? 'forward (or the machine slept)' : 'back';
      this.#raise('TRELLIS_ALARM_CLOCK_SET', `the clock was set ${seconds(Math.abs(jumpMs))} ${how}`);
    }
    for (const [code, endMs] of this.#over) {
      if (monotonicMs < endMs) continue;
      this.#over.delete(code);
      alarms.clear(code);
    }
  }

  #raise(code: StallAlarm, detail: string): void {
    this.#over.set(code, this.#monotonicMs + STANDS_MS);
    this.#options.alarms.raise(code, detail);
  }
}

/** Watches until the returned function is called. */
export function watchStalls(options: Omit<StallWatchOptions, 'cpuMs'>): () => void {
  const cpuMs = (): number => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1_000;
  };
  const watch = new StallWatch({ ...options, cpuMs });
  const timer = setInterval(() => watch.tick(), TICK_MS).unref();
  return () => clearInterval(timer);
}

const seconds = (ms: number): string => `${(ms / 1_000).toFixed(1)} s`;
