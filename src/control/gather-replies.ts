import { TrellisError } from '../errors.ts';
import type { LatticeConnection } from '../nats/connection.ts';

/** A question that any number may answer. */
export interface Gathering {
  readonly ctl: Pick<LatticeConnection, 'publish' | 'subscribe' | 'onStatus'>;
  readonly subject: string;
  readonly payload: Uint8Array;
  /** Where the answers go; below the connection's own inboxes. */
  readonly inbox: string;
  /** Longest time in all, milliseconds. */
  readonly timeoutMs: number;
  /** Ends this long after the last answer, milliseconds. */
  readonly quietMs: number;
  /** Told of each answer; true if that is enough. */
  readonly onReply: (payload: Uint8Array) => boolean;
}

const MAX_REPLIES = 20_000;

/**
 * Asks, and gathers what is answered in time. That nobody listens ends it at once, without an answer.
 * @throws TRELLIS_NATS_PERMISSION if the user may not ask, TRELLIS_NATS_DISCONNECTED, TRELLIS_NATS_CLOSED
 */
export async function gatherReplies(gathering: Gathering): Promise<void> {
  const { ctl, subject, payload, inbox, timeoutMs, quietMs, onReply } = gathering;
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let replies = 0;
  let quiet: NodeJS.Timeout | undefined;
  let over = false;
  const subscription = ctl.subscribe(inbox, {}, (message) => {
    if (over) return;
    replies += 1;
    // The server's word that nobody listens.
    over = message.status !== 0 || onReply(message.payload) || replies >= MAX_REPLIES;
    clearTimeout(quiet);
    if (over) resolve();
    else quiet = setTimeout(resolve, quietMs);
  });
  const overall = setTimeout(resolve, timeoutMs);
  const endStatus = ctl.onStatus((event) => {
    if (event.type === 'disconnected') reject(new TrellisError('TRELLIS_NATS_DISCONNECTED'));
    else if (event.type === 'closed') reject(event.error ?? new TrellisError('TRELLIS_NATS_CLOSED'));
    else if (event.type === 'error' && concerns(event.error, [subject, inbox])) reject(event.error);
  });
  try {
    ctl.publish(subject, payload, { reply: inbox });
    await promise;
  } finally {
    over = true;
    endStatus();
    clearTimeout(quiet);
    clearTimeout(overall);
    subscription.unsubscribe();
  }
}

function concerns(error: TrellisError, subjects: readonly string[]): boolean {
  return error.code === 'TRELLIS_NATS_PERMISSION' && subjects.includes(String(error.details['subject']));
}
