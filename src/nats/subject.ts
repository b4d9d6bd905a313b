import { TrellisError } from '../errors.ts';
import { quote } from '../ids.ts';

/**
 * The one place where a string becomes a NATS subject. The client library looks for white space only: it would send a
 * wildcard, an empty token or a subject of any length, and the server answers the last with a closed connection.
 * Ids inside a subject are validated in `ids.ts`; this is the second lock, for everything that reaches the client.
 */

/** Longest subject or reply subject sent, bytes. Both fit a control line of 4 096 bytes, the server's default limit. */
export const MAX_SUBJECT_BYTES = 1024;
/** Longest queue group name sent, bytes. */
export const MAX_QUEUE_BYTES = 256;

const DOT = 46;
const STAR = 42;
const GREATER = 62;

/**
 * True if `text` may be published to: printable ASCII without white space, no empty token, no wildcard token, at most
 * {@link MAX_SUBJECT_BYTES}. Costs one pass over the text.
 */
export function isPublishSubject(text: string): boolean {
  return isSubject(text, false);
}

/** True if `text` may be subscribed to: as {@link isPublishSubject}, but `*` may be a token and `>` the last one. */
export function isSubscribeSubject(text: string): boolean {
  return isSubject(text, true);
}

function isSubject(text: string, wildcards: boolean): boolean {
  const length = text.length;
  if (length === 0 || length > MAX_SUBJECT_BYTES) return false;
  let tokenStart = 0;
  for (let i = 0; i <= length; i++) {
    const code = i === length ? DOT : text.charCodeAt(i);
    if (code === DOT) {
      if (i === tokenStart) return false;
      tokenStart = i + 1;
    } else if (code <= 32 || code >= 127) {
      return false;
    } else if (code === STAR || code === GREATER) {
      // A wildcard is a token of its own; inside a token it would be legal for the server and never what anybody meant.
      const alone = i === tokenStart && (i + 1 === length || text.charCodeAt(i + 1) === DOT);
      if (!wildcards || !alone || (code === GREATER && i + 1 !== length)) return false;
    }
  }
  return true;
}

/** True if `text` may be a queue group name: printable ASCII without white space or wildcards, at most {@link MAX_QUEUE_BYTES}. */
export function isQueueName(text: string): boolean {
  return text.length > 0 && text.length <= MAX_QUEUE_BYTES && /^[!-)+-=?-~]+$/.test(text);
}

/** Returns the error for a string that is not what `what` must be. The offending text is quoted and cut. */
export function subjectError(
  what: 'subject' | 'reply subject' | 'subscription' | 'queue group' | 'inbox prefix',
  text: unknown,
): TrellisError {
  return new TrellisError('TRELLIS_NATS_SUBJECT_INVALID', {
    message: `${what} ${quote(text)} cannot be sent to NATS`,
    details: { what, length: typeof text === 'string' ? text.length : -1 },
  });
}
