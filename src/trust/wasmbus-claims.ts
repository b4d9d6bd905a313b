import { createHash, randomBytes } from 'node:crypto';
import { decodeBase64url, isPlainValue } from './canonical.ts';
import type { SigningKey } from './nkey.ts';

/**
 * The token of wasmCloud 0.82: a JWT over two URLs and a hash of the whole call. Its form is given, with its weaknesses: no
 * expiry, no lengths in the hash, names that fold into one URL. What we write has one spelling, byte for byte that of the Rust
 * host; what we read may order its keys otherwise, and is otherwise as strict.
 */

/** One end of a call, as the hash and the URLs see it. */
export interface WasmbusParty {
  readonly publicKey: string;
  readonly linkName: string;
  readonly contractId: string;
}

/** The claims of an invocation. Times are whole seconds since the Unix epoch. */
export interface WasmbusClaims {
  /** Not after; no known sender sets it. */
  readonly exp: number | undefined;
  /** Unique id, 22 characters from every known sender. */
  readonly jti: string;
  readonly iat: number;
  /** Public cluster key of the signer. */
  readonly iss: string;
  /** Id of the invocation. */
  readonly sub: string;
  /** Not before; no known sender sets it. */
  readonly nbf: number | undefined;
  readonly targetUrl: string;
  readonly originUrl: string;
  /** 64 upper-case hexadecimal digits, see {@link wasmbusHash}. */
  readonly hash: string;
}

/** A token taken apart. Nothing in it is trusted yet. */
export interface OpenWasmbusToken {
  readonly claims: WasmbusClaims;
  /** What the signature covers. */
  readonly signedText: string;
  readonly signature: Buffer;
}

/** Why a token could not be taken apart: `form` is a foreign header, `malformed` everything else. */
export interface WasmbusTokenFault {
  readonly fault: 'form' | 'malformed';
  readonly reason: string;
}

const MAX_TOKEN_CHARS = 4096;
const SIGNATURE_BYTES = 64;
const REVISION = 3;
const HEADER = Buffer.from('{"typ":"jwt","alg":"Ed25519"}').toString('base64url');
// The same two values in the other order: the only other text that says the same.
const HEADERS: ReadonlySet<string> = new Set([HEADER, Buffer.from('{"alg":"Ed25519","typ":"jwt"}').toString('base64url')]);
const HASH = /^[0-9A-F]{64}$/;
// Printable ASCII without the backslash: no escape can give a text a second spelling.
const PLAIN_JSON = /^[\x20-\x5b\x5d-\x7e]+$/;

/** The URL of one end. Contract and link of a key that begins with M are not in it, so a verifier must not let them be there. */
export function wasmbusUrl(party: WasmbusParty): string {
  const { publicKey, contractId, linkName } = party;
  if (publicKey.toUpperCase().startsWith('M')) return `wasmbus://${publicKey}`;
  const contract = contractId.replaceAll(':', '/').replaceAll(' ', '_').toLowerCase();
  return `wasmbus://${contract}/${linkName.replaceAll(' ', '_').toLowerCase()}/${publicKey}`;
}

/** What a token says about a call, but for its payload. */
export interface WasmbusCallText {
  readonly originUrl: string;
  /** With the operation. */
  readonly targetUrl: string;
  readonly operation: string;
}

/** The URLs of a call. */
export function wasmbusCallText(origin: WasmbusParty, target: WasmbusParty, operation: string): WasmbusCallText {
  return { originUrl: wasmbusUrl(origin), targetUrl: `${wasmbusUrl(target)}/${operation}`, operation };
}

/** The hash of a call: SHA-256 over origin, target, operation and payload, without separators, as upper-case hexadecimal. */
export function wasmbusHash(call: WasmbusCallText, payload: Uint8Array): string {
  const digest = createHash('sha256')
    .update(call.originUrl + call.targetUrl + call.operation, 'utf8')
    .update(payload);
  return digest.digest('hex').toUpperCase();
}

function claimsText(c: WasmbusClaims): string {
  const exp = c.exp === undefined ? '' : `"exp":${c.exp},`;
  const nbf = c.nbf === undefined ? '' : `"nbf":${c.nbf},`;
  return (
    `{${exp}"jti":"${c.jti}","iat":${c.iat},"iss":"${c.iss}","sub":"${c.sub}",${nbf}` +
    `"wascap":{"target_url":"${c.targetUrl}","origin_url":"${c.originUrl}","hash":"${c.hash}"},"wascap_revision":${REVISION}}`
  );
}

/** The token over `claims`; `undefined` if a text of them cannot be written without escapes. */
export function signWasmbusClaims(claims: WasmbusClaims, key: SigningKey): string | undefined {
  if (![claims.jti, claims.sub, claims.targetUrl, claims.originUrl].every(isPlainValue)) return undefined;
  const signedText = `${HEADER}.${Buffer.from(claimsText(claims)).toString('base64url')}`;
  return `${signedText}.${key.sign(Buffer.from(signedText, 'latin1')).toString('base64url')}`;
}

const LETTERS = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';

/** A new id of the form that 0.82 gives its tokens: 22 letters and digits, 125 random bits or more. */
export function newWasmbusTokenId(): string {
  let id = '';
  for (const byte of randomBytes(22)) id += LETTERS[byte % LETTERS.length];
  return id;
}

type Json = Readonly<Record<string, unknown>>;

/** True if `value` is an object with no other keys than these. */
function isObjectOf(value: unknown, keys: readonly string[]): value is Json {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  return Object.keys(value).every((key) => keys.includes(key));
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== '';
}

function isSeconds(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isOptionalSeconds(value: unknown): value is number | undefined {
  return value === undefined || isSeconds(value);
}

const CLAIM_KEYS = ['exp', 'jti', 'iat', 'iss', 'sub', 'nbf', 'wascap', 'wascap_revision'];
const WASCAP_KEYS = ['target_url', 'origin_url', 'hash'];

function readClaims(text: string): WasmbusClaims | undefined {
  if (!PLAIN_JSON.test(text)) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  // What is written again is the text itself only if no key came twice, no white space stood between, and numbers are plain.
  if (JSON.stringify(value) !== text || !isObjectOf(value, CLAIM_KEYS)) return undefined;
  const { exp, jti, iat, iss, sub, nbf, wascap, wascap_revision: revision } = value;
  if (!isText(jti) || !isSeconds(iat) || !isText(iss) || !isText(sub)) return undefined;
  if (!isOptionalSeconds(exp) || !isOptionalSeconds(nbf) || !isOptionalSeconds(revision)) return undefined;
  if (!isObjectOf(wascap, WASCAP_KEYS)) return undefined;
  const { target_url: targetUrl, origin_url: originUrl, hash: digest } = wascap;
  if (!isText(targetUrl) || !isText(originUrl) || !isText(digest) || !HASH.test(digest)) return undefined;
  return { exp, jti, iat, iss, sub, nbf, targetUrl, originUrl, hash: digest };
}

/** Takes a token apart: size, three parts, header, one spelling of each part, types of the claims. No cryptography; never throws. */
export function openWasmbusToken(text: string): OpenWasmbusToken | WasmbusTokenFault {
  if (text.length > MAX_TOKEN_CHARS) {
    return { fault: 'malformed', reason: `${text.length} characters, at most ${MAX_TOKEN_CHARS} are read` };
  }
  const parts = text.split('.');
  if (parts.length !== 3) return { fault: 'malformed', reason: `has ${parts.length} parts, not three` };
  const [header, body, proof] = parts as [string, string, string];
  if (!HEADERS.has(header)) return { fault: 'form', reason: 'is no Ed25519 token of wasmCloud 0.82' };
  const claimsBytes = decodeBase64url(body);
  const signature = decodeBase64url(proof);
  if (claimsBytes === undefined || signature === undefined) {
    return { fault: 'malformed', reason: 'is not spelt in canonical base64url' };
  }
  if (signature.length !== SIGNATURE_BYTES) {
    return { fault: 'malformed', reason: `proof has ${signature.length} bytes, a signature has ${SIGNATURE_BYTES}` };
  }
  const claims = readClaims(claimsBytes.toString('latin1'));
  if (claims === undefined) return { fault: 'malformed', reason: 'claims are not those of an invocation' };
  return { claims, signedText: `${header}.${body}`, signature };
}
