import { type ControlSubject, type ControlSubscription, readControlSubject } from '../../lattice/control-subjects.ts';
import type { BusMessage } from '../../wrpc/bus.ts';
import { isInboxSubject } from '../../wrpc/subjects.ts';

/** Largest body of a request, bytes. */
export const MAX_REQUEST_BYTES = 1024 * 1024;

/** What a message on a control subscription is. */
export type Judgement =
  | { readonly request: ControlSubject }
  /** Somebody else in this host answers it. */
  | 'elsewhere'
  /** No request at all, and why not. */
  | { readonly ignored: string };

/** Headers with which a server sends what it keeps. */
const STORED_HEADERS = ['Nats-Stream', 'Nats-Sequence', 'Nats-Subject'];

/**
 * Judges a message before anything of it is read. Servers send answers of JetStream and of `$SYS` wherever somebody asks them to, with
 * their own right to publish; so a message on a control subject is a request only if it names an inbox for the answer, which those
 * never do, and if the subject it was sent to is one that the subscription is for. Libraries of 1.x publish `registry.put` without one:
 * where that is taken, it must not look like what a server keeps or tells, but it still can be.
 */
export function judge(
  message: BusMessage,
  subscription: ControlSubscription,
  { root, host, silentRegistries }: { readonly root: string; readonly host: string; readonly silentRegistries: boolean },
): Judgement {
  if (message.status !== 0) return { ignored: 'a status of the server' };
  const request = readControlSubject(root, host, message.subject);
  if (request === undefined || request.noun !== subscription.noun) return { ignored: 'its subject is not the one listened to' };
  if (STORED_HEADERS.some((name) => message.header(name) !== undefined)) return { ignored: 'an entry of a stream' };
  if (request.asked === 'host.instance') return 'elsewhere';
  const mayBeSilent = silentRegistries && request.operation === 'registry.put' && message.reply === '';
  if (!mayBeSilent && !isInboxSubject(message.reply)) return { ignored: 'no inbox to answer to' };
  return { request };
}
