import type { Clock } from '../../clock.ts';
import { quote } from '../../ids.ts';
import { MAX_DELEGATION_CHARS, openDelegation } from '../../trust/delegation.ts';
import { type Denial, deny } from '../../trust/denial.ts';
import { WorkBudget } from '../../trust/work-budget.ts';
import { ReplayWindow } from '../../trust/replay.ts';
import type { RestartFence } from '../../trust/restart-fence.ts';
import { TrustState } from '../../trust/trust-state.ts';
import type { TrustedTime } from '../../trust/trusted-time.ts';
import { createRequestVerifier } from '../../trust/verify-request.ts';
import type { Gate } from '../gate.ts';
import { HEADER } from '../headers.ts';
import { type Credential, Introductions } from '../introductions.ts';
import { crossesAccounts } from './one-message.ts';
import { ForeignRules, type ForeignShare } from './rules.ts';

/** Ids remembered of each other lattice: its calls take no room from those of this one. */
const MAX_FOREIGN_IDS = 100_000;
/** Delegations remembered of each other lattice. */
const MAX_FOREIGN_DELEGATIONS = 256;
/** Refusals told to another lattice a second, and failed checks it may cause. */
const FOREIGN_FAILURES_PER_SECOND = 100;

/** The gate of one other lattice, and how its callers are answered. */
export interface ForeignGate extends Gate {
  /** The lattice that the caller names; `undefined` if it names none in a form that could be read. */
  readonly lattice: string | undefined;
  /** In place of the origin, for counting what is in flight: a lattice shares its own lane. */
  readonly lane: string;
  /** Whoever calls from another lattice knows none of this one's delegations. */
  readonly introductions: Pick<Introductions, 'proofEntries'>;
  readonly refusals: WorkBudget;
}

/** What {@link ForeignGates} is made of. */
export interface ForeignGatesOptions {
  readonly lattice: string;
  readonly shares: readonly ForeignShare[];
  /** The trust in this lattice: it names its issuers, and may revoke what others delegated. */
  readonly trust: TrustState;
  readonly own: () => Credential;
  readonly time: TrustedTime;
  readonly fence: RestartFence;
  readonly clock: Clock;
  readonly skewMs: number;
  /** Lets calls from other accounts that no share is about to the gate of this lattice: its tokens are bound to no subject. */
  readonly bindsLogically: boolean;
}

interface Message {
  readonly reply: string;
  header(name: string): string | undefined;
}

/**
 * What becomes of calls that came through the imports of other NATS accounts. The server marks them, and nobody else can take the
 * mark off: their reply subject is one of its own. Each other lattice is judged by trust of its own, with memory and limits of its own; it
 * always is, whatever `trust.verify` says, and `trust.unsigned` is no way around it.
 */
export class ForeignGates {
  readonly #options: ForeignGatesOptions;
  /** By lattice and issuer. One that nothing is shared with any more stays: its memory of used ids must outlast their tokens. */
  readonly #judges = new Map<string, { readonly rules: ForeignRules; readonly gate: ForeignGate }>();
  readonly #strangers: WorkBudget;

  constructor(options: ForeignGatesOptions) {
    this.#options = options;
    this.#strangers = new WorkBudget(options.time, FOREIGN_FAILURES_PER_SECOND, FOREIGN_FAILURES_PER_SECOND);
    this.takeShares(options.shares);
  }

  /** From now on these are shared, and no others. What runs goes on. */
  takeShares(shares: readonly ForeignShare[]): void {
    for (const { rules } of this.#judges.values()) rules.shares = [];
    for (const share of shares) {
      for (const issuer of share.issuers) {
        const key = keyOf(share.lattice, issuer);
        const judge = this.#judges.get(key) ?? this.#judgeOf(share.lattice, issuer);
        judge.rules.shares = [...judge.rules.shares, share];
        this.#judges.set(key, judge);
      }
    }
  }

  /** The gate for a call from another account; `undefined` for a call of this one. */
  gateFor(message: Message): ForeignGate | undefined {
    if (!crossesAccounts(message.reply)) return undefined;
    if (this.#judges.size === 0 && this.#options.bindsLogically) return undefined;
    const shown = message.header(HEADER.delegation);
    if (shown === undefined) return this.#refusing(undefined, 'shows no delegation');
    // Of a provider's and its host's, the host's says whose they are.
    const text = shown.slice(shown.lastIndexOf(' ') + 1);
    const claims = text.length > MAX_DELEGATION_CHARS ? undefined : openDelegation(text);
    if (claims === undefined) return this.#refusing(undefined, 'shows a delegation that cannot be read');
    const { lat, iss } = claims;
    return (
      this.#judges.get(keyOf(lat, iss))?.gate ??
      this.#refusing(lat, `lattice ${quote(lat)} under ${quote(iss)} is not in trust.foreign`)
    );
  }

  #judgeOf(lattice: string, issuer: string): { readonly rules: ForeignRules; readonly gate: ForeignGate } {
    const { trust, time, fence, clock, skewMs, own } = this.#options;
    const veto = (subject: string, kid: string, mintedMs: number): Denial | undefined => trust.vetoes(subject, kid, mintedMs);
    const state = new TrustState({ lattice, issuers: [issuer], time, skewMs, maxDelegations: MAX_FOREIGN_DELEGATIONS, veto });
    const passFor = (): undefined => undefined;
    const introductions = new Introductions({ state, own, passes: { passFor }, clock });
    const rules = new ForeignRules(lattice, [], () => time.nowMs());
    const verifier = createRequestVerifier({
      lattice: this.#options.lattice,
      signers: state,
      time,
      replay: new ReplayWindow({ clock, maxEntries: MAX_FOREIGN_IDS, skewMs }),
      links: rules,
      unlinkedOrigins: [],
      bind: 'shared',
      isOwnIssuer: (key) => trust.isOwnIssuer(key),
      skewMs,
      fence,
      budget: new WorkBudget(time, FOREIGN_FAILURES_PER_SECOND, FOREIGN_FAILURES_PER_SECOND),
    });
    const gate: ForeignGate = {
      ...this.#common(lattice),
      refusals: new WorkBudget(time, FOREIGN_FAILURES_PER_SECOND, FOREIGN_FAILURES_PER_SECOND),
      check({ token, sourceId, linkName }, message, { target, instance, func }) {
        const notShared = rules.judge({ target, instance, func });
        if (notShared !== undefined) return notShared;
        const { subject, reply, payload: params } = message;
        const request = { token, subject, reply, target, instance, func, sourceId, linkName, params };
        return introductions.judge(
          () => verifier.verify(request),
          () => message.header(HEADER.delegation),
        );
      },
      admit(pending, root) {
        const verdict = verifier.admit(pending, root);
        return verdict.ok ? { ok: true, runnable: verdict.invocation } : verdict;
      },
    };
    return { rules, gate };
  }

  /** Strangers are refused alike, whatever they bring. */
  #refusing(lattice: string | undefined, detail: string): ForeignGate {
    const denial = deny('TRELLIS_VERIFY_FOREIGN', `a call from another account ${detail}`);
    return { ...this.#common(lattice), refusals: this.#strangers, check: () => denial, admit: () => denial };
  }

  #common(lattice: string | undefined): Pick<ForeignGate, 'mode' | 'lattice' | 'lane' | 'introductions' | 'confirm'> {
    const { own } = this.#options;
    return {
      mode: 'enforce',
      lattice,
      // No id begins like that.
      lane: `/${lattice ?? ''}`,
      introductions: {
        proofEntries: (name, proof) =>
          proof.startsWith('unsigned ')
            ? [[name, proof]]
            : [
                [name, proof],
                [HEADER.delegation, own().text],
              ],
      },
      confirm: () => deny('TRELLIS_VERIFY_FOREIGN', 'nothing is confirmed between accounts'),
    };
  }
}

function keyOf(lattice: string, issuer: string): string {
  return `${lattice} ${issuer}`;
}
