import { isToken } from '../ids.ts';
import { ClaimsReader } from './canonical.ts';
import { openDocument, readSortedList, signDocument } from './document.ts';
import { publicKeyKind, type SigningKey } from './nkey.ts';

/** Most issuers in one set. */
export const MAX_ISSUERS = 16;

/** Which cluster keys count from now on. A member of the set before signs it. */
export interface IssuerSetClaims {
  readonly v: 2;
  /** Issued at, milliseconds since the Unix epoch. */
  readonly iat: number;
  /** Lattice. */
  readonly lat: string;
  /** Public key of the signer, `C…`. */
  readonly iss: string;
  /** Epoch, at least 1; the configured issuers are epoch 0. */
  readonly epc: number;
  /** Delegations that were minted under a lower epoch do not count. At most `epc`. */
  readonly min: number;
  /** The issuer that should sign now; one of `set`. */
  readonly act: string;
  /** Public cluster keys, a sorted comma list of 1 to {@link MAX_ISSUERS}. */
  readonly set: string;
}

/** The one spelling of issuer set claims. */
export function writeIssuerSetClaims(c: IssuerSetClaims): string {
  return (
    `{"v":2,"iat":${c.iat},"lat":"${c.lat}","iss":"${c.iss}","epc":${c.epc},"min":${c.min},"act":"${c.act}",` +
    `"set":"${c.set}"}`
  );
}

/** The keys that a set names. */
export function issuersOf(claims: IssuerSetClaims): readonly string[] {
  return claims.set.split(',');
}

function isSound(c: IssuerSetClaims): boolean {
  const keys = readSortedList(c.set, (key) => publicKeyKind(key) === 'cluster');
  return (
    isToken(c.lat, 64) &&
    publicKeyKind(c.iss) === 'cluster' &&
    c.epc >= 1 &&
    c.min <= c.epc &&
    keys !== undefined &&
    keys.length <= MAX_ISSUERS &&
    keys.includes(c.act)
  );
}

/** The claims of an issuer set, or `undefined` unless it is exactly what {@link signIssuerSet} writes. Never throws. */
export function openIssuerSet(text: string): IssuerSetClaims | undefined {
  const claimsText = openDocument(text, 'issuers');
  if (claimsText === undefined) return undefined;
  const reader = new ClaimsReader(claimsText);
  reader.literal('{"v":2,"iat":');
  const iat = reader.integer();
  reader.literal(',"lat":"');
  const lat = reader.value();
  reader.literal('","iss":"');
  const iss = reader.value();
  reader.literal('","epc":');
  const epc = reader.integer();
  reader.literal(',"min":');
  const min = reader.integer();
  reader.literal(',"act":"');
  const act = reader.value();
  reader.literal('","set":"');
  const set = reader.value();
  reader.literal('"}');
  if (!reader.end()) return undefined;
  const claims = { v: 2, iat, lat, iss, epc, min, act, set } as const;
  return isSound(claims) ? claims : undefined;
}

/** Signs an issuer set with the key that `claims.iss` names. @throws TRELLIS_TRUST_CLAIMS_INVALID */
export function signIssuerSet(key: SigningKey, claims: IssuerSetClaims): string {
  return signDocument(key, 'issuers', claims, writeIssuerSetClaims, openIssuerSet);
}
