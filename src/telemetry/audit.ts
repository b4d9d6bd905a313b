import type { Clock } from '../clock.ts';
import type { ErrorCode } from '../errors.ts';
import { LineLimiter } from './line-limiter.ts';
import { RecentRefusals } from './recent-refusals.ts';
import type { Scrubber } from './scrub.ts';

/**
 * What a record is about: an invocation that was refused, an answer or part of a message that was not believed, a control
 * command, or a number of such that were not written one by one.
 */
export type AuditKind = 'refused' | 'dropped' | 'control' | 'summary';

/** What happened, without payload, token or secret. Names are printable and bounded where they were read. */
export interface AuditEvent {
  readonly kind: Exclude<AuditKind, 'summary'>;
  /** Why it was refused; `ok` for a control command that was done. */
  readonly code: ErrorCode | 'ok';
  /** Who: the calling component, signed or by its own word. NATS names nobody, so control commands may have none. */
  readonly origin?: string | undefined;
  /** Its lattice, if it called from another NATS account. */
  readonly originLattice?: string | undefined;
  /** True if that was proven. */
  readonly proven?: boolean;
  /** Public key that the token named. */
  readonly signer?: string | undefined;
  /** What it was for. */
  readonly component?: string | undefined;
  /** `instance/function`, or the name of a control command such as `component.describe`. */
  readonly operation?: string | undefined;
  readonly detail?: string | undefined;
  /** The id that the caller of a refused invocation was given. */
  readonly correlation?: string | undefined;
}

/** An event as it is kept. */
export interface AuditRecord extends AuditEvent {
  readonly timeMs: number;
}

/** Where records go. Never throws; what it cannot keep, it counts. */
export interface AuditSink {
  /** @param json - One JSON object on one line, with `time`, `host`, `lattice` and `kind`. */
  write(kind: AuditKind, time: string, json: string): void;
  /** Resolves when everything has been handed on, or will not be. */
  close(): Promise<void>;
}

/** What {@link Audit} takes. */
export interface AuditOptions {
  readonly clock: Clock;
  /** Public key of the host. */
  readonly host: string;
  readonly lattice: string;
  /** Single records a second, and three for each kind and code; the rest of that second is one record a code with their number. */
  readonly maxPerSecond: number;
  readonly scrubber: Scrubber;
}

/**
 * The audit of one host. Every refusal and every control command leaves one record; when flooded, one record a second and code
 * says how many there were besides, so that all records together count exactly.
 */
export class Audit {
  readonly #options: AuditOptions;
  readonly #limiter: LineLimiter;
  readonly #recent = new RecentRefusals();
  readonly #sinks: AuditSink[] = [];

  constructor(options: AuditOptions) {
    this.#options = options;
    this.#limiter = new LineLimiter({
      clock: options.clock,
      maxPerSecond: options.maxPerSecond,
      report: (key, count) => {
        const [of, code] = key.split(' ');
        this.#write('summary', options.clock.wallMs(), { of, code, count });
      },
    });
  }

  /** Records go there too from now on. */
  addSink(sink: AuditSink): void {
    this.#sinks.push(sink);
  }

  /** Records an event. The one function for whoever refuses something or carries out a control command. Never throws. */
  record(event: AuditEvent): void {
    const record: AuditRecord = { ...event, timeMs: this.#options.clock.wallMs() };
    const single = this.#limiter.allows(`${event.kind} ${event.code}`);
    if (event.kind === 'refused') this.#recent.add(record, single);
    if (!single) return;
    const { timeMs, kind, ...fields } = record;
    this.#write(kind, timeMs, fields);
  }

  /** The refusals with this id that are still remembered, oldest first: copies of one token share theirs. */
  find(correlation: string): readonly AuditRecord[] {
    return this.#recent.find(correlation);
  }

  /** Writes what is still only counted, and resolves when every sink is done. */
  async close(): Promise<void> {
    this.#limiter.flush();
    await Promise.all(this.#sinks.map((sink) => sink.close()));
  }

  #write(kind: AuditKind, timeMs: number, fields: object): void {
    if (this.#sinks.length === 0) return;
    const { host, lattice, scrubber } = this.#options;
    const time = new Date(timeMs).toISOString();
    const json = scrubber.scrubJson(JSON.stringify({ time, host, lattice, kind, ...fields }));
    for (const sink of this.#sinks) sink.write(kind, time, json);
  }
}
