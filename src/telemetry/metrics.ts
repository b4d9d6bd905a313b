import { monitorEventLoopDelay } from 'node:perf_hooks';

import type { ErrorCode } from '../errors.ts';
import type { Alarm } from './alarms.ts';
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

/**
 * How a control request ended: done; answered that it could not be; left without an answer, as an auction that this host does not bid
 * in; refused before it was looked at, unsigned or too large; told to come back; dropped, because even that was too much.
 */
export type ControlOutcome = 'ok' | 'failed' | 'silent' | 'refused' | 'busy' | 'dropped';

/** Counts one operation of one component. Resolve it once and keep it: recording is a few additions. */
export interface InvocationMeter {
  /** @param durationMs - From arrival to the end of the reply, milliseconds. */
  record(outcome: InvocationOutcome, durationMs: number): void;
}

/** What the metrics show of how a host is. */
export interface HealthFacts {
  readonly ready: boolean;
  readonly degraded: readonly string[];
  readonly connections: { readonly ctl: boolean; readonly rpc: boolean };
}

/** The host's metrics. Label values come from this host's own configuration and catalogue, never from a peer. */
export interface Metrics {
  /** The meter of `operation` (`instance/function`) of a component of this host; the same object for the same names. */
  invocation(component: string, operation: string): InvocationMeter;
  /** An invocation was refused before guest code ran. */
  denied(code: ErrorCode): void;
  /** `observe` let something through that `enforce` would have refused. */
  observed(code: ErrorCode): void;
  /** An invocation of a pair listed in `trust.unsigned` ran here (`in`), or its unsigned answer was taken here (`out`). */
  unsigned(direction: 'in' | 'out', pair: string): void;
  /** It had streams or futures, which nothing proves either. */
  unsignedStreams(pair: string): void;
  /**
   * A control request ended. @param command - Such as `link.get`: one of a few that the host knows, `other` for all else
   * @param durationMs - From its arrival to its answer, milliseconds; left out where it was not carried out
   */
  control(command: string, outcome: ControlOutcome, durationMs?: number): void;
  /** Audit records that a sink could not keep. */
  auditLost(sink: 'file' | 'events', count: number): void;
  /** Has the value read at each scrape, e.g. invocations in flight. */
  inFlight(read: () => number): void;
  /** Has the host's own word of how it is read at each scrape. */
  health(read: () => HealthFacts): void;
  runnerRestarted(component: string): void;
  natsReconnected(partition: 'ctl' | 'rpc'): void;
  /** A connection moved to new credentials or another server, or could not. */
  natsRotated(partition: 'ctl' | 'rpc', outcome: 'done' | 'failed'): void;
  /** A message was dropped because the server does not take what is sent. */
  natsShed(partition: 'ctl' | 'rpc'): void;
  /** Has the alarms that stand read at each scrape. */
  alarms(read: () => readonly Alarm[]): void;
  /** Has the time until a partition's credentials expire read at each scrape, milliseconds; `undefined` if never. */
  credentialsExpireIn(partition: 'ctl' | 'rpc', read: () => number | undefined): void;
  /** The event loop stood still for long. */
  stalled(): void;
  /** The configuration was read again. */
  reloaded(result: 'applied' | 'refused'): void;
  /** All metrics in Prometheus text format. */
  text(): Promise<string>;
  /** Content type of {@link Metrics.text}. */
  readonly contentType: string;
  /** Stops the event loop monitor. */
  close(): void;
}

// Components x operations. Beyond it everything counts as one series, so that no deployment can exhaust the memory here.
const MAX_METERS = 5_000;
/** How often the event loop is looked at. */
export const LOOP_RESOLUTION_MS = 20;

/** Node's histogram of event loop delays, nanoseconds. */
export type LoopDelay = ReturnType<typeof monitorEventLoopDelay>;

/** What has been counted, as a scrape reads it. */
export interface Counts {
  readonly meters: ReadonlyMap<string, ReadonlyMap<string, Meter>>;
  readonly durations: ReadonlyMap<string, DurationHistogram>;
  /** By code. */
  readonly denials: ReadonlyMap<string, number>;
  readonly observations: ReadonlyMap<string, number>;
  /** By pair. */
  readonly unsigned: Readonly<Record<'in' | 'out', ReadonlyMap<string, number>>>;
  /** By pair. */
  readonly unsignedStreams: ReadonlyMap<string, number>;
  /** By command, then by outcome. */
  readonly control: ReadonlyMap<string, ReadonlyMap<ControlOutcome, number>>;
  /** By command. */
  readonly controlDurations: ReadonlyMap<string, DurationHistogram>;
  /** By sink. */
  readonly auditLosses: ReadonlyMap<string, number>;
  /** By component. */
  readonly restarts: ReadonlyMap<string, number>;
  /** By partition. */
  readonly reconnects: ReadonlyMap<string, number>;
  /** By outcome, then by partition. */
  readonly rotations: ReadonlyMap<string, ReadonlyMap<string, number>>;
  /** By partition. */
  readonly shed: ReadonlyMap<string, number>;
  /** By partition, what tells how many milliseconds its credentials have left. */
  readonly expiries: ReadonlyMap<string, () => number | undefined>;
  alarms(): readonly Alarm[];
  stalls(): number;
  /** By result. */
  readonly reloads: ReadonlyMap<string, number>;
  inFlight(): number;
  /** `undefined` before the host has joined its lattice. */
  health(): HealthFacts | undefined;
  /** Event loop delay since the last scrape. */
  readonly loopDelay: LoopDelay | undefined;
}

/** The numbers of one operation of one component. */
export class Meter implements InvocationMeter {
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

const CONTENT_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

/**
 * Returns a new set of metrics. The hot path adds to plain numbers; prom-client sees them only when somebody scrapes, and is
 * loaded at the first scrape.
 *
 * @param o.eventLoop - Watch the event loop's delay; off for short-lived commands. Default true.
 */
export function createMetrics(o: { eventLoop?: boolean } = {}): Metrics {
  const meters = new Map<string, Map<string, Meter>>();
  const durations = new Map<string, DurationHistogram>();
  const denials = new Map<string, number>();
  const observations = new Map<string, number>();
  const control = new Map<string, Map<ControlOutcome, number>>();
  const controlDurations = new Map<string, DurationHistogram>();
  const auditLosses = new Map<string, number>([
    ['file', 0],
    ['events', 0],
  ]);
  const unsigned = { in: new Map<string, number>(), out: new Map<string, number>() };
  const unsignedStreams = new Map<string, number>();
  const restarts = new Map<string, number>();
  const byPartition = (): Map<string, number> =>
    new Map([
      ['ctl', 0],
      ['rpc', 0],
    ]);
  const reconnects = byPartition();
  const shed = byPartition();
  const rotations = new Map([
    ['done', byPartition()],
    ['failed', byPartition()],
  ]);
  const expiries = new Map<string, () => number | undefined>();
  let readAlarms = (): readonly Alarm[] => [];
  const reloads = new Map<string, number>([
    ['applied', 0],
    ['refused', 0],
  ]);
  let stalls = 0;
  let meterCount = 0;
  let readInFlight = (): number => 0;
  let readHealth = (): HealthFacts | undefined => undefined;
  const loopDelay = o.eventLoop === false ? undefined : monitorEventLoopDelay({ resolution: LOOP_RESOLUTION_MS });
  loopDelay?.enable();
  let exposition: Promise<() => Promise<string>> | undefined;

  const durationOf = (of: Map<string, DurationHistogram>, key: string): DurationHistogram => {
    let found = of.get(key);
    if (found === undefined) of.set(key, (found = new DurationHistogram()));
    return found;
  };
  const count = <K>(counts: Map<K, number>, key: K): void => void counts.set(key, (counts.get(key) ?? 0) + 1);
  const counts: Counts = {
    meters,
    durations,
    denials,
    observations,
    unsigned,
    unsignedStreams,
    control,
    controlDurations,
    auditLosses,
    restarts,
    reconnects,
    rotations,
    shed,
    expiries,
    alarms: () => readAlarms(),
    stalls: () => stalls,
    reloads,
    inFlight: () => readInFlight(),
    health: () => readHealth(),
    loopDelay,
  };

  return {
    invocation(component, operation) {
      let byOperation = meters.get(component);
      if (byOperation === undefined) meters.set(component, (byOperation = new Map()));
      let meter = byOperation.get(operation);
      if (meter === undefined) {
        if (meterCount >= MAX_METERS && operation !== 'other') return this.invocation('other', 'other');
        meter = new Meter(component, operation, durationOf(durations, component));
        byOperation.set(operation, meter);
        meterCount += 1;
      }
      return meter;
    },
    denied: (code) => count(denials, code),
    observed: (code) => count(observations, code),
    unsigned: (direction, pair) => count(unsigned[direction], pair),
    unsignedStreams: (pair) => count(unsignedStreams, pair),
    control(command, outcome, durationMs) {
      let outcomes = control.get(command);
      if (outcomes === undefined) control.set(command, (outcomes = new Map()));
      count(outcomes, outcome);
      if (durationMs !== undefined) durationOf(controlDurations, command).observe(durationMs / 1_000);
    },
    auditLost: (sink, lost) => void auditLosses.set(sink, auditLosses.get(sink)! + lost),
    inFlight: (read) => void (readInFlight = read),
    health: (read) => void (readHealth = read),
    runnerRestarted: (component) => count(restarts, component),
    natsReconnected: (partition) => count(reconnects, partition),
    natsRotated: (partition, outcome) => count(rotations.get(outcome)!, partition),
    natsShed: (partition) => count(shed, partition),
    alarms: (read) => void (readAlarms = read),
    credentialsExpireIn: (partition, read) => void expiries.set(partition, read),
    stalled: () => void (stalls += 1),
    reloaded: (result) => count(reloads, result),
    text: async () => {
      exposition ??= import('./exposition.ts').then(({ createExposition }) => createExposition(counts));
      const write = await exposition;
      return write();
    },
    contentType: CONTENT_TYPE,
    close: () => void loopDelay?.disable(),
  };
}
