import { isTokenId } from '../trust/claim-values.ts';
import type { TokenFacts } from '../trust/denial.ts';
import { newTokenId } from '../trust/signer.ts';

/**
 * The id of a refusal: that of the refused token if its claims could be read, so that a caller finds its own call, and else a
 * fresh one. 128 bits, 22 base64url characters. Copies of one token share theirs.
 */
export function correlationOf(claims: TokenFacts | undefined): string {
  return claims?.jti ?? newTokenId();
}

/** The id in a `Lattice-Correlation` header, or `undefined` for what could not be one: anybody may have written it. */
export function correlationIn(header: string | undefined): string | undefined {
  return header !== undefined && isTokenId(header) ? header : undefined;
}
