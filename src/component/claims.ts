import { verify } from 'node:crypto';
import { TrellisError } from '../errors.ts';
import { isJsonObject, type JsonObject, parseJsonObject } from '../json-object.ts';
import { parsePublicKey, publicKeyKind } from '../trust/nkey.ts';
import { readSignedSections } from './signed-sections.ts';

/** What a component says of itself, signed by an account key: the claims that `wash claims sign` puts into it. */
export interface EmbeddedClaims {
  /** Public key of the component, `M…`. */
  readonly subject: string;
  /** Public key of the account that signed, `A…`. */
  readonly issuer: string;
  readonly name?: string;
  readonly revision?: number;
  readonly version?: string;
  readonly tags?: readonly string[];
  readonly callAlias?: string;
  /** Milliseconds since the Unix epoch. */
  readonly notBeforeMs?: number;
  readonly expiresMs?: number;
  /** The JWT as it stands in the component. */
  readonly jwt: string;
}

/** What {@link readClaims} found: nothing, claims that hold, or why they do not. */
export type ClaimsReading =
  | { readonly kind: 'none' }
  | { readonly kind: 'good'; readonly claims: EmbeddedClaims }
  | { readonly kind: 'bad'; readonly reason: string };

const MAX_JWT_BYTES = 64 * 1024;
const MAX_TEXT_CHARS = 4_096;
const MAX_TAGS = 1_000;
const MAX_SECONDS = 8_640_000_000_000;
const HASH = /^[0-9A-F]{64}$/;
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * Reads and verifies the claims inside a component: form, times, the account's signature, and that they speak of these very bytes.
 * Only what stands at the top level of the file counts; a nested module may carry the claims of its own past. Never throws.
 *
 * @param nowMs milliseconds since the Unix epoch, for expiry.
 */
export function readClaims(bytes: Uint8Array, nowMs: number): ClaimsReading {
  const signed = readSignedSections(bytes);
  // What cannot be taken apart is no component either; preflight says so in better words.
  if (signed === undefined || signed.jwts.length === 0) return { kind: 'none' };
  if (signed.jwts.length > 1) return bad('the component holds more than one set of claims');
  const [section] = signed.jwts;
  if (section!.length > MAX_JWT_BYTES) return bad(`they have more than ${MAX_JWT_BYTES} bytes`);
  let jwt;
  try {
    jwt = utf8.decode(section);
  } catch {
    return bad('they are not text');
  }
  return readJwt(jwt, signed.hash(), nowMs);
}

/**
 * The verified claims of a component, `undefined` if it is not signed.
 *
 * @param issuers account keys of which one must have signed; any, or none, if empty.
 * @throws TRELLIS_CLAIMS_INVALID, TRELLIS_CLAIMS_ISSUER
 */
export function verifyClaims(
  bytes: Uint8Array,
  options: { readonly nowMs: number; readonly issuers: readonly string[] },
): EmbeddedClaims | undefined {
  const reading = readClaims(bytes, options.nowMs);
  if (reading.kind === 'bad') {
    throw new TrellisError('TRELLIS_CLAIMS_INVALID', {
      message: `the claims inside the component do not hold: ${reading.reason}`,
    });
  }
  const claims = reading.kind === 'good' ? reading.claims : undefined;
  if (options.issuers.length > 0 && (claims === undefined || !options.issuers.includes(claims.issuer))) {
    throw new TrellisError('TRELLIS_CLAIMS_ISSUER', {
      message:
        claims === undefined
          ? 'the component is not signed, and artifacts.issuers says who has to'
          : `the component is signed by ${claims.issuer}, which is not one of artifacts.issuers`,
      details: claims === undefined ? {} : { issuer: claims.issuer, subject: claims.subject },
    });
  }
  return claims;
}

/** Reads and verifies a JWT whose hash has to be `hash` (64 upper-case hexadecimal digits). Never throws. */
export function readJwt(jwt: string, hash: string, nowMs: number): ClaimsReading {
  const parts = jwt.split('.');
  if (parts.length !== 3) return bad('they are no JWT of three parts');
  const [head, body, signature] = parts.map(fromBase64url);
  if (head === undefined || body === undefined || signature === undefined) return bad('a part of the JWT is not base64url');
  const header = toObject(head);
  if (header?.['typ'] !== 'jwt' || header['alg'] !== 'Ed25519') return bad('the header of the JWT is not that of wascap');
  const claims = toObject(body);
  const wascap = claims?.['wascap'];
  if (claims === undefined || !isJsonObject(wascap)) return bad('the JWT holds no claims of a component');
  const { iss, sub } = claims;
  const key = typeof iss === 'string' ? parsePublicKey(iss) : undefined;
  if (typeof iss !== 'string' || key?.ok !== true || key.kind !== 'account') return bad('their issuer is no account key');
  if (typeof sub !== 'string' || publicKeyKind(sub) !== 'module') return bad('their subject is no module key');
  // Before anything is believed of what follows.
  if (signature.length !== 64 || !verify(null, Buffer.from(`${parts[0]!}.${parts[1]!}`, 'latin1'), key.key, signature)) {
    return bad(`they are not signed by ${iss}`);
  }
  const expires = secondsOf(claims['exp']);
  const notBefore = secondsOf(claims['nbf']);
  if (expires === 'malformed' || notBefore === 'malformed') return bad('a time in them is malformed');
  if (expires !== undefined && expires * 1_000 < nowMs) return bad(`they expired at ${new Date(expires * 1_000).toISOString()}`);
  if (notBefore !== undefined && notBefore * 1_000 > nowMs) {
    return bad(`they count from ${new Date(notBefore * 1_000).toISOString()} on`);
  }
  const { name, hash: claimed, tags, rev, ver, call_alias: alias } = wascap;
  if (typeof claimed !== 'string' || !HASH.test(claimed)) return bad('they hold no hash of the component');
  if (claimed !== hash) return bad('they speak of other bytes');
  if (wascap['prov'] === true) return bad('they speak of a provider');
  if (![name, ver, alias].every(isOptionalText)) return bad('a text in them is malformed');
  if (rev !== undefined && rev !== null && !Number.isSafeInteger(rev)) return bad('their revision is malformed');
  if (tags !== undefined && tags !== null && !isTextList(tags)) return bad('their tags are malformed');
  return {
    kind: 'good',
    claims: {
      subject: sub,
      issuer: iss,
      ...given('name', name as string),
      ...given('revision', rev as number),
      ...given('version', ver as string),
      ...given('tags', tags as string[]),
      ...given('callAlias', alias as string),
      ...given('notBeforeMs', notBefore === undefined ? undefined : notBefore * 1_000),
      ...given('expiresMs', expires === undefined ? undefined : expires * 1_000),
      jwt,
    },
  };
}

const bad = (reason: string): ClaimsReading => ({ kind: 'bad', reason });

function given<Key extends string, Value>(key: Key, value: Value | null | undefined): { readonly [K in Key]?: Value } {
  return value === undefined || value === null ? {} : ({ [key]: value } as { readonly [K in Key]: Value });
}

function fromBase64url(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64url');
  // Node reads past what is no base64url; only the one right spelling comes back the same.
  return bytes.toString('base64url') === text ? bytes : undefined;
}

function toObject(bytes: Uint8Array): JsonObject | undefined {
  try {
    return parseJsonObject(utf8.decode(bytes));
  } catch {
    return undefined;
  }
}

function secondsOf(value: unknown): number | undefined | 'malformed' {
  if (value === undefined || value === null) return undefined;
  return Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) <= MAX_SECONDS
    ? (value as number)
    : 'malformed';
}

const isOptionalText = (value: unknown): boolean =>
  value === undefined || value === null || (typeof value === 'string' && value.length <= MAX_TEXT_CHARS);

const isTextList = (value: unknown): boolean =>
  Array.isArray(value) &&
  value.length <= MAX_TAGS &&
  value.every((item) => typeof item === 'string' && item.length <= MAX_TEXT_CHARS);
