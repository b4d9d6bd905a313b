import type { Clock } from '../clock.ts';
import { systemClock } from '../clock.ts';
import type { Logger } from './log.ts';

interface AlarmEntry {
  /** One sentence: what is wrong, and what still works. */
  readonly meaning: string;
  /** One sentence: what a person has to do. */
  readonly remedy: string;
}

/**
 * Every alarm a host can raise: a state that needs somebody, and that passes when it has been put right. `docs/alarms.md` is
 * generated from here. Codes are stable: a code is never reused for another meaning.
 */
export const ALARMS = {
  TRELLIS_ALARM_CREDENTIALS_KEPT: {
    meaning:
      'A credentials or TLS file has changed and cannot be used: half written, for another account, mismatched, expired or not valid yet. The connection goes on with what it has.',
    remedy: 'Write the right file beside the old one and rename it over it; the alarm ends by itself within seconds.',
  },
  TRELLIS_ALARM_CREDENTIALS_EXPOSED: {
    meaning: 'Other users of this machine may read a credentials or key file. What is new in it is not used until that ends.',
    remedy: 'chmod 600 the file; if others may have read it, issue new credentials and revoke these.',
  },
  TRELLIS_ALARM_CREDENTIALS_EXPIRE: {
    meaning: 'Credentials or a client certificate expire soon, and no newer file is there. Everything works until then.',
    remedy: 'Issue new credentials and replace the file; the host moves to them without losing a call.',
  },
  TRELLIS_ALARM_CREDENTIALS_EXPIRED: {
    meaning:
      'The credentials or the client certificate in use have expired. The server ends the connection, and the host tries again for ever.',
    remedy:
      'Issue new credentials and replace the file; the host takes it without a restart. If it is fresh, set the clock (NTP).',
  },
  TRELLIS_ALARM_LOGIN_REFUSED: {
    meaning:
      'The server refuses the login of a connection that was open: the user was revoked, the account changed, or the credentials expired.',
    remedy: 'Renew the credentials file or lift the revocation; the host logs in again within seconds, without a restart.',
  },
  TRELLIS_ALARM_ROTATION_FAILED: {
    meaning:
      'The host cannot move a connection to new credentials or to another server: the server refuses them, or none can be reached. It stays where it is and tries again.',
    remedy: 'Read the detail: correct the new file, or make the server reachable; nothing was lost so far.',
  },
  TRELLIS_ALARM_NATS_DISCONNECTED: {
    meaning: 'A connection to NATS is interrupted. Calls that need it fail until it is back; the host tries again for ever.',
    remedy: 'Check the NATS server (or the leaf node) and the network between.',
  },
  TRELLIS_ALARM_NATS_PERMISSION: {
    meaning: 'The server refused the host a subject in the last ten minutes; the detail names it. What needs it does not work.',
    remedy: 'Grant the subject to the user of this connection, or remove what uses it.',
  },
  TRELLIS_ALARM_NATS_RIGHTS: {
    meaning:
      'The credentials of a connection lack rights that this host needs; the detail names them. It was found out by trying.',
    remedy:
      'Grant the rights to the user of this connection; trellis doctor shows the subjects. It is looked at again at the next reconnect.',
  },
  TRELLIS_ALARM_NATS_BACKLOG: {
    meaning:
      'The server takes messages more slowly than the host sends them; beyond 128 MiB waiting, messages were dropped in the last minute.',
    remedy: 'Check the load of the server and the network between; the connection is replaced when the server stays silent.',
  },
  TRELLIS_ALARM_HEARTBEAT_TOO_LARGE: {
    meaning:
      'The heartbeat of this host, with all its components, is larger than the NATS server takes. It says as much as fits: what is left out runs on, but a scheduler takes it for gone and asks for it again and again.',
    remedy: 'Raise max_payload on the NATS servers, or spread the components over more hosts.',
  },
  TRELLIS_ALARM_HOST_STALLED: {
    meaning:
      'The host did nothing for more than a second and a half, in the last ten minutes: code kept it busy, the process was stopped, or the machine had no time for it. Calls waited meanwhile.',
    remedy:
      'Look at the load of the machine (CPU, steal, swap); if the detail says that code kept the host busy, report it with the log lines around it.',
  },
  TRELLIS_ALARM_CLOCK_SET: {
    meaning:
      'The clock of this machine jumped in the last ten minutes. Timers are not affected; a host whose clock is off refuses calls as expired or too early, and its own are refused.',
    remedy:
      'Let NTP keep the clock. After a jump ahead that was put right, restart the host: its idea of the time never goes back.',
  },
  TRELLIS_ALARM_LATTICE_DATA: {
    meaning:
      'A bucket with the links and configurations of the lattice is out of reach or gone. The host goes on with what it knows, hears of no change, and tries again.',
    remedy:
      'Check JetStream on the ctl account, and the rights of the ctl user. A bucket that was deleted is made again by the next link or configuration that is put.',
  },
  TRELLIS_ALARM_LATTICE_DATA_ROLLBACK: {
    meaning:
      'A bucket of the lattice lost entries or holds older ones than this host knows: it was deleted, purged or put back. The host keeps what it knows of them.',
    remedy:
      'To keep it, put the links and configurations again (one link of each source is enough); to take the bucket as it is, restart the hosts.',
  },
} as const satisfies Readonly<Record<string, AlarmEntry>>;

/** Code of an alarm. */
export type AlarmCode = keyof typeof ALARMS;

/** An alarm that stands, as status and `/readyz` show it. */
export interface Alarm {
  readonly code: AlarmCode;
  /** What it is about when there can be several: `ctl`, `rpc`. `''` for the host as a whole. */
  readonly scope: string;
  /** What exactly, in words; names files and subjects, never a secret. */
  readonly detail: string;
  /** When it was raised, milliseconds since the epoch. */
  readonly sinceMs: number;
}

/** Bounds what a detail that quotes a peer can cost. */
const MAX_DETAIL_CHARS = 300;

/**
 * The alarms of one host. An alarm is raised once, however often somebody says so, and logged once; it stands until it is
 * cleared, which is logged too.
 */
export class Alarms {
  readonly #log: Logger;
  readonly #clock: Clock;
  readonly #standing = new Map<string, Alarm>();

  constructor(log: Logger, clock: Clock = systemClock) {
    this.#log = log;
    this.#clock = clock;
  }

  /** Raises an alarm, or says more of one that stands. A line is logged when it is new and when its detail changes. */
  raise(code: AlarmCode, detail: string, scope = ''): void {
    const key = `${code} ${scope}`;
    const standing = this.#standing.get(key);
    const said = detail.slice(0, MAX_DETAIL_CHARS);
    if (standing?.detail === said) return;
    this.#standing.set(key, { code, scope, detail: said, sinceMs: standing?.sinceMs ?? this.#clock.wallMs() });
    this.#log.error({ code, ...(scope === '' ? {} : { scope }), remedy: ALARMS[code].remedy }, `alarm: ${said}`);
  }

  /** Ends an alarm; nothing happens if it does not stand. */
  clear(code: AlarmCode, scope = ''): void {
    if (!this.#standing.delete(`${code} ${scope}`)) return;
    this.#log.info({ alarm: code, ...(scope === '' ? {} : { scope }) }, 'alarm over');
  }

  /** True while it stands. */
  stands(code: AlarmCode, scope = ''): boolean {
    return this.#standing.has(`${code} ${scope}`);
  }

  /** What stands now, oldest first. */
  list(): readonly Alarm[] {
    return [...this.#standing.values()].toSorted((a, b) => a.sinceMs - b.sinceMs);
  }
}
