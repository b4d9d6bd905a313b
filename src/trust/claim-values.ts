import { TrellisError } from '../errors.ts';
import { type ClaimsReader, isPlainValue } from './canonical.ts';
import { MAX_CLAIMS_CHARS } from './token.ts';

// 16 bytes in base64url: 21 free characters and one that carries two bits, the other four being zero.
const ID = /^[A-Za-z0-9_-]{21}[AQgw]$/;
// 32 bytes: the last character carries four bits.
const DIGEST = /^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$/;
const SUBJECT = /^(?!\$)(?:[!-)+-=?-~]+)$/;

/** True for a 128-bit id in its one spelling of 22 base64url characters. */
export function isTokenId(value: string): boolean {
  return ID.test(value);
}

/** True for a SHA-256 digest in its one spelling of 43 base64url characters. */
export function isDigest(value: string): boolean {
  return DIGEST.test(value);
}

/** True for a subject that names exactly one place: printable ASCII without blanks and wildcards, at most 512 characters. */
export function isPlainSubject(value: string): boolean {
  return value.length <= 512 && SUBJECT.test(value) && !value.startsWith('.') && !value.endsWith('.') && !value.includes('..');
}

/** The `kid` claim as it stands behind `iss`: the key is absent without a delegation, so that there is one spelling. */
export function kidText(kid: string | undefined): string {
  return kid === undefined ? '' : `,"kid":"${kid}"`;
}

/** Reads what {@link kidText} writes, from before the quote that ends `iss`. */
export function readKid(reader: ClaimsReader): string | undefined {
  return reader.optional('","kid":"') ? reader.value() : undefined;
}

/** True for an absent `kid`, and for a thumbprint. */
export function isKid(kid: string | undefined): boolean {
  return kid === undefined || isDigest(kid);
}

/** The `epk` claim as it stands at the end of a request, and behind `rs` in an accept: absent without streams. */
export function epkText(epk: string | undefined): string {
  return epk === undefined ? '' : `,"epk":"${epk}"`;
}

/** Reads what {@link epkText} writes, from before the quote that ends the value in front of it. */
export function readEpk(reader: ClaimsReader): string | undefined {
  return reader.optional('","epk":"') ? reader.value() : undefined;
}

/** True for an absent `epk`, and for 32 bytes in their one spelling. */
export function isEpk(epk: string | undefined): boolean {
  return epk === undefined || isDigest(epk);
}

/**
 * Refuses what could not be read back: `values` are the strings a caller put into claims, `text` the finished claims.
 * @throws TRELLIS_TRUST_CLAIMS_INVALID
 */
export function checkWritable(text: string, ...values: readonly string[]): void {
  if (text.length > MAX_CLAIMS_CHARS) {
    throw new TrellisError('TRELLIS_TRUST_CLAIMS_INVALID', {
      message: `The names and subjects of this call are too long to sign (${text.length} characters, at most ${MAX_CLAIMS_CHARS})`,
    });
  }
  if (values.every(isPlainValue)) return;
  throw new TrellisError('TRELLIS_TRUST_CLAIMS_INVALID', {
    message: 'A name or subject of this call holds a quote, a backslash or a character outside printable ASCII',
  });
}
