import { verify as verifySignature, type KeyObject } from 'node:crypto';
import { isPeerKey, isToken, quote } from '../ids.ts';
import { type Denial, deny, verifierFailed } from './denial.ts';
import type { WorkBudget } from './work-budget.ts';
import type { SignerDirectory } from './issuers.ts';
import type { LinkTable } from './links.ts';
import type { ReplayWindow } from './replay.ts';
import type { RestartFence } from './restart-fence.ts';
import type { TrustedTime } from './trusted-time.ts';
import { PendingInvocation, type RequestVerifier, type VerifiedInvocation } from './verify-request.ts';
import {
  type OpenWasmbusToken,
  openWasmbusToken,
  wasmbusCallText,
  type WasmbusCallText,
  type WasmbusClaims,
  wasmbusHash,
  type WasmbusParty,
} from './wasmbus-claims.ts';

/** What the subscription that received a message of 0.82 stands for. */
export interface WasmbusAddressee {
  /** Component, interface and function that answer. */
  readonly target: string;
  readonly instance: string;
  readonly func: string;
  /** The 0.82 identity of the component: what the target of the message must be, to the letter. */
  readonly entity: WasmbusParty;
  /** `ns:pkg` of the interface: what the contract of a calling provider must be. */
  readonly contract: string;
}

/** A message of 0.82 as it came in. */
export interface ReceivedWasmbus {
  /** `encoded_claims`. */
  readonly token: string;
  readonly id: string;
  readonly origin: WasmbusParty;
  readonly target: WasmbusParty;
  readonly operation: string;
  /** Bytes of the whole payload by the sender's word. */
  readonly contentLength: number | undefined;
  /** The payload, or nothing if it lies in the object store. */
  readonly payload: Uint8Array;
  readonly subject: string;
  readonly reply: string;
}

/** Judges messages of 0.82. Neither function ever throws. */
export interface WasmbusVerifier {
  /** Every check that needs no more than the message. */
  verify(received: ReceivedWasmbus, to: WasmbusAddressee): { readonly ok: true; readonly pending: PendingInvocation } | Denial;
  /** The last checks, with the whole payload, and the one-time use of the id. */
  readonly admit: RequestVerifier['admit'];
}

/** Options of {@link createWasmbusVerifier}. */
export interface WasmbusVerifierOptions {
  readonly lattice: string;
  readonly signers: SignerDirectory;
  readonly time: TrustedTime;
  readonly replay: ReplayWindow;
  readonly links: LinkTable;
  readonly fence: RestartFence;
  /** Origins that may call without a link. */
  readonly unlinkedOrigins: readonly string[];
  /** True if a call may name the called component as its own caller, as `wash call` does. */
  readonly selfCalls: boolean;
  /** Largest difference between two clocks, milliseconds. */
  readonly skewMs: number;
  /** Longest age of a token, milliseconds: 0.82 tokens carry no expiry of their own. */
  readonly maxAgeMs: number;
  /**
   * Pays for checks that fail; when it is used up, nothing is checked and everybody is told to come back. Of its own, since nobody
   * in 0.82 has a pass: a flood here shall not shut out others, nor theirs shut out these. No bound by default.
   */
  readonly budget?: WorkBudget;
}

const ID = /^[0-9A-Za-z-]{1,64}$/;
// All known senders write 22 letters and digits. It names the call in log and audit, so it must be printable.
const TOKEN_ID = /^[0-9A-Za-z_-]{1,64}$/;

function isModule(party: WasmbusParty): boolean {
  return party.publicKey.startsWith('M');
}

/**
 * Makes the judge of 0.82 messages: everything that can be asked of their senders without changing them. Order of checks: form
 * of the token, issuer known, times, fields against token, target against subscription, caller, link, id unused,
 * room in the budget of failed checks, signature; on admission size, hash of the whole payload (also of an empty one), issuer, age, id.
 *
 * What a 0.82 hash runs together is kept apart here: each name of the message is compared with one that this host knows
 * from its own settings, so no two readings of one hash can both be a call.
 */
export function createWasmbusVerifier(options: WasmbusVerifierOptions): WasmbusVerifier {
  const { lattice, signers, time, replay, links, fence, selfCalls, skewMs, maxAgeMs, budget } = options;
  const unlinked = new Set(options.unlinkedOrigins);
  const seal = {};
  // By the pending request itself: who did not get it here cannot have it admitted.
  const waiting = new WeakMap<PendingInvocation, WasmbusCallText>();

  const expiryMs = (c: WasmbusClaims): number => Math.min(c.iat * 1_000 + maxAgeMs, (c.exp ?? Number.POSITIVE_INFINITY) * 1_000);

  function checkTimes(c: WasmbusClaims, nowMs: number): Denial | undefined {
    const issuedMs = c.iat * 1_000;
    const aheadMs = Math.ceil(issuedMs - nowMs);
    if (aheadMs > fence.aheadLimitMs) {
      return deny('TRELLIS_VERIFY_EARLY', `issued ${aheadMs} ms ahead of this host's clock, allowed are ${fence.aheadLimitMs}`);
    }
    if (c.nbf !== undefined && c.nbf * 1_000 > nowMs + skewMs) {
      return deny('TRELLIS_VERIFY_EARLY', 'not to be accepted before a later time');
    }
    const lateMs = Math.ceil(nowMs - expiryMs(c));
    if (lateMs > skewMs) return deny('TRELLIS_VERIFY_EXPIRED', `expired ${lateMs} ms ago, skew allowed is ${skewMs}`);
    if (fence.refuses(issuedMs)) return deny('TRELLIS_VERIFY_FENCED', 'issued before this host started, in whole seconds');
    return undefined;
  }

  function checkFields(c: WasmbusClaims, r: ReceivedWasmbus, call: WasmbusCallText): Denial | undefined {
    if (!TOKEN_ID.test(c.jti)) return deny('TRELLIS_VERIFY_MALFORMED', `${quote(c.jti)} is no id of a token`);
    if (!ID.test(r.id)) return deny('TRELLIS_VERIFY_FIELDS', `${quote(r.id)} is no id of an invocation`);
    if (c.sub !== r.id) return deny('TRELLIS_VERIFY_FIELDS', `signed for id ${quote(c.sub)}, sent with ${quote(r.id)}`);
    for (const party of [r.origin, r.target]) {
      if (!isPeerKey(party.publicKey)) {
        return deny('TRELLIS_VERIFY_FIELDS', `${quote(party.publicKey)} is no key of an actor or provider`);
      }
      if (isModule(party) && (party.contractId !== '' || party.linkName !== '')) {
        return deny('TRELLIS_VERIFY_FIELDS', 'an actor key with a contract or a link, which no signature covers');
      }
    }
    if (c.targetUrl !== call.targetUrl) return deny('TRELLIS_VERIFY_TARGET', `made for ${quote(c.targetUrl)}`);
    if (c.originUrl !== call.originUrl) return deny('TRELLIS_VERIFY_FIELDS', `signed by ${quote(c.originUrl)}, sent by another`);
    const length = r.contentLength ?? r.payload.length;
    if (r.payload.length > 0 && r.payload.length !== length) {
      return deny('TRELLIS_VERIFY_PAYLOAD', `${r.payload.length} bytes came, content_length says ${length}`);
    }
    return undefined;
  }

  function checkPlace(r: ReceivedWasmbus, to: WasmbusAddressee): Denial | undefined {
    const { origin, target } = r;
    const own = to.entity;
    if (target.publicKey !== own.publicKey || target.linkName !== own.linkName || target.contractId !== own.contractId) {
      return deny('TRELLIS_VERIFY_TARGET', `sent to ${quote(target.publicKey)}, which this subscription does not serve`);
    }
    if (!isModule(origin) && origin.contractId !== to.contract) {
      return deny('TRELLIS_VERIFY_LINK', `a provider of ${quote(origin.contractId)} calls ${quote(to.contract)}`);
    }
    if (origin.publicKey === target.publicKey) {
      return selfCalls ? undefined : deny('TRELLIS_VERIFY_LINK', 'the target is named as its own caller');
    }
    if (unlinked.has(origin.publicKey)) return undefined;
    const link = linkOf(r);
    if (isToken(link, 64) && links.allows(origin.publicKey, link, to.instance, to.target, to.func)) return undefined;
    return deny(
      'TRELLIS_VERIFY_LINK',
      `${quote(origin.publicKey)} has no link ${quote(link)} to ${quote(to.target)} for ${quote(to.instance)}`,
    );
  }

  function isSigned(text: string, signature: Buffer, key: KeyObject): boolean {
    return verifySignature(null, Buffer.from(text, 'latin1'), key, signature);
  }

  function verify(r: ReceivedWasmbus, to: WasmbusAddressee): { ok: true; pending: PendingInvocation } | Denial {
    if (r.token === '') return deny('TRELLIS_VERIFY_UNSIGNED', 'no claims');
    const token = openWasmbusToken(r.token);
    if ('fault' in token) {
      return deny(token.fault === 'form' ? 'TRELLIS_VERIFY_FORM' : 'TRELLIS_VERIFY_MALFORMED', `token ${token.reason}`);
    }
    const verdict = judge(token, r, to);
    const { jti, iss } = token.claims;
    const org = r.origin.publicKey;
    return verdict.ok || !TOKEN_ID.test(jti) || !isPeerKey(org) ? verdict : { ...verdict, said: { jti, iss, org } };
  }

  function judge(
    token: OpenWasmbusToken,
    r: ReceivedWasmbus,
    to: WasmbusAddressee,
  ): { ok: true; pending: PendingInvocation } | Denial {
    const { claims } = token;
    // Only cluster issuers: nobody in 0.82 knows delegations.
    const signer = signers.find(claims.iss, undefined);
    if ('ok' in signer) return signer;
    const nowMs = time.nowMs();
    const call = wasmbusCallText(r.origin, r.target, r.operation);
    const denial = checkTimes(claims, nowMs) ?? checkFields(claims, r, call) ?? checkPlace(r, to);
    if (denial !== undefined) return denial;
    const origin = r.origin.publicKey;
    if (!signer.speaksFor(origin)) {
      return deny('TRELLIS_VERIFY_SCOPE', `${quote(claims.iss)} may not speak for ${quote(origin)}`);
    }
    if (replay.has(claims.iss, claims.jti)) return deny('TRELLIS_VERIFY_REPLAYED', `id ${quote(claims.jti)} was used before`);
    if (budget?.open === false) return deny('TRELLIS_VERIFY_FLOODED', 'too many checks of 0.82 messages failed of late');
    if (!isSigned(token.signedText, token.signature, signer.key)) {
      budget?.spend();
      return deny('TRELLIS_VERIFY_SIGNATURE', `not signed by ${quote(claims.iss)}`);
    }
    // What the token says, in the words of our own tokens: the path knows no others.
    const pending = new PendingInvocation(
      seal,
      r.token,
      {
        v: 2,
        jti: claims.jti,
        iat: claims.iat * 1_000,
        exp: expiryMs(claims),
        lat: lattice,
        iss: claims.iss,
        org: origin,
        lnk: linkOf(r),
        tgt: to.target,
        ins: to.instance,
        fun: to.func,
        sub: r.subject,
        rpl: r.reply,
        len: r.contentLength ?? r.payload.length,
        dig: claims.hash,
      },
      undefined,
    );
    waiting.set(pending, call);
    return { ok: true, pending };
  }

  function admit(pending: PendingInvocation, root: readonly Uint8Array[]): { ok: true; invocation: VerifiedInvocation } | Denial {
    const call = PendingInvocation.isMintedBy(seal, pending) ? waiting.get(pending) : undefined;
    if (call === undefined) return deny('TRELLIS_VERIFY_FAILED', 'this request did not come from this verifier');
    const { token, claims } = pending;
    const payload = root.length === 1 ? root[0]! : Buffer.concat(root);
    if (payload.length !== claims.len) {
      return deny('TRELLIS_VERIFY_PAYLOAD', `${payload.length} bytes came, content_length says ${claims.len}`);
    }
    if (wasmbusHash(call, payload) !== claims.dig) {
      budget?.spend();
      return deny('TRELLIS_VERIFY_PAYLOAD', 'hash of the call differs');
    }
    // The issuer may have gone while the payload was fetched.
    const signer = signers.find(claims.iss, undefined);
    if ('ok' in signer) return signer;
    const nowMs = time.nowMs();
    const lateMs = Math.ceil(nowMs - claims.exp);
    if (lateMs > skewMs) return deny('TRELLIS_VERIFY_EXPIRED', `expired ${lateMs} ms ago, before its payload was there`);
    const inserted = replay.insert(claims.iss, claims.jti, claims.exp, nowMs);
    if (inserted === 'seen') return deny('TRELLIS_VERIFY_REPLAYED', `id ${quote(claims.jti)} was used before`);
    if (inserted === 'full') return deny('TRELLIS_VERIFY_REPLAY_FULL', 'no room to remember another id');
    fence.admit(claims.iat, nowMs);
    return { ok: true, invocation: { token, claims, params: root } as unknown as VerifiedInvocation };
  }

  return {
    verify(received, to) {
      try {
        return verify(received, to);
      } catch (error) {
        return verifierFailed(error);
      }
    },
    admit(pending, root) {
      try {
        return admit(pending, root);
      } catch (error) {
        return verifierFailed(error);
      }
    },
  };
}

/** The link that a call follows: that of the provider it goes to or comes from; between two actors there is none by name. */
function linkOf({ origin, target }: ReceivedWasmbus): string {
  return target.linkName || origin.linkName || 'default';
}
