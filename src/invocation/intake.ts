import type { PendingInvocation } from '../trust/verify-request.ts';
import type { HeaderLookup } from '../wrpc/client.ts';
import type { IncomingInvocation } from '../wrpc/server.ts';
import { HEADER } from './headers.ts';
import { ParamsCollector, type Gathered } from './params.ts';
import type { PathOptions } from './path-options.ts';

/** What an {@link Intake} is made of. */
export interface IntakeOptions {
  readonly path: PathOptions;
  readonly message: IncomingInvocation;
  readonly pending: PendingInvocation;
  /** Requests of this component that are being taken in. */
  readonly waiting: Set<string>;
  /** Gets what came of it, once. */
  done(gathered: Gathered): void;
}

/**
 * Takes in what a verified request still lacks: the rest of its parameters, or its caller's word that this host shall run it. A
 * copy is no second call: whoever sends a request twice does not hold two places with it.
 */
export class Intake {
  readonly #options: IntakeOptions;
  readonly #entry: string;
  readonly #collector: ParamsCollector;

  constructor(options: IntakeOptions, entry: string) {
    const { path, message, pending, waiting } = options;
    this.#options = options;
    this.#entry = entry;
    waiting.add(entry);
    this.#collector = new ParamsCollector({
      first: message.payload,
      expected: pending.claims.len,
      confirm: path.confirm,
      timeoutMs: path.limits.paramsTimeoutMs,
      done: (gathered) => options.done(gathered),
    });
  }

  /** Begins, or gives `undefined` if a copy of the same request is being taken in. */
  static begin(options: IntakeOptions): Intake | undefined {
    const { iss, jti } = options.pending.claims;
    const entry = `${iss} ${jti} ${options.message.reply}`;
    return options.waiting.has(entry) ? undefined : new Intake(options, entry);
  }

  /** Takes root bytes, or their end. */
  push(bytes: Uint8Array, eof: boolean, header: HeaderLookup): void {
    const { path, message, pending } = this.#options;
    if (!eof || !path.confirm) {
      this.#collector.push(bytes, eof);
      return;
    }
    const verdict = path.gate.confirm(pending, header(HEADER.confirm), message.inbox());
    // Anybody could have sent it: the genuine one may follow.
    if (verdict.ok) this.#collector.confirm();
    else path.observer.dropped(verdict.detail, verdict.code);
  }

  /** The invocation has ended, or its id is taken. */
  close(): void {
    this.#collector.cancel();
    this.#options.waiting.delete(this.#entry);
  }
}
