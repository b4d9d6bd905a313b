import { setTimeout as sleep } from 'node:timers/promises';
import { TrellisError } from '../errors.ts';
import type { Logger } from '../telemetry/log.ts';
import type { BusMessage, BusSubscription, LineUser } from '../wrpc/bus.ts';
import type { ConnectionStats } from './connection-events.ts';
import type { Line } from './line.ts';
import { retire } from './retire.ts';
import { SharedSubscription } from './shared-subscription.ts';

/** Lines that wait for their calls at a time; with one more the oldest is ended. */
const MAX_RETIRING = 8;

type Counts = Omit<ConnectionStats, 'reconnects'>;

/** What {@link Lines} is made of. */
export interface LinesOptions {
  readonly first: Line;
  /** How long calls may take to end on the line they began on, milliseconds. */
  readonly retireTimeoutMs: () => number;
  /** How long a cluster takes to know of subscriptions on another server of it, milliseconds. */
  readonly settleMs: number;
  readonly log: Logger;
  /** The connection is being closed. */
  readonly isEnding: () => boolean;
}

/** The lines of a connection: the one in use, the next one while it is made ready, and those that still have something to end. */
export class Lines {
  readonly #o: LinesOptions;
  readonly #subscriptions = new Set<SharedSubscription>();
  readonly #users = new Set<LineUser>();
  /** Lines that were left; each with what ends the wait for it. */
  readonly #retiring = new Map<Line, () => void>();
  #current: Line;
  #next: Line | undefined;
  /** What lines have counted that are over. */
  #past: Counts = { messagesIn: 0, messagesOut: 0, bytesIn: 0, bytesOut: 0 };

  constructor(options: LinesOptions) {
    this.#o = options;
    this.#current = options.first;
  }

  /** The line in use. */
  get current(): Line {
    return this.#current;
  }

  /** Lines that were left and are not over yet. */
  get retiring(): readonly Line[] {
    return [...this.#retiring.keys()];
  }

  /** What all lines have counted so far. */
  get stats(): Counts {
    return [this.#current, ...this.#retiring.keys()].reduce(withStatsOf, this.#past);
  }

  /** Subscribes on every line there is and will be. @throws TRELLIS_NATS_SUBJECT_INVALID, TRELLIS_NATS_CLOSED */
  subscribe(subject: string, queue: string | undefined, onMessage: (message: BusMessage) => void): BusSubscription {
    const shared = new SharedSubscription(subject, queue, onMessage, (self) => this.#subscriptions.delete(self));
    shared.join(this.#current);
    if (this.#next !== undefined) shared.join(this.#next);
    this.#subscriptions.add(shared);
    return shared;
  }

  /** Ends all subscriptions; resolves when what was on its way to them has been handed over. */
  async drain(): Promise<void> {
    await Promise.all([...this.#subscriptions].map((subscription) => subscription.drain()));
  }

  eachLine(user: LineUser): () => void {
    this.#users.add(user);
    user.prepare(this.#current);
    if (this.#next !== undefined) user.prepare(this.#next);
    return () => this.#users.delete(user);
  }

  /** Waits no longer for a line that was left. */
  hurry(line: Line): void {
    this.#retiring.get(line)?.();
  }

  /**
   * Make before break: `next` is ready to its last subscription before anything goes over it; then it is the line in use.
   * @throws TRELLIS_NATS_PERMISSION when it may not subscribe what the line in use may, TRELLIS_NATS_DISCONNECTED, TRELLIS_NATS_CLOSED;
   *   `next` is then closed, and nothing has changed.
   */
  async moveTo(next: Line): Promise<void> {
    const old = this.#current;
    try {
      this.#refuseWhenEnding();
      this.#next = next;
      for (const user of this.#users) user.prepare(next);
      for (const subscription of this.#subscriptions) subscription.join(next);
      await next.flush();
      refuseLess(old, next);
      if (serverIdOf(next) !== serverIdOf(old)) await sleep(this.#o.settleMs);
      if (next.state !== 'connected') throw new TrellisError('TRELLIS_NATS_DISCONNECTED');
      this.#refuseWhenEnding();
    } catch (error) {
      this.#next = undefined;
      for (const subscription of this.#subscriptions) void subscription.leave(next);
      for (const user of this.#users) user.ended(next);
      next.leave();
      await next.close();
      throw error;
    }
    this.#next = undefined;
    this.#current = next;
    old.leave();
    void this.#retire(old);
  }

  /** Closes all lines now. */
  async close(): Promise<void> {
    for (const hurry of this.#retiring.values()) hurry();
    const lines = [this.#current, ...(this.#next === undefined ? [] : [this.#next]), ...this.#retiring.keys()];
    await Promise.all(lines.map((line) => line.close()));
  }

  async #retire(line: Line): Promise<void> {
    const { promise: hurry, resolve } = Promise.withResolvers<void>();
    this.#retiring.set(line, resolve);
    if (this.#retiring.size > MAX_RETIRING) this.#retiring.values().next().value?.();
    const { retireTimeoutMs, log } = this.#o;
    await retire({ line, subscriptions: this.#subscriptions, timeoutMs: retireTimeoutMs(), hurry, log });
    this.#retiring.delete(line);
    this.#past = withStatsOf(this.#past, line);
    for (const user of this.#users) user.ended(line);
  }

  #refuseWhenEnding(): void {
    if (this.#o.isEnding()) throw new TrellisError('TRELLIS_NATS_CLOSED');
  }
}

/** Throws if `next` may do less than `old`. */
function refuseLess(old: Line, next: Line): void {
  const lost = [...next.refused].find((subject) => !old.refused.has(subject));
  if (lost === undefined) return;
  const what = lost.startsWith('.') ? `their own inbox (…${lost})` : lost;
  throw new TrellisError('TRELLIS_NATS_PERMISSION', {
    message: `the new credentials may not subscribe to ${what}, the old ones may`,
  });
}

const serverIdOf = (line: Line): string | undefined => line.client.info?.server_id;

function withStatsOf(stats: Counts, line: Line): Counts {
  const { inMsgs, outMsgs, inBytes, outBytes } = line.client.stats();
  return {
    messagesIn: stats.messagesIn + inMsgs,
    messagesOut: stats.messagesOut + outMsgs,
    bytesIn: stats.bytesIn + inBytes,
    bytesOut: stats.bytesOut + outBytes,
  };
}
