import { setTimeout as sleep } from 'node:timers/promises';
import type { Problem } from '../config/problems.ts';
import { TrellisError } from '../errors.ts';
import type { ProbeFinding } from '../nats/probe-finding.ts';
import type { ConnectionEvent } from '../nats/connection-events.ts';
import { describeFinding, isAsExpected } from '../nats/probe-finding.ts';
import type { Alarms } from '../telemetry/alarms.ts';
import type { Logger } from '../telemetry/log.ts';
import { checkOnline, isDevelopment, type OnlineChecksOptions } from './online-checks.ts';

/** What {@link openStartGate} takes. */
export interface StartGateOptions extends Omit<OnlineChecksOptions, 'onLate'> {
  readonly log: Logger;
  /** Hears of rights that are missing. */
  readonly alarms: Alarms;
  /** Told once when a host that serves must not any more, with what would have refused its start. */
  readonly onRefused: (error: TrellisError) => void;
}

/** After these the servers may be others than before, or take the logins for others. */
const CHECKED_AFTER: ReadonlySet<string> = new Set(['reconnected', 'moved'] satisfies ConnectionEvent['type'][]);

/** Between the event and the check it leads to, and before the next try. */
const SETTLE_MS = 100;

/**
 * Looks at the servers before a host serves, and again whenever a connection has come back.
 *
 * @throws TRELLIS_START_REFUSED with everything that refuses the start; TRELLIS_NATS_DISCONNECTED, TRELLIS_NATS_CLOSED
 */
export async function openStartGate(options: StartGateOptions): Promise<StartGate> {
  const gate = new StartGate(options);
  try {
    await gate.open();
  } catch (error) {
    gate.close();
    throw error;
  }
  return gate;
}

/** The standing check of one host. */
export class StartGate {
  #options: StartGateOptions;
  readonly #unlisten: (() => void)[];
  #problems: readonly Problem[] = [];
  #findings: readonly ProbeFinding[] = [];
  #checking: Promise<void> | undefined;
  #again = false;
  #closed = false;
  #isOpen = false;

  /** @internal Use {@link openStartGate}. */
  constructor(options: StartGateOptions) {
    this.#options = options;
    this.#unlisten = [options.ctl, options.rpc].map((connection) =>
      connection.onStatus(({ type }) => {
        if (this.#isOpen && CHECKED_AFTER.has(type)) void this.check();
      }),
    );
  }

  /** What the servers let this host do, as it was last found. */
  get findings(): readonly ProbeFinding[] {
    return this.#findings;
  }

  /** What is wrong with the servers, as it was last found: START-07, START-15, START-16. */
  get problems(): readonly Problem[] {
    return this.#problems;
  }

  /** @internal */
  async open(): Promise<void> {
    const refused = await this.#look();
    if (refused !== undefined) throw refused;
    this.#isOpen = true;
  }

  /** From now on this configuration is what the servers are judged by: a running host may have moved to others. */
  judgeBy(config: StartGateOptions['config']): void {
    this.#options = { ...this.#options, config };
  }

  /** Looks again. Never rejects; checks do not overlap. */
  check(): Promise<void> {
    this.#again = true;
    this.#checking ??= this.#checkUntilDone().finally(() => (this.#checking = undefined));
    return this.#checking;
  }

  /** Ends the checks. */
  close(): void {
    this.#closed = true;
    for (const unlisten of this.#unlisten) unlisten();
  }

  async #checkUntilDone(): Promise<void> {
    while (this.#again && !this.#closed) {
      // The other connection often comes back in the same moment.
      await sleep(SETTLE_MS, undefined, { ref: false });
      this.#again = false;
      const { ctl, rpc, log } = this.#options;
      // The other half comes back by itself, and is then the reason for the next check.
      if (ctl.state !== 'connected' || rpc.state !== 'connected') return;
      try {
        this.#refuse(await this.#look());
      } catch (err) {
        log.debug({ err }, 'the servers could not be looked at; they are again when the connections are back');
        this.#again = ctl.state === 'connected' && rpc.state === 'connected';
      }
    }
  }

  /** What refuses the start, or `undefined`; says what is new. */
  async #look(): Promise<TrellisError | undefined> {
    const { problems, findings } = await checkOnline({ ...this.#options, onLate: (late) => this.#refuse(this.#say(late)) });
    this.#findings = findings;
    this.#alarm(findings);
    const known = new Set(this.#problems.map(keyOf));
    this.#problems = problems;
    return this.#say(problems, known);
  }

  #say(problems: readonly Problem[], known: ReadonlySet<string> = new Set()): TrellisError | undefined {
    const { log, config } = this.#options;
    const quiet = isDevelopment(config);
    for (const problem of problems) {
      if (known.has(keyOf(problem))) continue;
      const { code, severity, setting, summary, why, fix } = problem;
      const fields = { code, setting, why, fix };
      if (severity === 'refused') log.error(fields, summary);
      else if (quiet && code === 'START-16') log.info(fields, summary);
      else log.warn(fields, summary);
    }
    const refused = problems.filter(({ severity }) => severity === 'refused');
    if (refused.length === 0) return undefined;
    return new TrellisError('TRELLIS_START_REFUSED', {
      message: refused.map(({ code, summary }) => `${code}: ${summary}`).join(' '),
      remedy: [...new Set(refused.map(({ fix }) => fix))].join(' '),
      details: { codes: refused.map(({ code }) => code) },
    });
  }

  #alarm(findings: readonly ProbeFinding[]): void {
    for (const partition of ['ctl', 'rpc'] as const) {
      const missing = findings.filter(
        (finding) => finding.partition === partition && finding.expected === 'allowed' && !isAsExpected(finding),
      );
      const { alarms } = this.#options;
      if (missing.length > 0) alarms.raise('TRELLIS_ALARM_NATS_RIGHTS', missing.map(describeFinding).join('; '), partition);
      else alarms.clear('TRELLIS_ALARM_NATS_RIGHTS', partition);
    }
  }

  #refuse(error: TrellisError | undefined): void {
    if (error === undefined || this.#closed || !this.#isOpen) return;
    this.close();
    this.#options.onRefused(error);
  }
}

const keyOf = ({ code, severity, summary }: Problem): string => `${code} ${severity} ${summary}`;
