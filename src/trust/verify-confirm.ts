import { quote } from '../ids.ts';
import { readConfirmClaims } from './confirm-token.ts';
import { type Denial, deny, verifierFailed } from './denial.ts';
import type { WorkBudget } from './work-budget.ts';
import type { SignerDirectory } from './issuers.ts';
import type { RequestClaims } from './request-token.ts';
import type { SignatureChecker } from './signatures.ts';
import { openToken, requestDigest } from './token.ts';
import type { TrustedTime } from './trusted-time.ts';

/** What a {@link ConfirmVerifier} is made of. */
export interface ConfirmVerifierOptions {
  readonly lattice: string;
  readonly signers: SignerDirectory;
  readonly time: TrustedTime;
  readonly skewMs: number;
  readonly signatures: SignatureChecker;
  /** Bounds the failed checks beyond the first of each call; without it nothing does. */
  readonly budget?: WorkBudget | undefined;
}

/** Failed checks that each call has for itself. */
const FREE_FAILURES = 2;

/** The request that is to be confirmed; its own token has been verified. */
export interface ToConfirm {
  readonly token: string;
  readonly claims: RequestClaims;
}

/** Judges the word of a caller that this server, and no other, shall run a call. Never throws. */
export type ConfirmVerifier = (request: ToConfirm, token: string | undefined, inbox: string) => { readonly ok: true } | Denial;

/**
 * Makes the judge of confirmations. Order of checks: form, the signer of the request, lattice, the request, this server's inbox,
 * times, scope, room in the budget of failed checks, signature.
 */
export function createConfirmVerifier(options: ConfirmVerifierOptions): ConfirmVerifier {
  const { lattice, signers, time, skewMs, signatures, budget } = options;
  const failures = new WeakMap<ToConfirm, number>();

  function judge(toConfirm: ToConfirm, text: string | undefined, inbox: string): Denial | undefined {
    const { token: requestToken, claims: request } = toConfirm;
    if (text === undefined || text === '') return deny('TRELLIS_VERIFY_UNCONFIRMED', 'no confirm token');
    const token = openToken(text, 'confirm');
    if ('fault' in token) {
      return deny(token.fault === 'form' ? 'TRELLIS_VERIFY_FORM' : 'TRELLIS_VERIFY_MALFORMED', `token ${token.reason}`);
    }
    const claims = readConfirmClaims(token.claimsText);
    if (claims === undefined) return deny('TRELLIS_VERIFY_MALFORMED', 'claims are not in their one spelling');
    if (claims.iss !== request.iss) return deny('TRELLIS_VERIFY_ISSUER', 'not confirmed by who signed the request');
    if (claims.lat !== lattice) return deny('TRELLIS_VERIFY_LATTICE', `made for lattice ${quote(claims.lat)}`);
    if (claims.req !== requestDigest(requestToken)) return deny('TRELLIS_VERIFY_UNRELATED', 'confirms another request');
    if (claims.rs !== inbox) return deny('TRELLIS_VERIFY_UNRELATED', 'confirms another accept');
    const signer = signers.find(claims.iss, claims.kid);
    if ('ok' in signer) return signer;
    const nowMs = time.nowMs();
    if (claims.iat - nowMs > skewMs) return deny('TRELLIS_VERIFY_EARLY', "issued ahead of this host's clock");
    if (request.iat - claims.iat > skewMs) return deny('TRELLIS_VERIFY_EXPIRED', 'issued before its request');
    if (!signer.speaksFor(request.org)) {
      return deny('TRELLIS_VERIFY_SCOPE', `${quote(claims.iss)} may not speak for ${quote(request.org)}`);
    }
    const failed = failures.get(toConfirm) ?? 0;
    const free = failed < FREE_FAILURES;
    if (!free && budget?.open === false && !signatures.knows(token, claims.iss, nowMs)) {
      return deny('TRELLIS_VERIFY_FLOODED', 'too many confirmations of this call were forged');
    }
    if (signatures.check(token, claims.iss, signer.key, nowMs)) return undefined;
    failures.set(toConfirm, failed + 1);
    if (!free) budget?.spend();
    return deny('TRELLIS_VERIFY_SIGNATURE', `not signed by ${quote(claims.iss)}`);
  }

  return (request, token, inbox) => {
    try {
      return judge(request, token, inbox) ?? { ok: true };
    } catch (error) {
      return verifierFailed(error);
    }
  };
}
