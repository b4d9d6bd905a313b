import type { Subscription } from 'nats';
import type { BusSubscription } from '../wrpc/bus.ts';

/** A subscription of the client library behind the bus interface: ending it twice, or after the connection, is no error. */
export class NatsSubscription implements BusSubscription {
  #subscription: Subscription;
  readonly #ended: () => void;

  /** @param ended Called when nobody needs it any more. */
  constructor(subscription: Subscription, ended: () => void) {
    this.#subscription = subscription;
    this.#ended = ended;
  }

  /** Goes on with another subscription of the library; the one before is over. */
  renew(subscription: Subscription): void {
    this.#subscription = subscription;
  }

  async drain(): Promise<void> {
    this.#ended();
    // Rejects when the subscription or the connection is over already, which is what draining is for.
    if (!this.#subscription.isClosed()) await this.#subscription.drain().catch(() => undefined);
  }

  unsubscribe(): void {
    this.#ended();
    if (!this.#subscription.isClosed()) this.#subscription.unsubscribe();
  }
}
