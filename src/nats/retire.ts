import type { Logger } from '../telemetry/log.ts';
import type { Line } from './line.ts';
import type { SharedSubscription } from './shared-subscription.ts';
import { within } from '../within.ts';

/** How long what is cut off may take to say so. */
const LAST_WORD_MS = 1_000;
const FLUSH_MS = 1_000;

/** What {@link retire} takes. */
export interface RetireOptions {
  readonly line: Line;
  /** What is subscribed on the connection, and on the next line already. */
  readonly subscriptions: ReadonlySet<SharedSubscription>;
  /** How long what began on the line may take to end, milliseconds. */
  readonly timeoutMs: number;
  /** Ends the wait before its time. */
  readonly hurry: Promise<unknown>;
  readonly log: Logger;
}

/**
 * Ends a line that the connection has moved away from, in the order that loses nothing: no new messages, then what is in flight
 * on it (both ways, and its answers), then the last bytes leave, then it closes. What takes longer than it may is told so first.
 */
export async function retire(options: RetireOptions): Promise<void> {
  const { line, subscriptions, timeoutMs, log } = options;
  // An interrupted line has lost what was on its way; nobody shall wait for it.
  const hurry = line.state === 'connected' ? options.hurry : Promise.resolve();
  const ended = Promise.all([...subscriptions].map((subscription) => subscription.leave(line)));
  await within(timeoutMs, Promise.race([ended.then(() => line.idle()), hurry]));
  const cut = line.endHolders();
  if (cut > 0) {
    log.warn(
      { code: 'TRELLIS_INVOKE_MOVED', cut },
      'the connection has moved and waits no longer: what was in flight on the old login is cut off',
    );
    await within(LAST_WORD_MS, line.idle());
  }
  if (line.state === 'connected') await within(FLUSH_MS, line.flush());
  await line.close();
}
