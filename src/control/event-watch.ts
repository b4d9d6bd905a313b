import type { TrellisError } from '../errors.ts';
import type { LatticeName } from '../ids.ts';
import { eventSubject, type HeardEvent, readEvent } from '../lattice/read-event.ts';
import type { LatticeConnection } from '../nats/connection.ts';

/** Events that are listened to. */
export interface EventWatch {
  /** Rejects when the server does not let this user listen, or the connection has ended; resolves after {@link close}. */
  readonly ended: Promise<void>;
  close(): void;
}

/** What {@link watchEvents} takes. */
export interface EventWatchOptions {
  readonly ctl: Pick<LatticeConnection, 'subscribe' | 'flush' | 'onStatus'>;
  readonly lattice: LatticeName;
  /** Names of events; all if left out. */
  readonly names?: readonly string[];
  readonly onEvent: (event: HeardEvent) => void;
}

/**
 * Listens to the events of a lattice. What is published after this has resolved is heard.
 * @throws TRELLIS_NATS_PERMISSION, TRELLIS_NATS_DISCONNECTED, TRELLIS_NATS_CLOSED
 */
export async function watchEvents({ ctl, lattice, names = ['*'], onEvent }: EventWatchOptions): Promise<EventWatch> {
  const { promise: ended, resolve, reject } = Promise.withResolvers<void>();
  // Who is not interested in the end is no error.
  ended.catch(() => undefined);
  const subjects = names.map((name) => eventSubject(lattice, name));
  let refused: TrellisError | undefined;
  const endStatus = ctl.onStatus((event) => {
    if (event.type === 'closed') reject(event.error ?? new Error('closed'));
    if (event.type !== 'error' || event.error.code !== 'TRELLIS_NATS_PERMISSION') return;
    if (!subjects.includes(String(event.error.details['subject']))) return;
    refused = event.error;
    reject(refused);
  });
  const subscriptions = subjects.map((subject) =>
    ctl.subscribe(subject, {}, (message) => {
      const event = readEvent(message.subject, message.payload);
      if (event !== undefined) onEvent(event);
    }),
  );
  const close = (): void => {
    endStatus();
    for (const subscription of subscriptions) subscription.unsubscribe();
    resolve();
  };
  try {
    await ctl.flush();
    // The refusal comes before the answer to the flush, but is told of a turn later.
    await new Promise((next) => setImmediate(next));
    if (refused !== undefined) throw refused;
  } catch (error) {
    close();
    throw error;
  }
  return { ended, close };
}
