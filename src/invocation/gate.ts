import { quote } from '../ids.ts';
import { type Denial, deny } from '../trust/denial.ts';
import type { PendingInvocation, ReceivedRequest, RequestVerifier, VerifiedInvocation } from '../trust/verify-request.ts';
import { HEADER } from './headers.ts';
import type { Introductions } from './introductions.ts';
import type { LinkTable } from './link-table.ts';
import type { OpenedInvocation } from './open.ts';
import type { UnsignedPairs } from './unsigned-pairs.ts';

/** How strict a host is: refuse, log, or look away (development and benchmarks on loopback only). */
export type VerifyMode = 'enforce' | 'observe' | 'off';

declare const unverified: unique symbol;

/** An invocation that the operator lets through without proof. Only {@link createGate} makes one. */
export interface UnverifiedInvocation {
  readonly [unverified]: true;
  /** `mode`: nothing is enforced here. `listed`: this pair alone may stay unsigned. */
  readonly why: 'mode' | 'listed';
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

/** The first message of an invocation. */
export interface FirstMessage {
  readonly subject: string;
  readonly reply: string;
  readonly payload: Uint8Array;
  header(name: string): string | undefined;
}

/** Step 3 of the path: the mode around the verifier. */
export interface Gate {
  readonly mode: VerifyMode;
  /** Judges the first message. Never throws. */
  check(opened: OpenedInvocation, message: FirstMessage, to: Addressee): Passed | Denial;
  /**
   * What a refused first message may wait for, and then be judged again, once: a link that may be on its way here, if it lacks nothing
   * else. `undefined` if it stays refused. Never throws.
   */
  awaits?(denial: Denial, opened: OpenedInvocation, message: FirstMessage, to: Addressee): Promise<void> | undefined;
  /** Judges the caller's word that this host shall run the call. Never throws. */
  confirm(pending: PendingInvocation, token: string | undefined, inbox: string): { readonly ok: true } | Denial;
  /** Judges the complete parameters of a message that passed `check`. Never throws. */
  admit(pending: PendingInvocation, root: readonly Uint8Array[]): Admitted | Denial;
}

function letThrough(claimedOrigin: string | undefined, why: UnverifiedInvocation['why']): UnverifiedInvocation {
  return { why, claimedOrigin: claimedOrigin ?? '<unknown>' } as UnverifiedInvocation;
}

/** True for an invocation that came unsigned under `enforce` and is let through for its pair. */
export function isListed(runnable: Runnable): boolean {
  return 'why' in runnable && runnable.why === 'listed';
}

/** Calls that wait for a link at a time, each with the parameters of its first message. */
const MAX_WAITING = 256;

/** What the gate needs to let listed pairs through, and to get to know signers. */
export interface GateRules {
  readonly pairs: UnsignedPairs;
  readonly links: Pick<LinkTable, 'allows' | 'leads' | 'lookups'>;
  readonly introductions: Introductions;
}

/**
 * The gate for a mode. `off` never looks at tokens; `observe` reports what `enforce` would refuse and lets it through; `enforce`
 * lets through what carries no token at all, if its pair is listed and a link names it. Providers of 1.x name no link in their calls
 * (and their hosts look at none): then one of any name will do, since whoever sends no token could claim each of them.
 */
export function createGate(mode: VerifyMode, verifier: RequestVerifier, { pairs, links, introductions }: GateRules): Gate {
  function listed({ sourceId, linkName }: OpenedInvocation, { target, instance }: Addressee): Passed | Denial {
    if (sourceId === undefined || !pairs.mayCall(sourceId, target, instance)) return deny('TRELLIS_VERIFY_UNSIGNED', 'no token');
    const linked =
      linkName === undefined ? links.leads(sourceId, instance, target) : links.allows(sourceId, linkName, instance, target);
    if (!linked) {
      const name = linkName === undefined ? '' : ` ${quote(linkName)}`;
      const detail = `${quote(sourceId)} may call unsigned, but has no link${name} to ${quote(target)} for ${quote(instance)}`;
      return deny('TRELLIS_VERIFY_LINK', detail);
    }
    return { ok: true, pending: undefined, runnable: letThrough(sourceId, 'listed'), denied: undefined };
  }

  /** The ids of the signed calls that wait for a link, and how many wait in all. */
  const signed = new Set<string>();
  let waiting = 0;

  function waitFor(source: string, id?: string): Promise<void> | undefined {
    const looked = links.lookups.lookUp(source);
    if (looked === undefined) return undefined;
    waiting++;
    if (id !== undefined) signed.add(id);
    return looked.finally(() => {
      waiting--;
      if (id !== undefined) signed.delete(id);
    });
  }

  return {
    mode,
    check(opened, message, to) {
      if (mode === 'off')
        return { ok: true, pending: undefined, runnable: letThrough(opened.sourceId, 'mode'), denied: undefined };
      if (mode === 'enforce' && opened.token === undefined) return listed(opened, to);
      const request = received(opened, message, to);
      const verdict = introductions.judge(
        () => verifier.verify(request),
        () => message.header(HEADER.delegation),
      );
      if (verdict.ok || mode === 'enforce' || verdict.need !== undefined) return verdict;
      return { ok: true, pending: undefined, runnable: letThrough(opened.sourceId, 'mode'), denied: verdict };
    },
    awaits(denial, opened, message, to) {
      if (denial.code !== 'TRELLIS_VERIFY_LINK' || waiting >= MAX_WAITING) return undefined;
      // Of a listed pair: there are only so many.
      if (opened.token === undefined) return waitFor(opened.sourceId ?? '');
      const { said } = denial;
      if (said === undefined || !links.lookups.mayLookUp(said.org)) return undefined;
      // A copy may be anybody's, and costs a signature check.
      const id = `${said.iss} ${said.jti}`;
      if (signed.has(id) || !verifier.lacksOnlyLink(received(opened, message, to))) return undefined;
      return waitFor(said.org, id);
    },
    confirm: (pending, token, inbox) => verifier.confirm(pending, token, inbox),
    admit(pending, root) {
      const verdict = verifier.admit(pending, root);
      if (verdict.ok) {
        pairs.signs(pending.claims.org, 'caller');
        return { ok: true, runnable: verdict.invocation };
      }
      if (mode === 'enforce') return verdict;
      return { ok: true, runnable: letThrough(pending.claims.org, 'mode'), denied: verdict };
    },
  };
}

function received(opened: OpenedInvocation, message: FirstMessage, to: Addressee): ReceivedRequest {
  return {
    token: opened.token,
    pass: opened.pass,
    subject: message.subject,
    reply: message.reply,
    target: to.target,
    instance: to.instance,
    func: to.func,
    sourceId: opened.sourceId,
    linkName: opened.linkName,
    params: message.payload,
  };
}
