import type { Clock } from '../clock.ts';
import { hostHeartbeat } from '../lattice/events.ts';
import { type FittedInventory, fitInventory } from '../lattice/fit-inventory.ts';
import type { HostInventory } from '../lattice/inventory.ts';
import type { Alarms } from '../telemetry/alarms.ts';
import type { Logger } from '../telemetry/log.ts';
import type { EventConnection, LatticeEvents } from './lattice-events.ts';

/** What the envelope of an event takes beside its data, bytes, with room to spare. */
const ENVELOPE_BYTES = 512;

const TOO_LARGE = 'TRELLIS_ALARM_HEARTBEAT_TOO_LARGE';

/** What {@link startHeartbeat} takes. */
export interface HeartbeatOptions {
  readonly clock: Clock;
  readonly intervalMs: number;
  /** What runs now. Answers at once: it must not wait for what is being fetched or started. */
  readonly inventory: () => HostInventory;
  readonly events: LatticeEvents;
  readonly ctl: Pick<EventConnection, 'state' | 'onStatus'> & { readonly maxPayloadBytes: number };
  readonly alarms: Alarms;
  readonly log: Logger;
}

/**
 * Says every `intervalMs` that the host runs, and what; the first time one interval after the start. Beats that this process was too
 * busy for are not made up for: the next is on time. After an interruption of the connection longer than one interval, one
 * comes at once.
 */
export function startHeartbeat(options: HeartbeatOptions): { close(): void } {
  const { clock, intervalMs, inventory, events, ctl, alarms, log } = options;
  let dueMs = clock.monotonicMs() + intervalMs;
  let lastMs = clock.monotonicMs();
  let timer = setTimeout(tick, intervalMs);

  function tick(): void {
    const nowMs = clock.monotonicMs();
    if (nowMs >= dueMs) {
      beat(nowMs);
      // The first that is still ahead: a process that was stopped for an hour says once that it is back.
      dueMs += intervalMs * (Math.floor((nowMs - dueMs) / intervalMs) + 1);
    }
    timer = setTimeout(tick, Math.max(1, dueMs - clock.monotonicMs()));
  }

  function beat(nowMs: number): void {
    if (ctl.state !== 'connected') return;
    lastMs = nowMs;
    try {
      const whole = inventory();
      const fitted = fitInventory(whole, ctl.maxPayloadBytes - ENVELOPE_BYTES);
      if (fitted.fits) events.publish(hostHeartbeat(fitted.inventory));
      judgeSize(fitted, whole.components.length);
    } catch (error) {
      // Whatever it is, the next beat must come.
      log.error({ code: 'TRELLIS_INTERNAL', err: error }, 'a heartbeat failed');
    }
  }

  function judgeSize({ leftOut, fits }: FittedInventory, count: number): void {
    const limit = `the server takes messages of at most ${ctl.maxPayloadBytes} bytes`;
    if (!fits) alarms.raise(TOO_LARGE, `there is no heartbeat, for the labels alone are too large: ${limit}`);
    else if (leftOut > 0) alarms.raise(TOO_LARGE, `${leftOut} of ${count} components are not in the heartbeat: ${limit}`);
    else alarms.clear(TOO_LARGE);
  }

  const stop = ctl.onStatus(({ type }) => {
    const nowMs = clock.monotonicMs();
    if ((type === 'reconnected' || type === 'moved') && nowMs - lastMs >= intervalMs) beat(nowMs);
  });
  return {
    close() {
      clearTimeout(timer);
      stop();
      alarms.clear(TOO_LARGE);
    },
  };
}
