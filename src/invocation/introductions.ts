import type { Clock } from '../clock.ts';
import { MAX_DELEGATION_CHARS } from '../trust/delegation.ts';
import { type Denial, deny } from '../trust/denial.ts';
import { requestDigest } from '../trust/token.ts';
import type { TrustState } from '../trust/trust-state.ts';
import { HEADER, type PassMaker } from './headers.ts';

/** How long a new delegation is shown unasked, milliseconds. */
export const INTRODUCE_MS = 30_000;
/** Most callers of which it is remembered that they have been shown ours; who falls out is shown it again. */
const MAX_CALLERS = 4_096;

/** The delegation that this member signs under. */
export interface Credential {
  readonly text: string;
  readonly kid: string;
  /** Since when it is in use, monotonic milliseconds. */
  readonly sinceMs: number;
}

/** What {@link Introductions} is made of. */
export interface IntroductionsOptions {
  readonly state: Pick<TrustState, 'takeDelegation'>;
  /** The one in use now. */
  readonly own: () => Credential;
  /** Makes the admission passes of answers. */
  readonly passes: PassMaker;
  readonly clock: Clock;
}

/** What a call shows of its signer. */
export interface Introduction {
  /** The value of the header that shows it. */
  readonly text: string;
  /** True while it goes along unasked. */
  readonly unasked: boolean;
}

/**
 * Who shows whom a delegation, and when. Tokens only name it; it travels beside them while it is new to the other side, and when
 * the other side asks. A receiver that knows it does not look at the header at all.
 */
export class Introductions {
  readonly #options: IntroductionsOptions;
  /** By the caller's inbox: which of ours it has been shown, and until when. */
  readonly #callers = new Map<string, { readonly kid: string; readonly untilMs: number }>();

  constructor(options: IntroductionsOptions) {
    this.#options = options;
  }

  /** What a call that is signed in this turn shows. */
  ofCall(): Introduction {
    const { own, clock } = this.#options;
    const { text, sinceMs } = own();
    return { text, unasked: clock.monotonicMs() - sinceMs < INTRODUCE_MS };
  }

  /**
   * What an answer to `reply` shows: ours, for 30 s after the first call of that caller and after each renewal. A caller is known by
   * the inbox of its connection, which it has since it started: with a new one it has forgotten whom it knew.
   */
  ofAnswer(reply: string): string | undefined {
    const { own, clock } = this.#options;
    const { text, kid } = own();
    const caller = reply.slice(0, reply.lastIndexOf('.'));
    const shown = this.#callers.get(caller);
    const nowMs = clock.monotonicMs();
    if (shown?.kid === kid) return nowMs < shown.untilMs ? text : undefined;
    this.#callers.delete(caller);
    if (this.#callers.size >= MAX_CALLERS) for (const oldest of this.#callers.keys()) if (this.#callers.delete(oldest)) break;
    this.#callers.set(caller, { kid, untilMs: nowMs + INTRODUCE_MS });
    return text;
  }

  /**
   * The headers of a proof in an answer to `reply`: beside a token its pass, if this member can make one, and the delegation
   * behind it, for a caller to whom that is new. The word of an unsigned answer has nothing beside it.
   */
  proofEntries(name: string, proof: string, reply: string): [string, string][] {
    const entries: [string, string][] = [[name, proof]];
    if (proof.startsWith('unsigned ')) return entries;
    const pass = this.#options.passes.passFor(requestDigest(proof));
    if (pass !== undefined) entries.push([HEADER.pass, pass]);
    const delegation = this.ofAnswer(reply);
    if (delegation !== undefined) entries.push([HEADER.delegation, delegation]);
    return entries;
  }

  /**
   * Judges, and once more if a delegation was missing that the message shows. `shown` is asked only then. A denial with `need`
   * says that it was not shown. Never throws.
   */
  judge<Good extends { readonly ok: true }>(judge: () => Good | Denial, shown: () => string | undefined): Good | Denial {
    const verdict = judge();
    if (verdict.ok || verdict.code !== 'TRELLIS_VERIFY_DELEGATION') return verdict;
    const text = shown();
    if (text === undefined) return { ...verdict, need: 'delegation' };
    const denial = this.#take(text);
    return denial === undefined ? judge() : { ...verdict, ...denial };
  }

  /** A delegation, or that of a provider and its host's with a blank between them. */
  #take(shown: string): Denial | undefined {
    if (shown.length > 2 * MAX_DELEGATION_CHARS + 1)
      return deny('TRELLIS_VERIFY_DELEGATION', 'shows a delegation that is too long');
    const blank = shown.indexOf(' ');
    const taken =
      blank < 0
        ? this.#options.state.takeDelegation(shown)
        : this.#options.state.takeDelegation(shown.slice(0, blank), shown.slice(blank + 1));
    return 'ok' in taken ? taken : undefined;
  }
}
