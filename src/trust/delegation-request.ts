import { verify } from 'node:crypto';
import { isToken } from '../ids.ts';
import { ClaimsReader, decodeBase64url, decodeBase64urlText, textDigest } from './canonical.ts';
import { isTokenId } from './claim-values.ts';
import { parsePublicKey, type SigningKey } from './nkey.ts';
import { isScope } from './scope.ts';
import { newTokenId } from './signer.ts';

/**
 * What a host or an operator sends to the issuer service: `dlr2s.claims.proof`, signed by the key that the delegation is for and, where the
 * ctl connection has credentials, by the key of that NATS user. Both sign the same text, so neither can be lifted into
 * another request.
 */

/** The claims of a delegation request, in the order they are written. */
export interface DelegationRequest {
  /** Id of this request, 22 characters. */
  readonly jti: string;
  /** When it was made, milliseconds since the epoch. */
  readonly iat: number;
  /** Lattice. */
  readonly lat: string;
  /** Public key of the host (`N…`), or of an operator (`U…`) if there is a `ctl`. */
  readonly sub: string;
  /** Public key of the NATS user (`U…`); absent on a connection without credentials. */
  readonly usr?: string;
  /** Components it wants to speak for: `*`, or ids, sorted, separated by commas. */
  readonly org: string;
  /** Components it wants to answer for, in the same form. */
  readonly tgt: string;
  /** Commands that an operator wants to give, by their nouns, in the same form, never empty; such a request wants no components. */
  readonly ctl?: string;
}

const HEADER = 'dlr2s';
const SIGNATURE_BYTES = 64;
/** Longest request text, characters. */
const MAX_REQUEST_CHARS = 8192;
const requestDigest = textDigest('dlr');

/** Who proves that a request is theirs. */
export interface RequestSigners {
  /** The key that the delegation is for: of a host, or of an operator. */
  readonly holder: SigningKey;
  /** Public key of the NATS user and a function that signs with it; `undefined` without credentials. */
  readonly user: { readonly publicKey: string; sign(data: Uint8Array): Buffer } | undefined;
}

/** Writes and signs a request. */
export function signDelegationRequest(
  signers: RequestSigners,
  claims: Pick<DelegationRequest, 'iat' | 'lat' | 'org' | 'tgt' | 'ctl'>,
): string {
  const { holder, user } = signers;
  const usr = user === undefined ? {} : { usr: user.publicKey };
  const text = writeClaims({ jti: newTokenId(), sub: holder.publicKey, ...usr, ...claims });
  const signedText = `${HEADER}.${Buffer.from(text).toString('base64url')}`;
  const digest = Buffer.from(requestDigest(signedText, 'binary'), 'latin1');
  const proofs = user === undefined ? [holder.sign(digest)] : [holder.sign(digest), user.sign(digest)];
  return `${signedText}.${Buffer.concat(proofs).toString('base64url')}`;
}

/**
 * The claims of a request that was signed by the keys it names, or `undefined`. Costs up to two Ed25519 checks. Never throws.
 * Lattice and time are for the caller to judge.
 */
export function openDelegationRequest(text: string): DelegationRequest | undefined {
  if (text.length > MAX_REQUEST_CHARS) return undefined;
  const [header, claimsPart, proofPart, ...more] = text.split('.');
  if (header !== HEADER || claimsPart === undefined || proofPart === undefined || more.length > 0) return undefined;
  const claimsText = decodeBase64urlText(claimsPart);
  const proof = decodeBase64url(proofPart);
  const claims = claimsText === undefined ? undefined : readClaims(claimsText);
  if (claims === undefined || proof === undefined) return undefined;
  const keys = [parsePublicKey(claims.sub), ...(claims.usr === undefined ? [] : [parsePublicKey(claims.usr)])];
  if (proof.length !== keys.length * SIGNATURE_BYTES) return undefined;
  const digest = Buffer.from(requestDigest(`${header}.${claimsPart}`, 'binary'), 'latin1');
  const holderKind = claims.ctl === undefined ? 'server' : 'user';
  const good = keys.every((key, index) => {
    if (!key.ok || key.kind !== (index === 0 ? holderKind : 'user')) return false;
    return verify(null, digest, key.key, proof.subarray(index * SIGNATURE_BYTES, (index + 1) * SIGNATURE_BYTES));
  });
  return good ? claims : undefined;
}

function writeClaims(c: DelegationRequest): string {
  const usr = c.usr === undefined ? '' : `,"usr":"${c.usr}"`;
  const ctl = c.ctl === undefined ? '' : `,"ctl":"${c.ctl}"`;
  return `{"v":2,"jti":"${c.jti}","iat":${c.iat},"lat":"${c.lat}","sub":"${c.sub}"${usr},"org":"${c.org}","tgt":"${c.tgt}"${ctl}}`;
}

function readClaims(text: string): DelegationRequest | undefined {
  const reader = new ClaimsReader(text);
  reader.literal('{"v":2,"jti":"');
  const jti = reader.value();
  reader.literal('","iat":');
  const iat = reader.integer();
  reader.literal(',"lat":"');
  const lat = reader.value();
  reader.literal('","sub":"');
  const sub = reader.value();
  const usr = reader.optional('","usr":"') ? reader.value() : undefined;
  reader.literal('","org":"');
  const org = reader.value();
  reader.literal('","tgt":"');
  const tgt = reader.value();
  const ctl = reader.optional('","ctl":"') ? reader.value() : undefined;
  reader.literal('"}');
  if (!reader.end() || !isTokenId(jti) || !isToken(lat, 64) || !isScope(org) || !isScope(tgt)) return undefined;
  if (ctl !== undefined && (ctl === '' || !isScope(ctl) || org !== '' || tgt !== '')) return undefined;
  return { jti, iat, lat, sub, ...(usr === undefined ? {} : { usr }), org, tgt, ...(ctl === undefined ? {} : { ctl }) };
}
