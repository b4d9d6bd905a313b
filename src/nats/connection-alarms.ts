import type { Alarms } from '../telemetry/alarms.ts';
import type { LatticeConnection } from './connection.ts';

/** How long an interruption lasts before it is an alarm: a restarted server is back by then. */
const DOWN_MS = 3_000;
/** How long a refused subject stays named after it was last refused. */
const PERMISSION_MS = 600_000;
const SHED_MS = 60_000;
const MAX_SUBJECTS = 4;

/** What {@link watchConnection} takes. */
interface WatchOptions {
  readonly connection: LatticeConnection;
  readonly alarms: Alarms;
}

/** Raises the alarms of one connection by what it reports, until it is closed. */
export function watchConnection({ connection, alarms }: WatchOptions): void {
  const scope = connection.partition;
  const subjects = new Map<string, string>();
  let down: NodeJS.Timeout | undefined;
  let permission: NodeJS.Timeout | undefined;
  let shed: NodeJS.Timeout | undefined;

  function clearRefusals(): void {
    clearTimeout(permission);
    subjects.clear();
    alarms.clear('TRELLIS_ALARM_NATS_PERMISSION', scope);
  }
  function up(): void {
    clearTimeout(down);
    down = undefined;
    alarms.clear('TRELLIS_ALARM_NATS_DISCONNECTED', scope);
    alarms.clear('TRELLIS_ALARM_LOGIN_REFUSED', scope);
  }

  connection.onStatus((event) => {
    switch (event.type) {
      case 'disconnected': {
        const { server } = event;
        down ??= setTimeout(
          () => alarms.raise('TRELLIS_ALARM_NATS_DISCONNECTED', `the ${scope} connection to ${server} is interrupted`, scope),
          DOWN_MS,
        ).unref();
        break;
      }
      case 'reconnected':
        up();
        break;
      case 'moved':
        up();
        clearRefusals();
        break;
      case 'not-moved':
        alarms.raise(
          'TRELLIS_ALARM_ROTATION_FAILED',
          `the ${scope} connection cannot move (${event.reason}): ${event.error.message}`,
          scope,
        );
        break;
      case 'shed':
        alarms.raise('TRELLIS_ALARM_NATS_BACKLOG', `the server of the ${scope} connection does not take what is sent`, scope);
        shed ??= setTimeout(() => {
          shed = undefined;
          alarms.clear('TRELLIS_ALARM_NATS_BACKLOG', scope);
        }, SHED_MS).unref();
        break;
      case 'error':
        if (event.error.code === 'TRELLIS_NATS_AUTH_REFUSED') {
          alarms.raise('TRELLIS_ALARM_LOGIN_REFUSED', `the ${scope} connection: ${event.error.message}`, scope);
        } else if (event.error.code === 'TRELLIS_NATS_PERMISSION') {
          subjects.set(String(event.error.details['subject']), event.error.message);
          if (subjects.size > MAX_SUBJECTS) subjects.delete(subjects.keys().next().value!);
          alarms.raise('TRELLIS_ALARM_NATS_PERMISSION', `${scope}: ${[...subjects.values()].join('; ')}`, scope);
          clearTimeout(permission);
          permission = setTimeout(clearRefusals, PERMISSION_MS).unref();
        }
        break;
      case 'closed':
        clearRefusals();
        clearTimeout(shed);
        alarms.clear('TRELLIS_ALARM_NATS_BACKLOG', scope);
        alarms.clear('TRELLIS_ALARM_ROTATION_FAILED', scope);
        up();
        break;
      default:
        break;
    }
  });
}
