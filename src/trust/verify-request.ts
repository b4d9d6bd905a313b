import { quote } from '../ids.ts';
import { byteLengthOf } from './canonical.ts';
import { type ConfirmVerifier, createConfirmVerifier } from './verify-confirm.ts';
import { type Denial, deny, verifierFailed } from './denial.ts';
import type { WorkBudget } from './work-budget.ts';
import type { SignerDirectory } from './issuers.ts';
import type { LinkTable } from './links.ts';
import type { ReplayWindow } from './replay.ts';
import type { PassKeys } from './pass-keys.ts';
import { readRequestClaims, type RequestClaims } from './request-token.ts';
import { RestartFence } from './restart-fence.ts';
import { SignatureChecker } from './signatures.ts';
import { MAX_LIFETIME_MS } from './signer.ts';
import { type OpenToken, openToken, paramsDigest } from './token.ts';
import type { TrustedTime } from './trusted-time.ts';

/** An invocation as it came in, beside the tuple of the subscription that received it. */
export interface ReceivedRequest {
  /** The request token, if there was one. */
  readonly token: string | undefined;
  /** The admission pass beside it, if there was one. */
  readonly pass?: string | undefined;
  readonly subject: string;
  readonly reply: string;
  /** Component, interface and function that this subscription serves. */
  readonly target: string;
  readonly instance: string;
  readonly func: string;
  /** The plain, unsigned headers; they must not contradict the token. */
  readonly sourceId: string | undefined;
  readonly linkName: string | undefined;
  /** The first payload: all parameter bytes, or a beginning of them. */
  readonly params: Uint8Array;
}

/** A request whose token is good, while its parameter bytes may still be on their way. Only a verifier makes one. */
export class PendingInvocation {
  readonly token: string;
  readonly claims: RequestClaims;
  /** The first payload, if it was complete and its digest has been checked. */
  readonly checkedParams: Uint8Array | undefined;
  readonly #mintedBy: object;

  /** @param mintedBy an object that nobody but the verifier holds */
  constructor(mintedBy: object, token: string, claims: RequestClaims, checkedParams: Uint8Array | undefined) {
    this.#mintedBy = mintedBy;
    this.token = token;
    this.claims = claims;
    this.checkedParams = checkedParams;
  }

  /** True if `pending` is the work of the verifier that holds `mintedBy`, and not something that looks like it. */
  static isMintedBy(mintedBy: object, pending: PendingInvocation): boolean {
    return #mintedBy in pending && pending.#mintedBy === mintedBy;
  }

  /** True if the first payload held all parameter bytes. */
  get complete(): boolean {
    return this.checkedParams !== undefined;
  }

  /** The number of parameter bytes that were signed; no more of them need to be collected. */
  get paramsBytes(): number {
    return this.claims.len;
  }
}

declare const verified: unique symbol;

/** An invocation that may run: every check has passed and its id is taken. Only {@link RequestVerifier.admit} makes one. */
export interface VerifiedInvocation {
  readonly [verified]: true;
  readonly token: string;
  readonly claims: RequestClaims;
  /** The signed parameter bytes. */
  readonly params: readonly Uint8Array[];
}

/** Judges requests. Neither function ever throws. */
export interface RequestVerifier {
  /** Every check that needs no more than the first message. Takes nothing in: the same message gives the same answer again. */
  verify(request: ReceivedRequest): { readonly ok: true; readonly pending: PendingInvocation } | Denial;
  /** True if a link is all that a request lacks: its signature and everything else would pass. Takes nothing in, and lets nothing through. */
  lacksOnlyLink(request: ReceivedRequest): boolean;
  /** The last checks, with all parameter bytes, and the one-time use of the id. */
  admit(
    pending: PendingInvocation,
    root: readonly Uint8Array[],
  ): { readonly ok: true; readonly invocation: VerifiedInvocation } | Denial;
  /** The caller's word that this server shall run the call. */
  readonly confirm: ConfirmVerifier;
  /** Signature checks done, and tokens that a remembered batch root spared one. */
  readonly stats: { readonly checks: number; readonly remembered: number };
}

/** Options of {@link createRequestVerifier}. */
export interface RequestVerifierOptions {
  readonly lattice: string;
  readonly signers: SignerDirectory;
  readonly time: TrustedTime;
  readonly replay: ReplayWindow;
  readonly links: LinkTable;
  /** Origins that may call without a link, such as an operator's command line. A set is asked anew each time. */
  readonly unlinkedOrigins: readonly string[] | ReadonlySet<string>;
  /**
   * `strict` also compares the NATS subject and reply subject. `logical` compares neither, for subject mappings; the answer is then
   * bound to its request by the signed result alone. `shared` is for what comes through another account's import: the server
   * has put an inbox of its own in place of the caller's, and the caller has signed in its place whom the call is for.
   */
  readonly bind: 'strict' | 'logical' | 'shared';
  /** For `shared`: true if this cluster issuer is, or was, one of this lattice's. */
  readonly isOwnIssuer?: (issuer: string) => boolean;
  /** Largest difference between two clocks, milliseconds; 5,000 by default. */
  readonly skewMs?: number;
  /** Longest life of a token, milliseconds; 60,000 by default. */
  readonly maxLifetimeMs?: number;
  /** Refuses what an earlier life of this host may have run; by default one without a store. */
  readonly fence?: RestartFence;
  /** Shared with the result verifier, since one batch may hold a peer's requests and its results; its own by default. */
  readonly signatures?: SignatureChecker;
  /** Knows passes; without it no request carries one. */
  readonly passes?: Pick<PassKeys, 'vouches'>;
  /** Bounds the failed checks that requests without a pass may cause; without it nothing does. */
  readonly budget?: WorkBudget;
}

const DEFAULT_SKEW_MS = 5_000;
/** Hashing so many bytes costs about as much as an Ed25519 check. */
const BYTES_LIKE_A_CHECK = 128 * 1024;
const FLOODED = deny('TRELLIS_VERIFY_FLOODED', 'too many checks failed of late, and no pass');

/**
 * Makes the judge of requests. Order of checks: size, shape, header word, one spelling, signer known, times, lattice, component and
 * function, subject and reply, plain headers, link, scope of the signer, id unused, admission (a known batch, a pass, or room in the budget of failed
 * checks), payload, signature, and on admission payload, time, id. Everything cheap comes first; the signature comes before anything is remembered, so strangers cannot fill the memory of used ids.
 */
export function createRequestVerifier(options: RequestVerifierOptions): RequestVerifier {
  const { lattice, signers, time, replay, links, bind, passes, budget } = options;
  const { skewMs = DEFAULT_SKEW_MS, maxLifetimeMs = MAX_LIFETIME_MS } = options;
  const fence = options.fence ?? new RestartFence(time, skewMs);
  const unlinked = options.unlinkedOrigins instanceof Set ? options.unlinkedOrigins : new Set(options.unlinkedOrigins);
  const signatures = options.signatures ?? new SignatureChecker(maxLifetimeMs + 2 * skewMs);
  const seal = {};

  function checkTimes(c: RequestClaims, nowMs: number): Denial | undefined {
    const lifetimeMs = c.exp - c.iat;
    if (lifetimeMs <= 0 || lifetimeMs > maxLifetimeMs) {
      return deny('TRELLIS_VERIFY_LIFETIME', `life of ${lifetimeMs} ms, allowed are 1 to ${maxLifetimeMs}`);
    }
    const aheadMs = Math.ceil(c.iat - nowMs);
    if (aheadMs > fence.aheadLimitMs) {
      return deny(
        'TRELLIS_VERIFY_EARLY',
        `issued ${aheadMs} ms ahead of this host's clock, skew allowed is ${fence.aheadLimitMs}`,
      );
    }
    const lateMs = Math.ceil(nowMs - c.exp);
    if (lateMs > skewMs) return deny('TRELLIS_VERIFY_EXPIRED', `expired ${lateMs} ms ago, skew allowed is ${skewMs}`);
    if (fence.refuses(c.iat)) {
      return deny('TRELLIS_VERIFY_FENCED', `issued ${Math.ceil(time.startedMs - c.iat)} ms before this host started`);
    }
    return undefined;
  }

  function checkPlace(c: RequestClaims, r: ReceivedRequest, needsLink: boolean): Denial | undefined {
    if (c.lat !== lattice) return deny('TRELLIS_VERIFY_LATTICE', `made for lattice ${quote(c.lat)}`);
    if (c.tgt !== r.target) return deny('TRELLIS_VERIFY_TARGET', `made for component ${quote(c.tgt)}`);
    if (c.ins !== r.instance) return deny('TRELLIS_VERIFY_TARGET', `made for interface ${quote(c.ins)}`);
    if (c.fun !== r.func) return deny('TRELLIS_VERIFY_TARGET', `made for function ${quote(c.fun)}`);
    if (bind !== 'logical' && c.sub !== r.subject) return deny('TRELLIS_VERIFY_BINDING', `made for subject ${quote(c.sub)}`);
    if (bind === 'strict' && c.rpl !== r.reply) return deny('TRELLIS_VERIFY_BINDING', 'made for another reply subject');
    if (bind === 'shared' && options.isOwnIssuer?.(c.rpl) !== true) {
      return deny('TRELLIS_VERIFY_BINDING', `made for the lattice of issuer ${quote(c.rpl)}`);
    }
    if (r.sourceId !== undefined && r.sourceId !== c.org) {
      return deny('TRELLIS_VERIFY_HEADERS', `signed by ${quote(c.org)}, header source-id says ${quote(r.sourceId)}`);
    }
    if (r.linkName !== undefined && r.linkName !== c.lnk) {
      return deny('TRELLIS_VERIFY_HEADERS', `signed for link ${quote(c.lnk)}, header link-name says ${quote(r.linkName)}`);
    }
    if (needsLink && !unlinked.has(c.org) && !links.allows(c.org, c.lnk, c.ins, c.tgt, c.fun)) {
      const refusal = links.refusal?.(c.org);
      if (refusal !== undefined) return refusal;
      return deny('TRELLIS_VERIFY_LINK', `${quote(c.org)} has no link ${quote(c.lnk)} to ${quote(c.tgt)} for ${quote(c.ins)}`);
    }
    return undefined;
  }

  function checkPayload(c: RequestClaims, bytes: Uint8Array | readonly Uint8Array[]): Denial | undefined {
    const length = byteLengthOf(bytes);
    if (length !== c.len) return deny('TRELLIS_VERIFY_PAYLOAD', `${length} parameter bytes came, ${c.len} were signed`);
    return paramsDigest(bytes) === c.dig ? undefined : deny('TRELLIS_VERIFY_PAYLOAD', 'digest of the parameters differs');
  }

  function readToken(r: ReceivedRequest): { readonly token: OpenToken; readonly claims: RequestClaims } | Denial {
    if (r.token === undefined || r.token === '') return deny('TRELLIS_VERIFY_UNSIGNED', 'no token');
    const token = openToken(r.token, 'request');
    if ('fault' in token) {
      return deny(token.fault === 'form' ? 'TRELLIS_VERIFY_FORM' : 'TRELLIS_VERIFY_MALFORMED', `token ${token.reason}`);
    }
    const claims = readRequestClaims(token.claimsText);
    if (claims === undefined) return deny('TRELLIS_VERIFY_MALFORMED', 'claims are not in their one spelling');
    return { token, claims };
  }

  function verify(r: ReceivedRequest): { ok: true; pending: PendingInvocation } | Denial {
    const read = readToken(r);
    if ('ok' in read) return read;
    const { token, claims } = read;
    const judged = judge(r, token, claims);
    if ('ok' in judged) return { ...judged, said: claims };
    return { ok: true, pending: new PendingInvocation(seal, r.token!, claims, judged.complete ? r.params : undefined) };
  }

  function lacksOnlyLink(r: ReceivedRequest): boolean {
    const read = readToken(r);
    return !('ok' in read) && !('ok' in judge(r, read.token, read.claims, false));
  }

  function judge(
    r: ReceivedRequest,
    token: OpenToken,
    claims: RequestClaims,
    needsLink = true,
  ): { readonly complete: boolean } | Denial {
    const signer = signers.find(claims.iss, claims.kid);
    if ('ok' in signer) return signer;
    const nowMs = time.nowMs();
    const denial = checkTimes(claims, nowMs) ?? checkPlace(claims, r, needsLink);
    if (denial !== undefined) return denial;
    if (!signer.speaksFor(claims.org)) {
      return deny('TRELLIS_VERIFY_SCOPE', `${quote(claims.iss)} may not speak for ${quote(claims.org)}`);
    }
    if (replay.has(claims.iss, claims.jti)) return deny('TRELLIS_VERIFY_REPLAYED', `id ${claims.jti} was used before`);
    const known = signatures.knows(token, claims.iss, nowMs);
    if (!known && !mayCost(r)) return FLOODED;
    // A shorter first payload is the beginning of a longer one; its digest is checked on admission.
    const complete = r.params.length >= claims.len;
    const payloadDenial = complete ? checkPayload(claims, r.params) : undefined;
    if (payloadDenial !== undefined) return failed(r, payloadDenial);
    if (known || signatures.check(token, claims.iss, signer.key, nowMs)) return { complete };
    return failed(r, deny('TRELLIS_VERIFY_SIGNATURE', `not signed by ${quote(claims.iss)}`));
  }

  /** True if hashing and a signature check are worth it: a member vouches for this token, or little has failed of late. */
  function mayCost(r: ReceivedRequest): boolean {
    return budget === undefined || budget.open || passes?.vouches(r.pass, r.token!) === true;
  }

  /** What fails from here on has cost something, and is paid by those without a pass. Forgeries seldom have one. */
  function failed(r: ReceivedRequest, denial: Denial): Denial {
    budget?.spend(1 + Math.floor(r.params.length / BYTES_LIKE_A_CHECK));
    return denial;
  }

  function admit(pending: PendingInvocation, root: readonly Uint8Array[]): { ok: true; invocation: VerifiedInvocation } | Denial {
    if (!PendingInvocation.isMintedBy(seal, pending))
      return deny('TRELLIS_VERIFY_FAILED', 'this request did not come from this verifier');
    const { token, claims } = pending;
    const sameBytes = pending.complete && root.length === 1 && root[0] === pending.checkedParams;
    const payloadDenial = sameBytes ? undefined : checkPayload(claims, root);
    if (payloadDenial !== undefined) return payloadDenial;
    // What was delegated may have been taken back since.
    const signer = signers.find(claims.iss, claims.kid);
    if ('ok' in signer) return signer;
    // Judged again: parameters may have taken their time, and an id is remembered only as long as its token can be accepted.
    const nowMs = time.nowMs();
    const lateMs = Math.ceil(nowMs - claims.exp);
    if (lateMs > skewMs) return deny('TRELLIS_VERIFY_EXPIRED', `expired ${lateMs} ms ago, before its parameters were complete`);
    const inserted = replay.insert(claims.iss, claims.jti, claims.exp, nowMs);
    if (inserted === 'seen') return deny('TRELLIS_VERIFY_REPLAYED', `id ${claims.jti} was used before`);
    if (inserted === 'full') return deny('TRELLIS_VERIFY_REPLAY_FULL', 'no room to remember another id');
    fence.admit(claims.iat, nowMs);
    return { ok: true, invocation: { token, claims, params: root } as unknown as VerifiedInvocation };
  }

  // A fault in the judge itself, or in a port it asks, refuses; it never lets through and never throws.
  return {
    stats: signatures.stats,
    confirm: createConfirmVerifier({ lattice, signers, time, skewMs, signatures, budget }),
    verify(r) {
      try {
        return verify(r);
      } catch (error) {
        return verifierFailed(error);
      }
    },
    lacksOnlyLink(r) {
      try {
        return lacksOnlyLink(r);
      } catch {
        return false;
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
