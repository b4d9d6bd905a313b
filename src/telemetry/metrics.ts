import { monitorEventLoopDelay } from 'node:perf_hooks';
import { Counter, Gauge, Registry } from 'prom-client';
import type { Metric } from 'prom-client';
import type { ErrorCode } from '../errors.ts';
import { DurationHistogram } from './duration-histogram.ts';

/** How an invocation ended. */
export type InvocationOutcome =
  | 'ok'
  | 'busy'
  | 'bad'
  | 'denied'
  | 'trap'
  | 'timeout'
  | 'too-large'
  | 'bad-params'
  | 'unavailable'
  | 'error';

/** Counts one operation of one component. Resolve it once and keep it: recording is a few additions. */
export interface InvocationMeter {
  /** @param durationMs - From arrival to the end of the reply, milliseconds. */
  record(outcome: InvocationOutcome, durationMs: number): void;
}

/** The host's metrics. Label values come from this host's own configuration and catalogue, never from a peer. */
export interface Metrics {
  /** The meter of `operation` (`instance/function`) of a component of this host; the same object for the same names. */
  invocation(component: string, operation: string): InvocationMeter;
  /** An invocation was refused before guest code ran. */
  denied(code: ErrorCode): void;
  /** `observe` let something through that `enforce` would have refused. */
  observed(code: ErrorCode): void;
  /** Has the value read at each scrape, e.g. invocations in flight. */
  inFlight(read: () => number): void;
  runnerRestarted(component: string): void;
  natsReconnected(partition: 'ctl' | 'rpc'): void;
  /** All metrics in Prometheus text format. */
  text(): Promise<string>;
  /** Content type of {@link Metrics.text}. */
  readonly contentType: string;
  /** Stops the event loop monitor. */
  close(): void;
}

// Components x operations. Beyond it everything counts as one series, so that no deployment can exhaust the memory here.
const MAX_METERS = 5_000;
const LOOP_RESOLUTION_MS = 20;
const NANOSECONDS = 1e9;

type Add = <T extends Metric>(metric: T) => T;

class Meter implements InvocationMeter {
  readonly component: string;
  readonly operation: string;
  readonly outcomes = new Map<InvocationOutcome, number>();
  readonly duration: DurationHistogram;

  constructor(component: string, operation: string, duration: DurationHistogram) {
    this.component = component;
    this.operation = operation;
    this.duration = duration;
  }

  record(outcome: InvocationOutcome, durationMs: number): void {
    this.outcomes.set(outcome, (this.outcomes.get(outcome) ?? 0) + 1);
    this.duration.observe(durationMs / 1_000);
  }
}

/**
 * Returns a new set of metrics. The hot path adds to plain numbers; prom-client sees them only when somebody scrapes.
 *
 * @param o.eventLoop - Watch the event loop's delay; off for short-lived commands. Default true.
 */
export function createMetrics(o: { eventLoop?: boolean } = {}): Metrics {
  const registry = new Registry();
  const add: Add = (metric) => {
    registry.registerMetric(metric);
    return metric;
  };
  const meters = new Map<string, Map<string, Meter>>();
  const durations = new Map<string, DurationHistogram>();
  const denials = new Map<string, number>();
  const observations = new Map<string, number>();
  let meterCount = 0;
  let readInFlight = (): number => 0;

  const durationOf = (component: string): DurationHistogram => {
    let found = durations.get(component);
    if (found === undefined) durations.set(component, (found = new DurationHistogram()));
    return found;
  };

  add(
    new Counter({
      name: 'trellis_invocations_total',
      help: 'Invocations that reached a component of this host, by how they ended.',
      labelNames: ['component', 'operation', 'outcome'],
      registers: [],
      collect() {
        this.reset();
        for (const byOperation of meters.values()) {
          for (const { component, operation, outcomes } of byOperation.values()) {
            for (const [outcome, count] of outcomes) this.inc({ component, operation, outcome }, count);
          }
        }
      },
    }),
  );
  add(
    DurationHistogram.metric(
      'trellis_invocation_duration_seconds',
      'Time from the arrival of an invocation to the end of its reply.',
      () => [...durations].map(([component, histogram]) => ({ labels: { component }, histogram })),
    ),
  );
  const codeCounter = (name: string, help: string, counts: ReadonlyMap<string, number>): void => {
    add(
      new Counter({
        name,
        help,
        labelNames: ['code'],
        registers: [],
        collect() {
          this.reset();
          for (const [code, count] of counts) this.inc({ code }, count);
        },
      }),
    );
  };
  codeCounter('trellis_denials_total', 'Invocations refused before guest code ran, by code.', denials);
  codeCounter('trellis_observed_denials_total', 'Invocations that `enforce` would have refused and `observe` ran.', observations);
  add(
    new Gauge({
      name: 'trellis_in_flight',
      help: 'Invocations in this host now.',
      registers: [],
      collect() {
        this.set(readInFlight());
      },
    }),
  );
  const restarts = add(
    new Counter({
      name: 'trellis_runner_restarts_total',
      help: 'Runner processes that were replaced after a crash, a deadline or a limit.',
      labelNames: ['component'],
      registers: [],
    }),
  );
  const reconnects = add(
    new Counter({
      name: 'trellis_nats_reconnects_total',
      help: 'Times a NATS connection was re-established.',
      labelNames: ['partition'],
      registers: [],
    }),
  );
  reconnects.inc({ partition: 'ctl' }, 0);
  reconnects.inc({ partition: 'rpc' }, 0);
  processMetrics(add);
  const loop = o.eventLoop === false ? undefined : eventLoopMetric(add);

  return {
    invocation(component, operation) {
      let byOperation = meters.get(component);
      if (byOperation === undefined) meters.set(component, (byOperation = new Map()));
      let meter = byOperation.get(operation);
      if (meter === undefined) {
        if (meterCount >= MAX_METERS && operation !== 'other') return this.invocation('other', 'other');
        meter = new Meter(component, operation, durationOf(component));
        byOperation.set(operation, meter);
        meterCount += 1;
      }
      return meter;
    },
    denied: (code) => void denials.set(code, (denials.get(code) ?? 0) + 1),
    observed: (code) => void observations.set(code, (observations.get(code) ?? 0) + 1),
    inFlight: (read) => void (readInFlight = read),
    runnerRestarted: (component) => restarts.inc({ component }),
    natsReconnected: (partition) => reconnects.inc({ partition }),
    text: () => registry.metrics(),
    contentType: registry.contentType,
    close: () => loop?.(),
  };
}

function processMetrics(add: Add): void {
  add(
    new Gauge({
      name: 'process_resident_memory_bytes',
      help: 'Resident memory of the host process.',
      registers: [],
      collect() {
        this.set(process.memoryUsage.rss());
      },
    }),
  );
  add(
    new Counter({
      name: 'process_cpu_seconds_total',
      help: 'User and system CPU time of the host process.',
      registers: [],
      collect() {
        const { user, system } = process.cpuUsage();
        this.reset();
        this.inc((user + system) / 1e6);
      },
    }),
  );
  add(new Gauge({ name: 'process_start_time_seconds', help: 'When the host process started, Unix time.', registers: [] })).set(
    Math.round(performance.timeOrigin / 1_000),
  );
}

/** Event loop delay since the last scrape; returns what stops it. */
function eventLoopMetric(add: Add): () => void {
  const delay = monitorEventLoopDelay({ resolution: LOOP_RESOLUTION_MS });
  delay.enable();
  add(
    new Gauge({
      name: 'trellis_event_loop_delay_seconds',
      help: 'How late the event loop ran its timers since the last scrape.',
      labelNames: ['quantile'],
      registers: [],
      collect() {
        const seconds = (nanoseconds: number): number =>
          Number.isFinite(nanoseconds) ? Math.max(0, nanoseconds / NANOSECONDS - LOOP_RESOLUTION_MS / 1_000) : 0;
        this.set({ quantile: '0.5' }, seconds(delay.percentile(50)));
        this.set({ quantile: '0.99' }, seconds(delay.percentile(99)));
        this.set({ quantile: '1' }, seconds(delay.max));
        delay.reset();
      },
    }),
  );
  return () => delay.disable();
}
