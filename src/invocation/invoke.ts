import type { VerifyMode } from './gate.ts';
import { OutboundCall } from './outbound-call.ts';
import type { Invocation, InvocationEvents, InvocationHandle, InvokerOptions } from './outbound.ts';

/** Sends invocations: the outbound mirror of the path (sign, send, verify the answer). */
export class Invoker {
  readonly #options: InvokerOptions;
  readonly #calls = new Set<OutboundCall>();

  constructor(options: InvokerOptions) {
    this.#options = options;
  }

  /** How strict this side is with answers. */
  get mode(): VerifyMode {
    return this.#options.mode;
  }

  /** Calls in flight. */
  get inFlight(): number {
    return this.#calls.size;
  }

  /** Starts an invocation. Never throws for what a peer does; TRELLIS_NATS_* when the connection itself is closed. */
  invoke(invocation: Invocation, events: InvocationEvents): InvocationHandle {
    const call = new OutboundCall(this.#options, invocation, events, () => this.#calls.delete(call));
    this.#calls.add(call);
    call.start();
    return call;
  }

  /** Ends every call in flight with TRELLIS_INVOKE_CANCELLED. */
  close(): void {
    for (const call of this.#calls) call.fail('TRELLIS_INVOKE_CANCELLED', 'the host is stopping');
  }
}
