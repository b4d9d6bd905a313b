import { quote } from '../ids.ts';
import { byteLengthOf, type ByteParts } from './canonical.ts';
import { type Denial, deny, verifierFailed } from './denial.ts';
import type { WorkBudget } from './work-budget.ts';
import type { SignerDirectory, TrustedSigner } from './issuers.ts';
import type { PassKeys } from './pass-keys.ts';
import { type AcceptClaims, readAcceptClaims, readResultClaims, type ResultClaims, type ResultStatus } from './result-token.ts';
import { SignatureChecker } from './signatures.ts';
import { MAX_LIFETIME_MS, type SentRequest } from './signer.ts';
import { openToken, type OpenToken, resultDigest } from './token.ts';
import type { TrustedTime } from './trusted-time.ts';

/** A signed answer that counts. */
export interface VerifiedResult {
  readonly ok: true;
  readonly status: ResultStatus;
  /** The inbox of the accept that it belongs to; absent if the server had sent none. */
  readonly inbox: string | undefined;
}

/** A signed accept that counts. */
export interface VerifiedAccept {
  readonly ok: true;
  readonly inbox: string;
  /** The server's key for streams, if it opens a session. */
  readonly epk: string | undefined;
  /** True if the server runs the call only when this accept is confirmed. */
  readonly confirm: boolean;
  /** True if the invocation runs: whoever refuses it from now on speaks of something else. */
  readonly running: boolean;
}

/** Judges what comes back for a request. Neither function ever throws. */
export interface ResultVerifier {
  /** The signed end of a call; `root` is the whole root result, in one piece or several. */
  result(sent: SentRequest, token: string | undefined, root: ByteParts, pass?: string): VerifiedResult | Denial;
  /** The signed invitation to send the rest of the parameters to `inbox`. */
  accept(sent: SentRequest, token: string | undefined, pass?: string): VerifiedAccept | Denial;
  /** Signature checks done, and tokens that a remembered batch root spared one. */
  readonly stats: { readonly checks: number; readonly remembered: number };
}

/** Options of {@link createResultVerifier}. */
export interface ResultVerifierOptions {
  readonly lattice: string;
  readonly signers: SignerDirectory;
  readonly time: TrustedTime;
  /** Largest difference between two clocks, milliseconds; 5,000 by default. */
  readonly skewMs?: number;
  /** Shared with the request verifier; its own by default. */
  readonly signatures?: SignatureChecker;
  /** Knows passes; without it no answer carries one. */
  readonly passes?: Pick<PassKeys, 'vouches'>;
  /** Bounds the failed checks of answers without a pass, beyond the first of each call; without it nothing does. */
  readonly budget?: WorkBudget;
}

/** Failed checks that each call has for itself: who forges an answer to one call takes nothing from the others. */
const FREE_FAILURES = 2;

/**
 * Makes the judge of answers. Order of checks: size, shape, header word, one spelling, signer known, lattice, the request it answers,
 * the component that answers, times, result bytes, scope of the signer, signature. An answer is bound to its request by the request's digest, which
 * holds 128 random bits, so it fits one call only; that a call takes one answer is the caller's business.
 */
export function createResultVerifier(options: ResultVerifierOptions): ResultVerifier {
  const { lattice, signers, time, skewMs = 5_000 } = options;
  const { passes, budget } = options;
  const failures = new WeakMap<SentRequest, number>();
  const signatures = options.signatures ?? new SignatureChecker(MAX_LIFETIME_MS + 2 * skewMs);

  function open<Claims>(
    text: string | undefined,
    kind: 'result' | 'accept',
    read: (text: string) => Claims | undefined,
  ): { readonly token: OpenToken; readonly claims: Claims } | Denial {
    if (text === undefined || text === '') return deny('TRELLIS_VERIFY_UNSIGNED', `no ${kind} token`);
    const token = openToken(text, kind);
    if ('fault' in token) {
      return deny(token.fault === 'form' ? 'TRELLIS_VERIFY_FORM' : 'TRELLIS_VERIFY_MALFORMED', `token ${token.reason}`);
    }
    const claims = read(token.claimsText);
    return claims === undefined ? deny('TRELLIS_VERIFY_MALFORMED', 'claims are not in their one spelling') : { token, claims };
  }

  function checkClaims(c: ResultClaims | AcceptClaims, sent: SentRequest, nowMs: number): Denial | undefined {
    if (c.lat !== lattice) return deny('TRELLIS_VERIFY_LATTICE', `made for lattice ${quote(c.lat)}`);
    if (c.req !== sent.digest) return deny('TRELLIS_VERIFY_UNRELATED', 'answers another request');
    if (c.srv !== sent.target) return deny('TRELLIS_VERIFY_SERVER', `${quote(c.srv)} answers for ${quote(sent.target)}`);
    const aheadMs = Math.ceil(c.iat - nowMs);
    if (aheadMs > skewMs) {
      return deny('TRELLIS_VERIFY_EARLY', `issued ${aheadMs} ms ahead of this host's clock, skew allowed is ${skewMs}`);
    }
    const beforeMs = sent.issuedAtMs - c.iat;
    if (beforeMs > skewMs)
      return deny('TRELLIS_VERIFY_EXPIRED', `issued ${beforeMs} ms before its request, skew allowed is ${skewMs}`);
    return undefined;
  }

  function checkSigned(
    sent: SentRequest,
    token: OpenToken,
    c: ResultClaims | AcceptClaims,
    signer: TrustedSigner,
    nowMs: number,
    vouched: () => boolean,
  ): Denial | undefined {
    if (!signer.answersFor(c.srv)) return deny('TRELLIS_VERIFY_SCOPE', `${quote(c.iss)} may not answer for ${quote(c.srv)}`);
    if (signatures.knows(token, c.iss, nowMs)) return undefined;
    const failed = failures.get(sent) ?? 0;
    const free = failed < FREE_FAILURES;
    if (!free && budget?.open === false && !vouched()) {
      return deny('TRELLIS_VERIFY_FLOODED', 'too many answers to this call were forged, and this one has no pass');
    }
    if (signatures.check(token, c.iss, signer.key, nowMs)) return undefined;
    failures.set(sent, failed + 1);
    if (!free) budget?.spend();
    return deny('TRELLIS_VERIFY_SIGNATURE', `not signed by ${quote(c.iss)}`);
  }

  const vouches = (pass: string | undefined, text: string | undefined) => (): boolean =>
    text !== undefined && passes?.vouches(pass, text) === true;

  function result(sent: SentRequest, text: string | undefined, root: ByteParts, pass?: string): VerifiedResult | Denial {
    const opened = open(text, 'result', readResultClaims);
    if (!('claims' in opened)) return opened;
    const { token, claims } = opened;
    const signer = signers.find(claims.iss, claims.kid);
    if ('ok' in signer) return signer;
    const nowMs = time.nowMs();
    const length = byteLengthOf(root);
    const denial =
      checkClaims(claims, sent, nowMs) ??
      (length === claims.len
        ? undefined
        : deny('TRELLIS_VERIFY_PAYLOAD', `${length} result bytes came, ${claims.len} were signed`)) ??
      (resultDigest(root) === claims.dig ? undefined : deny('TRELLIS_VERIFY_PAYLOAD', 'digest of the result differs')) ??
      checkSigned(sent, token, claims, signer, nowMs, vouches(pass, text));
    return denial ?? { ok: true, status: claims.st, inbox: claims.rs };
  }

  function accept(sent: SentRequest, text: string | undefined, pass?: string): VerifiedAccept | Denial {
    const opened = open(text, 'accept', readAcceptClaims);
    if (!('claims' in opened)) return opened;
    const { token, claims } = opened;
    const signer = signers.find(claims.iss, claims.kid);
    if ('ok' in signer) return signer;
    const nowMs = time.nowMs();
    const denial = checkClaims(claims, sent, nowMs) ?? checkSigned(sent, token, claims, signer, nowMs, vouches(pass, text));
    return denial ?? { ok: true, inbox: claims.rs, epk: claims.epk, confirm: claims.cnf === 1, running: claims.run === 1 };
  }

  return {
    stats: signatures.stats,
    result(sent, token, root, pass) {
      try {
        return result(sent, token, root, pass);
      } catch (error) {
        return verifierFailed(error);
      }
    },
    accept(sent, token, pass) {
      try {
        return accept(sent, token, pass);
      } catch (error) {
        return verifierFailed(error);
      }
    },
  };
}
