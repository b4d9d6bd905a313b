import { randomBytes } from 'node:crypto';
import { HEADER } from '../../invocation/headers.ts';
import { REPLY_HEADER, REPLY_UNARY } from '../../wrpc/server.ts';
import { CALLER_ORIGIN, ECHO, GIFT_PARAMS, type Happening, LATTICE, type Operation, subjectOf, type Traffic } from './attack.ts';
import { claimsIn } from './token-surgery.ts';
import type { RawConnection, RawHeaders, RawMessage } from './raw-connection.ts';

/** What the attacker can ask of the world around it. */
export interface World {
  /** Somebody makes a genuine call; resolves when that call is over, also when it failed. */
  traffic(kind: Traffic, timeoutMs: number): Promise<void>;
  /** Something happens to the hosts; resolves when it has. */
  happening(what: Happening): Promise<void>;
}

/** A message to send, on the way to a host. */
export interface Forged {
  readonly subject: string;
  readonly reply: string;
  readonly headers: RawHeaders;
  readonly payload: Uint8Array;
}

const ANSWER_TIMEOUT_MS = 10_000;
/** Subscriptions in a queue group: with two hosts in it, 99 of 100 messages come here. */
const MEMBERS = 200;
const TRIES = 8;
const CALL_TIMEOUT_MS = 15_000;

/** Somebody with the rpc credentials of a host: hears and says what that user may, and holds no key of the lattice. */
export class Attacker {
  /** What came back, in order. */
  readonly answers: string[] = [];
  /** Another connection with the stolen control credentials of the same host. */
  readonly ctl: RawConnection;
  readonly rpc: RawConnection;
  /** Root of the inboxes that the stolen user may read. */
  readonly inboxRoot: string;
  /** Opens another connection with the stolen rpc credentials. */
  readonly anotherConnection: () => Promise<RawConnection>;
  readonly #world: World;
  readonly #watchers = new Set<(message: RawMessage) => void>();
  #held: RawMessage | undefined;

  constructor(rpc: RawConnection, ctl: RawConnection, world: World, anotherConnection: () => Promise<RawConnection>) {
    this.rpc = rpc;
    this.ctl = ctl;
    this.#world = world;
    this.anotherConnection = anotherConnection;
    this.inboxRoot = `_INBOX_RPC.${LATTICE}.${rpc.userKey}`;
    rpc.subscribe(`${this.inboxRoot}.>`, (message) => this.#heard(message));
    rpc.subscribe(`${LATTICE}.>`, (message) => this.#heard(message));
  }

  #heard(message: RawMessage): void {
    for (const watcher of this.#watchers) watcher(message);
  }

  /** A reply subject of the attacker's own. */
  newReply(): string {
    return `${this.inboxRoot}.stolen.${randomBytes(9).toString('base64url')}`;
  }

  /** Calls `onMessage` for everything that passes and that this user may hear; the returned function ends it. */
  listen(onMessage: (message: RawMessage) => void): () => void {
    this.#watchers.add(onMessage);
    return () => this.#watchers.delete(onMessage);
  }

  /** Has a genuine call made, and returns all that was heard while it ran; `react` hears it at once. */
  async overhear(kind: Traffic, react?: (message: RawMessage) => void): Promise<RawMessage[]> {
    const heard: RawMessage[] = [];
    const stop = this.listen((message) => {
      heard.push(message);
      react?.(message);
    });
    await this.#world.traffic(kind, CALL_TIMEOUT_MS);
    await this.rpc.flush();
    stop();
    return heard;
  }

  /** The first message of a genuine call that a host has run. */
  async record(kind: Traffic, operation: Operation): Promise<RawMessage> {
    const message = (await this.overhear(kind)).find(({ subject }) => subject === subjectOf(operation));
    if (message === undefined) throw new Error(`nothing was heard on ${subjectOf(operation)}`);
    return message;
  }

  /**
   * Joins the queue group of a component and takes a genuine message away before a host has seen it: its token is unused. It
   * is passed on at the end of the attack, and must then still run.
   */
  async intercept(kind: Traffic, operation: Operation): Promise<RawMessage> {
    const subject = subjectOf(operation);
    for (let tries = 0; tries < TRIES; tries++) {
      let caught: RawMessage | undefined;
      let tell: () => void = () => {};
      const taken = new Promise<void>((resolve) => (tell = resolve));
      const take = (message: RawMessage): void => {
        caught = message;
        tell();
      };
      const sids = Array.from({ length: MEMBERS }, () => this.rpc.subscribe(subject, take, `${LATTICE}.${operation.target}`));
      await this.rpc.flush();
      const over = this.#world.traffic(kind, CALL_TIMEOUT_MS);
      await Promise.race([taken, over]);
      for (const sid of sids) this.rpc.unsubscribe(sid);
      await this.rpc.flush();
      if (caught === undefined) continue;
      this.#held = caught;
      return caught;
    }
    throw new Error(`no message on ${subject} could be taken in ${TRIES} tries`);
  }

  /** Passes on what {@link intercept} took; a second call does nothing. */
  passOn(): void {
    const held = this.#held;
    this.#held = undefined;
    if (held !== undefined) this.rpc.publish(held.subject, held.payload, held.reply, held.headers);
  }

  /** Something happens to the hosts. */
  happening(what: Happening): Promise<void> {
    return this.#world.happening(what);
  }

  /** Sends a message and notes what is answered first on its reply subject; `nothing` if nothing is. */
  async send(forged: Forged, timeoutMs = ANSWER_TIMEOUT_MS): Promise<RawMessage | undefined> {
    const answer = await this.ask(forged, timeoutMs);
    this.answers.push(answer === undefined ? 'nothing' : answerText(answer));
    return answer;
  }

  /** As {@link send}, without a note. */
  async ask(forged: Forged, timeoutMs = ANSWER_TIMEOUT_MS): Promise<RawMessage | undefined> {
    let stop: () => void = () => {};
    let timer: NodeJS.Timeout | undefined;
    const answer = await new Promise<RawMessage | undefined>((resolve) => {
      timer = setTimeout(() => resolve(undefined), timeoutMs);
      stop = this.listen((message) => {
        if (message.subject === forged.reply || message.subject === `${forged.reply}.results`) resolve(message);
      });
      this.rpc.publish(forged.subject, forged.payload, forged.reply, forged.headers);
    });
    clearTimeout(timer);
    stop();
    return answer;
  }

  /** Sends a token that was made elsewhere, for the reply subject that stands in it. */
  async present(token: string, changes: Partial<Forged> = {}): Promise<RawMessage | undefined> {
    return this.send({ ...callWith(token, claimsIn(token)?.['rpl'] ?? this.newReply()), ...changes });
  }

  /** Sends each of many messages one after the other; every answer is noted. */
  async sendAll(messages: readonly Forged[]): Promise<void> {
    for (const message of messages) await this.send(message);
  }

  /** Notes what the server itself says to a connection after a round trip. */
  async noteErrors(connection: RawConnection): Promise<void> {
    await connection.flush();
    const errors = connection.takeErrors();
    this.answers.push(...(errors.length === 0 ? ['nothing'] : errors.map(complaintText)));
  }
}

/** What the server says of a missing permission, without the subject, which differs from run to run. */
function complaintText(error: string): string {
  return error.replace(/^Permissions Violation for (Publish|Subscription) to .*$/, (_, what: string) =>
    what === 'Publish' ? 'no permission to publish' : 'no permission to subscribe',
  );
}

/** What an answer is, in words. */
export function answerText(message: RawMessage): string {
  if (message.status !== '') return message.status === '503' ? '503 no responders' : message.status;
  if (message.reply !== '') return 'acknowledgement';
  return `result of ${message.payload.length} bytes`;
}

/** A call of {@link ECHO} with a token, or without. */
export function callWith(token: string | undefined, reply: string, payload: Uint8Array = GIFT_PARAMS): Forged {
  return { subject: subjectOf(ECHO), reply, headers: headersWith(token), payload };
}

/** The headers of a genuine call, with a token of the attacker's choice. */
export function headersWith(token: string | undefined, origin: string = CALLER_ORIGIN): RawHeaders {
  return [
    [HEADER.sourceId, origin],
    [HEADER.linkName, 'default'],
    ...(token === undefined ? [] : [[HEADER.invocation, token] as const]),
    [REPLY_HEADER, REPLY_UNARY],
  ];
}

/** The first value of a header. */
export function headerOf(message: { readonly headers: RawHeaders }, name: string): string | undefined {
  return message.headers.find(([each]) => each === name)?.[1];
}

/** `message` with another value for one header; `undefined` leaves it out. */
export function withHeader(message: Forged, name: string, value: string | undefined): Forged {
  const others = message.headers.filter(([each]) => each !== name);
  return { ...message, headers: value === undefined ? others : [...others, [name, value]] };
}

/** The request token of a message. */
export function tokenOf(message: { readonly headers: RawHeaders }): string {
  return headerOf(message, HEADER.invocation) ?? '';
}

/** `message` with another request token. */
export function withToken(message: Forged, token: string | undefined): Forged {
  return withHeader(message, HEADER.invocation, token);
}
