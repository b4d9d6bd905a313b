import { randomBytes } from 'node:crypto';
import type { BusMessage, BusSubscription } from '../wrpc/bus.ts';
import type { Line } from './line.ts';

/**
 * One subscription of a connection, on whatever lines it has. While it has two, each message is to come once: on both it is in a
 * queue group, its own one if it asked for none.
 */
export class SharedSubscription implements BusSubscription {
  readonly #subject: string;
  readonly #queue: string;
  readonly #onMessage: (message: BusMessage) => void;
  readonly #onEnd: () => void;
  readonly #lines = new Map<Line, BusSubscription>();

  /** @param onEnd Called when nobody needs it any more. */
  constructor(
    subject: string,
    queue: string | undefined,
    onMessage: (message: BusMessage) => void,
    onEnd: (self: SharedSubscription) => void,
  ) {
    this.#subject = subject;
    this.#queue = queue ?? `trellis.${randomBytes(12).toString('base64url')}`;
    this.#onMessage = onMessage;
    this.#onEnd = () => onEnd(this);
  }

  /** Subscribes on a line, too. @throws TRELLIS_NATS_SUBJECT_INVALID, TRELLIS_NATS_CLOSED */
  join(line: Line): void {
    this.#lines.set(line, line.subscribe(this.#subject, { queue: this.#queue }, this.#onMessage));
  }

  /** Ends on a line; resolves when what the server had already sent there has been handed over. */
  async leave(line: Line): Promise<void> {
    const subscription = this.#lines.get(line);
    this.#lines.delete(line);
    if (line.state === 'connected') await subscription?.drain();
    else subscription?.unsubscribe();
  }

  async drain(): Promise<void> {
    this.#onEnd();
    await Promise.all([...this.#lines.keys()].map((line) => this.leave(line)));
  }

  unsubscribe(): void {
    this.#onEnd();
    for (const subscription of this.#lines.values()) subscription.unsubscribe();
    this.#lines.clear();
  }
}
