import type { Subscription } from 'nats';
import type { BusSubscription } from '../wrpc/bus.ts';

/** What a {@link NatsSubscription} needs of its line. */
export interface SubscriptionHooks {
  /** Called when nobody needs it any more. */
  readonly ended: () => void;
  /** Waits for the client's drain, or for the end of the client. */
  readonly drained: (work: Promise<void>) => Promise<void>;
}

/** A subscription of the client library behind the bus interface: ending it twice, or after the connection, is no error. */
export class NatsSubscription implements BusSubscription {
  #subscription: Subscription;
  readonly #hooks: SubscriptionHooks;

  constructor(subscription: Subscription, hooks: SubscriptionHooks) {
    this.#subscription = subscription;
    this.#hooks = hooks;
  }

  /** Goes on with another subscription of the library; the one before is over. */
  renew(subscription: Subscription): void {
    this.#subscription = subscription;
  }

  async drain(): Promise<void> {
    this.#hooks.ended();
    const subscription = this.#subscription;
    // Rejects when the subscription or the connection is over already, which is what draining is for.
    if (!subscription.isClosed()) await this.#hooks.drained(subscription.drain()).catch(() => undefined);
  }

  unsubscribe(): void {
    this.#hooks.ended();
    if (!this.#subscription.isClosed()) this.#subscription.unsubscribe();
  }
}
