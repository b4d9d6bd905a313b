import type { TrustedTime } from '../../trust/trusted-time.ts';
import { TrustState } from '../../trust/trust-state.ts';
import { createResultVerifier } from '../../trust/verify-result.ts';
import { AnswerJudge } from '../answer-judge.ts';
import { Introductions } from '../introductions.ts';
import type { SharedTarget } from '../link-table.ts';
import type { Invocation, InvocationEvents, InvocationHandle } from '../outbound.ts';
import { SharedCall, type SharedCallOptions } from './call.ts';
import type { ForeignGatesOptions } from './gates.ts';

/** What {@link SharedInvoker} takes. */
export interface SharedInvokerOptions
  extends Omit<SharedCallOptions, 'delegation'>, Pick<ForeignGatesOptions, 'trust' | 'own' | 'clock' | 'skewMs'> {
  readonly time: TrustedTime;
}

/** Calls components of other lattices in other NATS accounts. What their hosts answer is believed under their issuers, and nothing else is. */
export class SharedInvoker {
  readonly #o: SharedInvokerOptions;
  readonly #answers = new Map<string, AnswerJudge>();
  readonly #calls = new Set<SharedCall>();

  constructor(options: SharedInvokerOptions) {
    this.#o = options;
  }

  /** Calls in flight. */
  get inFlight(): number {
    return this.#calls.size;
  }

  /** Starts a call. Never throws for what a peer does. */
  invoke(target: SharedTarget, invocation: Invocation, events: InvocationEvents): InvocationHandle {
    const delegation = (): string => this.#o.own().text;
    const to = { target, answers: this.#answersOf(target) };
    const call = new SharedCall({ ...this.#o, delegation }, to, invocation, events, () => this.#calls.delete(call));
    this.#calls.add(call);
    call.start();
    return call;
  }

  /** Ends every call in flight with TRELLIS_INVOKE_CANCELLED. */
  close(): void {
    for (const call of this.#calls) call.fail('TRELLIS_INVOKE_CANCELLED', 'the host is stopping');
  }

  /** The judge of what a lattice answers; its hosts introduce themselves with every answer. */
  #answersOf({ lattice, issuers }: SharedTarget): AnswerJudge {
    const key = `${lattice} ${issuers.join(' ')}`;
    const known = this.#answers.get(key);
    if (known !== undefined) return known;
    const { time, skewMs, trust, own, clock } = this.#o;
    const veto: ConstructorParameters<typeof TrustState>[0]['veto'] = (subject, kid, mintedMs) =>
      trust.vetoes(subject, kid, mintedMs);
    const state = new TrustState({ lattice, issuers, time, skewMs, veto });
    const judge = new AnswerJudge(
      createResultVerifier({ lattice, signers: state, time, skewMs }),
      new Introductions({ state, own, passes: { passFor: () => undefined }, clock }),
    );
    this.#answers.set(key, judge);
    return judge;
  }
}
