import type { Clock } from '../clock.ts';
import { TrellisError } from '../errors.ts';
import type { LatticeName } from '../ids.ts';
import { cloudEvent, EventIds, eventSubject, type LatticeEvent } from '../lattice/events.ts';
import type { ConnectionEvent } from '../nats/connection-events.ts';
import type { Logger } from '../telemetry/log.ts';
import type { Bus } from '../wrpc/bus.ts';

/** Tells the lattice what happens on this host. */
export interface LatticeEvents {
  /** Publishes an event, or keeps it until the connection is back. Never throws, never waits. */
  publish(event: LatticeEvent): void;
}

/** Bounds of what is kept while the connection is interrupted. */
const MAX_HELD_EVENTS = 1_000;
const MAX_HELD_BYTES = 4 * 1024 * 1024;

/** The control connection, as events need it. */
export interface EventConnection extends Pick<Bus, 'publish'> {
  readonly state: 'connected' | 'disconnected' | 'closed';
  onStatus(listener: (event: ConnectionEvent) => void): () => void;
}

/** What {@link openLatticeEvents} takes. */
export interface LatticeEventsOptions {
  readonly ctl: EventConnection;
  readonly lattice: LatticeName;
  /** Public key of the host, the `source` of its events. */
  readonly host: string;
  readonly clock: Clock;
  readonly log: Logger;
}

interface Held {
  readonly subject: string;
  readonly payload: Buffer;
}

/**
 * Events of a host on the control connection, at most once each. While the connection is interrupted they are kept, the latest 1,000 of
 * at most 4 MiB, and go out in their order when it is back; they keep the time at which they happened.
 */
export function openLatticeEvents(options: LatticeEventsOptions): LatticeEvents & { close(): void } {
  const { ctl, lattice, host, clock, log } = options;
  const ids = new EventIds();
  const held: Held[] = [];
  let heldBytes = 0;
  let dropped = 0;

  const send = ({ subject, payload }: Held): void => {
    try {
      ctl.publish(subject, payload);
    } catch (error) {
      const code = error instanceof TrellisError ? error.code : 'TRELLIS_INTERNAL';
      log.warn({ code, subject, bytes: payload.length, err: error }, 'an event was not published');
    }
  };
  const hold = (event: Held): void => {
    held.push(event);
    heldBytes += event.payload.length;
    while (held.length > MAX_HELD_EVENTS || heldBytes > MAX_HELD_BYTES) {
      heldBytes -= held.shift()!.payload.length;
      if (dropped++ === 0) {
        log.warn(
          { code: 'TRELLIS_NATS_DISCONNECTED', held: held.length },
          'the connection has been interrupted for long; the oldest events are dropped from now on',
        );
      }
    }
  };
  const release = (): void => {
    if (ctl.state !== 'connected') return;
    for (const event of held.splice(0)) send(event);
    if (dropped > 0) log.warn({ code: 'TRELLIS_NATS_DISCONNECTED', dropped }, 'events of the interruption were lost');
    heldBytes = 0;
    dropped = 0;
  };
  const stop = ctl.onStatus(({ type }) => {
    if (type === 'reconnected' || type === 'moved') release();
  });

  return {
    publish(event) {
      const timeMs = clock.wallMs();
      const text = cloudEvent(event, { id: ids.next(timeMs), source: host, timeMs });
      const message = { subject: eventSubject(lattice, event.name), payload: Buffer.from(text) };
      if (ctl.state === 'connected') {
        // In the order they happened, whoever hears of the connection first.
        release();
        send(message);
      } else if (ctl.state === 'disconnected' && event.name !== 'host_heartbeat') {
        // How the host was then says nothing when the connection is back; a new heartbeat does.
        hold(message);
      }
    },
    close: stop,
  };
}
