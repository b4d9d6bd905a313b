import { isToken } from '../ids.ts';
import { ClaimsReader } from './canonical.ts';
import { isDigest } from './claim-values.ts';
import { openDocument, signDocument } from './document.ts';
import { publicKeyKind, type SigningKey } from './nkey.ts';

/** What an issuer takes back before its time. */
export interface RevocationClaims {
  readonly v: 2;
  /** Issued at, milliseconds since the Unix epoch. */
  readonly iat: number;
  /** Lattice. */
  readonly lat: string;
  /** Public key of the signer, `C…`. */
  readonly iss: string;
  /** The public key of a host, a provider or an operator (`N…`, `V…`, `U…`), or the thumbprint of one delegation. */
  readonly sub: string;
  /** Delegations minted before or at this time do not count, milliseconds since the Unix epoch. */
  readonly frm: number;
}

/** The one spelling of revocation claims. */
export function writeRevocationClaims(c: RevocationClaims): string {
  return `{"v":2,"iat":${c.iat},"lat":"${c.lat}","iss":"${c.iss}","sub":"${c.sub}","frm":${c.frm}}`;
}

function isSubject(text: string): boolean {
  if (isDigest(text)) return true;
  const kind = publicKeyKind(text);
  return kind === 'server' || kind === 'service' || kind === 'user';
}

/** The claims of a revocation, or `undefined` unless it is exactly what {@link signRevocation} writes. Never throws. */
export function openRevocation(text: string): RevocationClaims | undefined {
  const claimsText = openDocument(text, 'revocation');
  if (claimsText === undefined) return undefined;
  const reader = new ClaimsReader(claimsText);
  reader.literal('{"v":2,"iat":');
  const iat = reader.integer();
  reader.literal(',"lat":"');
  const lat = reader.value();
  reader.literal('","iss":"');
  const iss = reader.value();
  reader.literal('","sub":"');
  const sub = reader.value();
  reader.literal('","frm":');
  const frm = reader.integer();
  reader.literal('}');
  if (!reader.end()) return undefined;
  return isToken(lat, 64) && publicKeyKind(iss) === 'cluster' && isSubject(sub) ? { v: 2, iat, lat, iss, sub, frm } : undefined;
}

/** Signs a revocation with the key that `claims.iss` names. @throws TRELLIS_TRUST_CLAIMS_INVALID */
export function signRevocation(key: SigningKey, claims: RevocationClaims): string {
  return signDocument(key, 'revocation', claims, writeRevocationClaims, openRevocation);
}
