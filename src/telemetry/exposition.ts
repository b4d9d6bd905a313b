import { Counter, Gauge, Registry } from 'prom-client';
import type { Metric } from 'prom-client';
import { ALARMS } from './alarms.ts';
import { DurationHistogram } from './duration-histogram.ts';
import { LOOP_RESOLUTION_MS } from './metrics.ts';
import type { Counts, LoopDelay } from './metrics.ts';

const NANOSECONDS = 1e9;

/** Returns what writes `counts` in Prometheus text format, read anew each time. */
export function createExposition(counts: Counts): () => Promise<string> {
  const registry = new Registry();
  const add = (metric: Metric): void => registry.registerMetric(metric);
  const labelled = (name: string, help: string, label: string, values: ReadonlyMap<string, number>): void =>
    add(
      new Counter({
        name,
        help,
        labelNames: [label],
        registers: [],
        collect() {
          this.reset();
          for (const [value, count] of values) this.inc({ [label]: value }, count);
        },
      }),
    );

  add(
    new Counter({
      name: 'trellis_invocations_total',
      help: 'Invocations that reached a component of this host, by how they ended.',
      labelNames: ['component', 'operation', 'outcome'],
      registers: [],
      collect() {
        this.reset();
        for (const byOperation of counts.meters.values()) {
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
      () => [...counts.durations].map(([component, histogram]) => ({ labels: { component }, histogram })),
    ),
  );
  labelled(
    'trellis_denials_total',
    'Invocations refused before guest code ran, and commands that were not or wrongly signed, by code.',
    'code',
    counts.denials,
  );
  labelled(
    'trellis_observed_denials_total',
    'Invocations that `enforce` would have refused and `observe` ran.',
    'code',
    counts.observations,
  );
  labelled(
    'trellis_unsigned_invocations_total',
    'Invocations that ran unsigned because trust.unsigned lists their pair.',
    'pair',
    counts.unsigned.in,
  );
  labelled(
    'trellis_unsigned_answers_total',
    'Unsigned answers that were taken because trust.unsigned lists their pair.',
    'pair',
    counts.unsigned.out,
  );
  labelled(
    'trellis_unsigned_streams_total',
    'Those of both with streams or futures, which came as unproven as the rest.',
    'pair',
    counts.unsignedStreams,
  );
  addControlMetrics(add, counts);
  labelled('trellis_audit_lost_total', 'Audit records that could not be written or published.', 'sink', counts.auditLosses);
  const gauge = (name: string, help: string, read: () => number): void =>
    add(
      new Gauge({
        name,
        help,
        registers: [],
        collect() {
          this.set(read());
        },
      }),
    );
  gauge('trellis_in_flight', 'Invocations in this host now.', () => counts.inFlight());
  gauge('trellis_ready', '1 while the host takes work and nothing is wrong, as /readyz says.', () =>
    counts.health()?.ready === true ? 1 : 0,
  );
  gauge(
    'trellis_degraded',
    'Reasons for which the host is degraded; 0 if it is not.',
    () => counts.health()?.degraded.length ?? 0,
  );
  add(
    new Gauge({
      name: 'trellis_nats_connected',
      help: '1 while the NATS connection of a partition stands.',
      labelNames: ['partition'],
      registers: [],
      collect() {
        for (const partition of ['ctl', 'rpc'] as const) {
          this.set({ partition }, counts.health()?.connections[partition] === true ? 1 : 0);
        }
      },
    }),
  );
  labelled(
    'trellis_runner_restarts_total',
    'Runner processes that were replaced after a crash, a deadline or a limit.',
    'component',
    counts.restarts,
  );
  labelled('trellis_nats_reconnects_total', 'Times a NATS connection was re-established.', 'partition', counts.reconnects);
  addConnectionMetrics(add, counts);
  add(
    new Counter({
      name: 'trellis_event_loop_stalls_total',
      help: 'Times the host stood still for more than a second and a half.',
      registers: [],
      collect() {
        this.reset();
        this.inc(counts.stalls());
      },
    }),
  );
  labelled(
    'trellis_config_reloads_total',
    'Times the configuration was read again, by what came of it.',
    'result',
    counts.reloads,
  );
  addProcessMetrics(add);
  if (counts.loopDelay !== undefined) add(loopDelayMetric(counts.loopDelay));
  return () => registry.metrics();
}

function addControlMetrics(add: (metric: Metric) => void, counts: Counts): void {
  add(
    new Counter({
      name: 'trellis_control_requests_total',
      help: 'Requests of the control interface, by command and by how they ended.',
      labelNames: ['command', 'outcome'],
      registers: [],
      collect() {
        this.reset();
        for (const [command, outcomes] of counts.control) {
          for (const [outcome, count] of outcomes) this.inc({ command, outcome }, count);
        }
      },
    }),
  );
  add(
    DurationHistogram.metric(
      'trellis_control_duration_seconds',
      'Time from the arrival of a control request that was carried out to its answer.',
      () => [...counts.controlDurations].map(([command, histogram]) => ({ labels: { command }, histogram })),
    ),
  );
}

function addConnectionMetrics(add: (metric: Metric) => void, counts: Counts): void {
  add(
    new Counter({
      name: 'trellis_nats_rotations_total',
      help: 'Times a NATS connection was moved to new credentials or another server, by whether that worked.',
      labelNames: ['partition', 'outcome'],
      registers: [],
      collect() {
        this.reset();
        for (const [outcome, byPartition] of counts.rotations) {
          for (const [partition, count] of byPartition) this.inc({ partition, outcome }, count);
        }
      },
    }),
  );
  add(
    new Counter({
      name: 'trellis_nats_shed_total',
      help: 'Messages dropped because the NATS server did not take what was sent.',
      labelNames: ['partition'],
      registers: [],
      collect() {
        this.reset();
        for (const [partition, count] of counts.shed) this.inc({ partition }, count);
      },
    }),
  );
  add(
    new Gauge({
      name: 'trellis_nats_credentials_expire_seconds',
      help: 'Time until the credentials in use expire, negative once they have; absent if they do not expire.',
      labelNames: ['partition'],
      registers: [],
      collect() {
        this.reset();
        for (const [partition, read] of counts.expiries) {
          const leftMs = read();
          if (leftMs !== undefined) this.set({ partition }, leftMs / 1_000);
        }
      },
    }),
  );
  add(
    new Gauge({
      name: 'trellis_alarm',
      help: 'Alarms that stand now, by code; 0 if none does.',
      labelNames: ['code'],
      registers: [],
      collect() {
        this.reset();
        for (const code of Object.keys(ALARMS)) this.set({ code }, 0);
        for (const { code } of counts.alarms()) this.inc({ code });
      },
    }),
  );
}

function addProcessMetrics(add: (metric: Metric) => void): void {
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
  const started = new Gauge({
    name: 'process_start_time_seconds',
    help: 'When the host process started, Unix time.',
    registers: [],
  });
  started.set(Math.round(performance.timeOrigin / 1_000));
  add(started);
}

/** Event loop delay since the last scrape. */
function loopDelayMetric(delay: LoopDelay): Metric {
  return new Gauge({
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
  });
}
