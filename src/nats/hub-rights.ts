import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { TrellisError } from '../errors.ts';
import type { LatticeConnection } from './connection.ts';
import { entryMatches, type SubjectRules } from './subject-match.ts';

/** What a server says of the user behind a connection. */
export interface HubRights {
  /** Name of the server that says so. */
  readonly server: string;
  /** Its JetStream domain; `undefined` if it has none. */
  readonly domain: string | undefined;
  /** Public key or name of the user. */
  readonly user: string;
  readonly publish: SubjectRules;
  readonly subscribe: SubjectRules;
}

const WHO_AM_I = '$SYS.REQ.USER.INFO';
const MAX_ANSWERS = 8;
const MAX_PATTERNS = 10_000;
/** Between the first answer from beyond and the end of listening: a chain of leaf nodes answers one by one, each in a hop. */
const SETTLE_MS = 100;

/**
 * Asks the servers beyond the one this connection is made to what the user may do by which a leaf node logs in there. The question
 * passes a leaf node like any message, each server on the way answers it for itself, and a hub tells the permissions of the leaf
 * node's user with placeholders filled in. Servers know it since 2.10.
 *
 * Returns nothing when no other server answers: there is no leaf node, the hub is away or older, or its user may not ask
 * (`$SYS.REQ.USER.INFO`), or may not subscribe to the inboxes of this connection.
 *
 * The answers are as good as the account: whoever may subscribe to that subject there could forge one.
 *
 * @throws TRELLIS_NATS_DISCONNECTED, TRELLIS_NATS_CLOSED
 */
export async function askHubs(connection: LatticeConnection, timeoutMs: number): Promise<readonly HubRights[]> {
  const own = connection.serverInfo?.serverId;
  const found: HubRights[] = [];
  let answered: () => void = () => {};
  const first = new Promise<void>((resolve) => (answered = resolve));
  const reply = `${connection.inboxPrefix}.${randomBytes(12).toString('hex')}`;
  const refused = connection.watchRefusals(new Set([WHO_AM_I]), () => answered());
  const subscription = connection.subscribe(reply, {}, ({ payload }) => {
    if (found.length >= MAX_ANSWERS) return;
    const rights = readAnswer(payload, own);
    if (rights === undefined) return;
    found.push(rights);
    answered();
  });
  const giveUp = new AbortController();
  try {
    await connection.flush();
    connection.publish(WHO_AM_I, new Uint8Array(0), { reply });
    await connection.flush();
    await Promise.race([first, sleep(timeoutMs, undefined, { signal: giveUp.signal }).catch(() => undefined)]);
    if (found.length > 0) await sleep(SETTLE_MS);
    return found;
  } finally {
    giveUp.abort();
    subscription.unsubscribe();
    refused();
  }
}

/**
 * Asks the server of this connection what its user may do. `undefined` if it does not say: it is older than 2.10, or the user may not ask.
 * @throws TRELLIS_NATS_DISCONNECTED, TRELLIS_NATS_CLOSED
 */
export async function askOwnRights(connection: LatticeConnection, timeoutMs: number): Promise<HubRights | undefined> {
  const unwatch = connection.watchRefusals(new Set([WHO_AM_I]), () => {});
  try {
    const { payload } = await connection.request(WHO_AM_I, new Uint8Array(0), { timeoutMs });
    return readAnswer(payload);
  } catch (error) {
    const code = error instanceof TrellisError ? error.code : undefined;
    if (code === 'TRELLIS_NATS_DISCONNECTED' || code === 'TRELLIS_NATS_CLOSED') throw error;
    // A request fails before the refusal behind it has been reported.
    await connection.flush();
    return undefined;
  } finally {
    unwatch();
  }
}

/** True if the rights cover a subject without wildcards. */
export function covers({ allow, deny }: SubjectRules, subject: string): boolean {
  return (
    (allow === undefined || allow.some((entry) => entryMatches(subjectOf(entry), subject))) &&
    !deny?.some((entry) => entryMatches(subjectOf(entry), subject))
  );
}

/** An entry for subscriptions may name a queue group behind a space. */
const subjectOf = (entry: string): string => entry.split(' ', 1)[0]!;

/** @param own - Id of the server whose answer is not meant; left out where the only server is meant, and the user is no leaf node. */
function readAnswer(payload: Uint8Array, own?: string): HubRights | undefined {
  let answer: Record<string, Record<string, unknown> | undefined>;
  try {
    answer = JSON.parse(Buffer.from(payload).toString('utf8')) as typeof answer;
  } catch {
    return undefined;
  }
  const { server, data } = answer ?? {};
  const { id, name, domain } = server ?? {};
  if (typeof id !== 'string' || typeof name !== 'string' || id === own || typeof data?.['user'] !== 'string') return undefined;
  const permissions = (data['permissions'] ?? {}) as Record<string, unknown>;
  const [one, other] = [readSide(permissions['publish']), readSide(permissions['subscribe'])];
  if (one === undefined || other === undefined) return undefined;
  // For a leaf node a server lists its own sending as `publish`, which is the subscribing of the leaf. The side that allows the
  // question itself is the one by which it came.
  const isSwapped = own !== undefined && covers(other, WHO_AM_I);
  const [publish, subscribe] = isSwapped ? [other, one] : [one, other];
  return { server: name, domain: typeof domain === 'string' ? domain : undefined, user: data['user'], publish, subscribe };
}

function readSide(side: unknown): SubjectRules | undefined {
  if (side === undefined || side === null) return { allow: undefined, deny: [] };
  const { allow, deny } = side as { allow?: unknown; deny?: unknown };
  if (!isPatterns(allow ?? []) || !isPatterns(deny ?? [])) return undefined;
  return { allow: allow as string[] | undefined, deny: (deny ?? []) as string[] };
}

function isPatterns(value: unknown): boolean {
  return Array.isArray(value) && value.length <= MAX_PATTERNS && value.every((each) => typeof each === 'string');
}
