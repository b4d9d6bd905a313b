import { randomFillSync } from 'node:crypto';
import type { Bus, BusLine, BusMessage, BusSubscription, LineHolder, LineUser } from './bus.ts';

/** Who waits for messages on one inbox address. A method, not a closure: there is one receiver per call. */
export interface InboxReceiver extends LineHolder {
  /** @param tail What follows the address: `''`, `.results`, `.params.0.1`. */
  onInboxMessage(tail: string, message: BusMessage): void;
}

/** Messages that led nowhere, since the start. */
export interface InboxStats {
  /** For a call that is over, or an address that never was. */
  late: number;
  /** With a path or reply subject that cannot be one. */
  malformed: number;
  /** That could not be sent: disconnected, or the peer named a subject that is none. */
  undeliverable: number;
  /** First messages dropped for want of a reply subject. */
  withoutReply: number;
}

const ID_LENGTH = 12;
const ID_BYTES = 9;
const POOL_BYTES = ID_BYTES * 512;
/** Most addresses that {@link Inbox.closeLater} keeps at a time. */
const MAX_CLOSING_LATER = 10_000;

/** The addresses on one line. */
interface Root {
  readonly line: BusLine;
  /** What all of them begin with. */
  readonly text: string;
  readonly receivers: Map<string, InboxReceiver>;
  readonly subscription: BusSubscription;
}

/**
 * All inbox addresses of one connection behind one wildcard subscription a line. An address is the line's own unguessable
 * root and 72 random bits: who has been called once knows the root, and must not be able to guess the next call's address.
 * An open address holds its line.
 */
export class Inbox implements LineUser {
  readonly stats: InboxStats = { late: 0, malformed: 0, undeliverable: 0, withoutReply: 0 };
  readonly #bus: Bus;
  readonly #roots = new Map<BusLine, Root>();
  readonly #leave: () => void;
  readonly #pool = Buffer.allocUnsafe(POOL_BYTES);
  /** Of the line in use, as far as this inbox has noticed. */
  #root: Root | undefined;
  #poolAt = POOL_BYTES;
  #closingLater = 0;

  /** @param bus The connection; the `inboxPrefix` of a line with `.w` behind it becomes the root of the addresses there. */
  constructor(bus: Bus) {
    this.#bus = bus;
    this.#leave = bus.eachLine(this);
  }

  /** @internal */
  prepare(line: BusLine): void {
    const text = `${line.inboxPrefix}.w.`;
    const rootLength = text.length;
    const receivers = new Map<string, InboxReceiver>();
    const subscription = line.subscribe(`${text}>`, {}, (message) => {
      const { subject } = message;
      const receiver = receivers.get(subject.slice(rootLength, rootLength + ID_LENGTH));
      if (receiver === undefined) this.stats.late++;
      else receiver.onInboxMessage(subject.slice(rootLength + ID_LENGTH), message);
    });
    this.#roots.set(line, { line, text, receivers, subscription });
  }

  /** @internal */
  ended(line: BusLine): void {
    this.#roots.delete(line);
  }

  /** Number of open addresses. */
  get size(): number {
    let size = 0;
    for (const { receivers } of this.#roots.values()) size += receivers.size;
    return size;
  }

  /** Opens a new address for `receiver`, on the line in use, and returns it; {@link close} it when the call is over. */
  open(receiver: InboxReceiver): string {
    if (this.#poolAt === POOL_BYTES) {
      randomFillSync(this.#pool);
      this.#poolAt = 0;
    }
    const id = this.#pool.toString('base64url', this.#poolAt, this.#poolAt + ID_BYTES);
    this.#poolAt += ID_BYTES;
    const { line } = this.#bus;
    if (this.#root?.line !== line) this.#root = this.#roots.get(line);
    const root = this.#root!;
    root.receivers.set(id, receiver);
    line.hold(receiver);
    return root.text + id;
  }

  /** Forgets an address: what arrives later is dropped and counted. */
  close(address: string): void {
    const id = address.slice(-ID_LENGTH);
    for (const { receivers, line } of this.#roots.values()) {
      const receiver = receivers.get(id);
      if (receiver === undefined) continue;
      receivers.delete(id);
      line.release(receiver);
      return;
    }
  }

  /**
   * Forgets an address after `delayMs`. At most {@link MAX_CLOSING_LATER} addresses linger at a time; beyond that, and for
   * the process that wants to end, it is now.
   */
  closeLater(address: string, delayMs: number): void {
    if (this.#closingLater >= MAX_CLOSING_LATER) {
      this.close(address);
      return;
    }
    this.#closingLater++;
    setTimeout(() => {
      this.#closingLater--;
      this.close(address);
    }, delayMs).unref();
  }

  /** Ends the subscriptions. Calls still open hear nothing more. */
  dispose(): void {
    this.#leave();
    for (const { receivers, line, subscription } of this.#roots.values()) {
      for (const receiver of receivers.values()) line.release(receiver);
      receivers.clear();
      subscription.unsubscribe();
    }
  }
}

/** Returns the inbox of a connection; one per connection is enough for all calls and all served functions. */
export function createInbox(bus: Bus): Inbox {
  return new Inbox(bus);
}
