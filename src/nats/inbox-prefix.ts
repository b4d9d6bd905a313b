import { randomBytes } from 'node:crypto';
import type { Partition } from './partition.ts';
import { isPublishSubject, subjectError } from './subject.ts';

/** What an inbox root is made of. */
export interface InboxOwner {
  readonly partition: Partition;
  readonly lattice: string;
  /** Public key of the user, when there is one: permissions grant each user the inboxes below its own key. */
  readonly userKey: string | undefined;
  /** Root given by the operator, instead of the one made of the above. */
  readonly configured: string | undefined;
}

/**
 * Returns a connection's own inbox root: never `_INBOX` alone, always with 128 random bits at the end, so that two
 * connections do not share one and nobody guesses it.
 *
 * @throws TRELLIS_NATS_SUBJECT_INVALID for a configured root that does not begin with `_INBOX`; peers answer to nothing else.
 */
export function ownInboxPrefix(owner: InboxOwner): string {
  const { partition, lattice, userKey, configured } = owner;
  const user = userKey === undefined ? '' : `.${userKey}`;
  const root = configured ?? `_INBOX_${partition.toUpperCase()}.${lattice}${user}`;
  if (!/^_INBOX[A-Za-z0-9_-]*(?:\.|$)/.test(root) || !isPublishSubject(root) || root.length > 200) {
    throw subjectError('inbox prefix', root);
  }
  return `${root}.${randomBytes(16).toString('base64url')}`;
}
