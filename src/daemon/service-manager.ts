import { execFile } from 'node:child_process';
import type { Logger } from '../telemetry/log.ts';

/** Longest wait for one message to be taken. */
const TIMEOUT_MS = 5_000;

/** Tells systemd what the daemon does, for a unit with `Type=notify` and `NotifyAccess=all`. Elsewhere every function does nothing. */
export interface ServiceManager {
  /** The host serves; also after a reload. `status` is what `systemctl status` shows. */
  ready(status: string): void;
  /** A reload has begun. */
  reloading(): void;
  /** The host goes on, and `systemctl status` shows this. */
  status(status: string): void;
  /** The host stops. From here on systemd counts `TimeoutStopSec`, also when nobody has asked it for a stop. */
  stopping(status: string): void;
}

/**
 * Node cannot open the datagram socket that systemd listens on, and a native addon for that would be the only one here: systemd's
 * own `systemd-notify` sends the messages, one short process each. Hence no watchdog pings, which would start one every few seconds.
 *
 * @param env NOTIFY_SOCKET is taken out of it, so that no child speaks for the daemon.
 */
export function serviceManager(env: NodeJS.ProcessEnv, log: Logger): ServiceManager {
  const socket = env['NOTIFY_SOCKET'];
  delete env['NOTIFY_SOCKET'];
  if (socket === undefined || socket === '') return { ready() {}, reloading() {}, status() {}, stopping() {} };
  const own = { NOTIFY_SOCKET: socket, PATH: env['PATH'] ?? '/usr/bin:/bin' };
  let last: Promise<void> = Promise.resolve();
  let saidWhy = false;
  const send = (...variables: string[]): void => {
    // One after the other: READY after RELOADING means something else than the other way round.
    last = last.then(
      () =>
        new Promise((resolve) => {
          execFile('systemd-notify', variables, { env: own, timeout: TIMEOUT_MS }, (err) => {
            if (err !== null && !saidWhy) {
              saidWhy = true;
              log.warn({ err }, 'systemd could not be told how the host is: systemd-notify failed');
            }
            resolve();
          });
        }),
    );
  };
  return {
    ready: (status) => send('READY=1', `STATUS=${status}`),
    reloading: () => send('RELOADING=1', `MONOTONIC_USEC=${process.hrtime.bigint() / 1_000n}`, 'STATUS=reloading'),
    status: (status) => send(`STATUS=${status}`),
    stopping: (status) => send('STOPPING=1', `STATUS=${status}`),
  };
}
