import { randomFillSync } from 'node:crypto';
import type { Bus, BusMessage, BusSubscription } from './bus.ts';

/** Who waits for messages on one inbox address. A method, not a closure: there is one receiver per call. */
export interface InboxReceiver {
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

/**
 * All inbox addresses of one connection behind one wildcard subscription. An address is the connection's own unguessable
 * root and 72 random bits: who has been called once knows the root, and must not be able to guess the next call's address.
 */
export class Inbox {
  readonly stats: InboxStats = { late: 0, malformed: 0, undeliverable: 0, withoutReply: 0 };
  readonly #receivers = new Map<string, InboxReceiver>();
  readonly #root: string;
  readonly #subscription: BusSubscription;
  readonly #pool = Buffer.allocUnsafe(POOL_BYTES);
  #poolAt = POOL_BYTES;
  #closingLater = 0;

  /** @param bus The connection; its `inboxPrefix` with `.w` behind it becomes the root of all addresses. */
  constructor(bus: Bus) {
    this.#root = `${bus.inboxPrefix}.w.`;
    const rootLength = this.#root.length;
    this.#subscription = bus.subscribe(`${this.#root}>`, {}, (message) => {
      const { subject } = message;
      const receiver = this.#receivers.get(subject.slice(rootLength, rootLength + ID_LENGTH));
      if (receiver === undefined) this.stats.late++;
      else receiver.onInboxMessage(subject.slice(rootLength + ID_LENGTH), message);
    });
  }

  /** Number of open addresses. */
  get size(): number {
    return this.#receivers.size;
  }

  /** Opens a new address for `receiver` and returns it; {@link close} it when the call is over. */
  open(receiver: InboxReceiver): string {
    if (this.#poolAt === POOL_BYTES) {
      randomFillSync(this.#pool);
      this.#poolAt = 0;
    }
    const id = this.#pool.toString('base64url', this.#poolAt, this.#poolAt + ID_BYTES);
    this.#poolAt += ID_BYTES;
    this.#receivers.set(id, receiver);
    return this.#root + id;
  }

  /** Forgets an address: what arrives later is dropped and counted. */
  close(address: string): void {
    this.#receivers.delete(address.slice(this.#root.length));
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

  /** Ends the subscription. Calls still open hear nothing more. */
  dispose(): void {
    this.#receivers.clear();
    this.#subscription.unsubscribe();
  }
}

/** Returns the inbox of a connection; one per connection is enough for all calls and all served functions. */
export function createInbox(bus: Bus): Inbox {
  return new Inbox(bus);
}
