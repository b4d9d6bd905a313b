import type { Denial } from '../trust/denial.ts';
import type { PendingInvocation, RequestVerifier, VerifiedInvocation } from '../trust/verify-request.ts';
import type { OpenedInvocation } from './open.ts';

/** How strict a host is: refuse, log, or look away (development and benchmarks on loopback only). */
export type VerifyMode = 'enforce' | 'observe' | 'off';

declare const unverified: unique symbol;

/** An invocation that the operator's mode lets through without proof. Only {@link createGate} makes one. */
export interface UnverifiedInvocation {
  readonly [unverified]: true;
  /** The caller by its own word; for logs only. */
  readonly claimedOrigin: string;
}

/** What step 4 (run) accepts: nothing else can reach a component. */
export type Runnable = VerifiedInvocation | UnverifiedInvocation;

/** The subscription a message came in on: what it must be addressed to. */
export interface Addressee {
  readonly target: string;
  readonly instance: string;
  readonly func: string;
}

/** The answer of the gate to a first message. */
export type Passed =
  | { readonly ok: true; readonly pending: PendingInvocation; readonly denied?: undefined }
  | {
      readonly ok: true;
      readonly pending: undefined;
      readonly runnable: UnverifiedInvocation;
      readonly denied: Denial | undefined;
    };

/** The answer of the gate to complete parameters. */
export type Admitted =
  | { readonly ok: true; readonly runnable: VerifiedInvocation; readonly denied?: undefined }
  | { readonly ok: true; readonly runnable: UnverifiedInvocation; readonly denied: Denial };

/** Step 3 of the path: the mode around the verifier. */
export interface Gate {
  readonly mode: VerifyMode;
  /** Judges the first message. Never throws. */
  check(
    opened: OpenedInvocation,
    message: { subject: string; reply: string; payload: Uint8Array },
    to: Addressee,
  ): Passed | Denial;
  /** Judges the complete parameters of a message that passed `check`. Never throws. */
  admit(pending: PendingInvocation, root: readonly Uint8Array[]): Admitted | Denial;
}

function letThrough(claimedOrigin: string | undefined): UnverifiedInvocation {
  return { claimedOrigin: claimedOrigin ?? '<unknown>' } as UnverifiedInvocation;
}

/** The gate for a mode. `off` never looks at tokens; `observe` reports what `enforce` would refuse and lets it through. */
export function createGate(mode: VerifyMode, verifier: RequestVerifier): Gate {
  return {
    mode,
    check(opened, message, to) {
      if (mode === 'off') return { ok: true, pending: undefined, runnable: letThrough(opened.sourceId), denied: undefined };
      const verdict = verifier.verify({
        token: opened.token,
        subject: message.subject,
        reply: message.reply,
        target: to.target,
        instance: to.instance,
        func: to.func,
        sourceId: opened.sourceId,
        linkName: opened.linkName,
        params: message.payload,
      });
      if (verdict.ok || mode === 'enforce') return verdict;
      return { ok: true, pending: undefined, runnable: letThrough(opened.sourceId), denied: verdict };
    },
    admit(pending, root) {
      const verdict = verifier.admit(pending, root);
      if (verdict.ok) return { ok: true, runnable: verdict.invocation };
      if (mode === 'enforce') return verdict;
      return { ok: true, runnable: letThrough(pending.claims.org), denied: verdict };
    },
  };
}
