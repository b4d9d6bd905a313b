import type { Clock } from '../clock.ts';
import type { Alarms } from '../telemetry/alarms.ts';
import type { Logger } from '../telemetry/log.ts';

/** Something that expires. */
interface Expiring {
  readonly issuedMs: number | undefined;
  readonly expiresMs: number | undefined;
}

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
/** Time left at which it is said again. */
const MARKS_MS = [7 * DAY_MS, DAY_MS, HOUR_MS, 10 * MINUTE_MS] as const;
/** Beyond so much time left, however long the credentials lived, nobody is alarmed yet. */
const ALARM_LEFT_MS = 7 * DAY_MS;
/** The part of a lifetime after which the next credentials should be there. */
const DUE = 2 / 3;

/**
 * Warns of credentials that expire: one line of the log when two thirds of their life are over, one each 7 days, 1 day, 1 hour and
 * 10 minutes before the end. The alarm stands from two thirds on, but not earlier than 7 days before.
 */
export class ExpiryWatch {
  readonly #o: { readonly partition: string; readonly alarms: Alarms; readonly clock: Clock; readonly log: Logger };
  /** The mark that was last said, for what expires when. */
  readonly #said = new Map<string, { readonly expiresMs: number; readonly mark: number }>();

  constructor(options: { readonly partition: string; readonly alarms: Alarms; readonly clock: Clock; readonly log: Logger }) {
    this.#o = options;
  }

  /** To be called now and then, and whenever there are new ones. */
  look(credentials: Expiring | undefined, certificate: Expiring | undefined): void {
    const { alarms, partition } = this.#o;
    const states = [this.#state('credentials', credentials), this.#state('client certificate', certificate)];
    for (const [state, code] of [
      ['soon', 'TRELLIS_ALARM_CREDENTIALS_EXPIRE'],
      ['over', 'TRELLIS_ALARM_CREDENTIALS_EXPIRED'],
    ] as const) {
      const detail = states.find((each) => each?.state === state)?.detail;
      if (detail === undefined) alarms.clear(code, partition);
      else alarms.raise(code, detail, partition);
    }
  }

  close(): void {
    const { alarms, partition } = this.#o;
    alarms.clear('TRELLIS_ALARM_CREDENTIALS_EXPIRE', partition);
    alarms.clear('TRELLIS_ALARM_CREDENTIALS_EXPIRED', partition);
  }

  #state(what: string, expiring: Expiring | undefined): { state: 'soon' | 'over'; detail: string } | undefined {
    const { clock, partition, log } = this.#o;
    const expiresMs = expiring?.expiresMs;
    if (expiresMs === undefined) return undefined;
    const nowMs = clock.wallMs();
    const leftMs = expiresMs - nowMs;
    const at = new Date(expiresMs).toISOString();
    if (leftMs <= 0) return { state: 'over', detail: `the ${what} of the ${partition} connection expired at ${at}` };
    // Without the time of issue, as with plain keys, only the marks say something.
    const issuedMs = expiring?.issuedMs;
    const dueMs = issuedMs === undefined ? undefined : issuedMs + (expiresMs - issuedMs) * DUE;
    const due = dueMs !== undefined && nowMs >= dueMs;
    const mark = MARKS_MS.findLast((each) => leftMs <= each) ?? (due ? Infinity : undefined);
    // A short life begins below the longer marks: nothing is said of it before it is due.
    if (!due || mark === undefined) return undefined;
    const said = this.#said.get(what);
    if (said?.expiresMs !== expiresMs || mark < said.mark) {
      this.#said.set(what, { expiresMs, mark });
      log.warn({ expires: at, leftHours: Math.floor(leftMs / HOUR_MS) }, `the ${what} expire soon, and no newer are there`);
    }
    return leftMs > ALARM_LEFT_MS
      ? undefined
      : { state: 'soon', detail: `the ${what} of the ${partition} connection expire at ${at}, and no newer are there` };
  }
}
