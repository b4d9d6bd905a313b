import { ClaimsReader } from './canonical.ts';
import { isDigest, isKid, isPlainSubject, kidText, readKid } from './claim-values.ts';
import { isToken } from '../ids.ts';

/**
 * What a caller signs when a server asks it whether this very server may run the call. The inbox is the server's own, made for
 * this call and unguessable: who replays a request gets an accept too, but cannot confirm it.
 */
export interface ConfirmClaims {
  readonly v: 2;
  /** Digest of the request token. */
  readonly req: string;
  /** Issued at, milliseconds since the Unix epoch. */
  readonly iat: number;
  /** Lattice. */
  readonly lat: string;
  /** Public key of the signer: the request's. */
  readonly iss: string;
  /** Thumbprint of the delegation that lets it sign; absent when a cluster issuer signs itself. */
  readonly kid?: string;
  /** The inbox of the accept that is confirmed. */
  readonly rs: string;
}

/** The one spelling of confirm claims. */
export function writeConfirmClaims(c: ConfirmClaims): string {
  return `{"v":2,"req":"${c.req}","iat":${c.iat},"lat":"${c.lat}","iss":"${c.iss}"${kidText(c.kid)},"rs":"${c.rs}"}`;
}

/** Confirm claims from their text, or `undefined` unless it is exactly what {@link writeConfirmClaims} writes. */
export function readConfirmClaims(text: string): ConfirmClaims | undefined {
  const reader = new ClaimsReader(text);
  reader.literal('{"v":2,"req":"');
  const req = reader.value();
  reader.literal('","iat":');
  const iat = reader.integer();
  reader.literal(',"lat":"');
  const lat = reader.value();
  reader.literal('","iss":"');
  const iss = reader.value();
  const kid = readKid(reader);
  reader.literal('","rs":"');
  const rs = reader.value();
  reader.literal('"}');
  if (!reader.end() || !isDigest(req) || !isToken(lat, 64) || !isKid(kid) || !isPlainSubject(rs)) return undefined;
  return { v: 2, req, iat, lat, iss, ...(kid === undefined ? {} : { kid }), rs };
}
