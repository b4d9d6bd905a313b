/** Cutting up tokens that were heard on the wire, without any key. */

/** The three parts of a token. */
export interface TokenParts {
  readonly header: string;
  /** Claims as text. */
  readonly claims: string;
  readonly proof: Buffer;
}

/** Takes a token apart without any check. */
export function partsOf(token: string): TokenParts {
  const [header = '', claims = '', proof = ''] = token.split('.');
  return { header, claims: Buffer.from(claims, 'base64url').toString('latin1'), proof: Buffer.from(proof, 'base64url') };
}

/** Puts parts together again. */
export function joined({ header, claims, proof }: TokenParts): string {
  return `${header}.${Buffer.from(claims, 'latin1').toString('base64url')}.${proof.toString('base64url')}`;
}

/** The same token with an edited claims text; its proof stays what it was. */
export function edited(token: string, from: string | RegExp, to: string): string {
  const parts = partsOf(token);
  return joined({ ...parts, claims: parts.claims.replace(from, to) });
}

/** The claims of a token as strings by name, or `undefined` if they are no JSON. */
export function claimsIn(token: string): Record<string, string> | undefined {
  try {
    return JSON.parse(partsOf(token).claims) as Record<string, string>;
  } catch {
    return undefined;
  }
}

// The order of the group that Ed25519 signatures live in (RFC 8032): s + L is a second spelling of s.
const ORDER = 2n ** 252n + 27742317777372353535851937790883648493n;

/** The same signature, spelt a second way. */
export function malleated(proof: Buffer): Buffer {
  const other = Buffer.from(proof);
  const s = BigInt(`0x${Buffer.from(proof.subarray(32, 64)).reverse().toString('hex')}`) + ORDER;
  other.set(Buffer.from(s.toString(16).padStart(64, '0'), 'hex').reverse(), 32);
  return other;
}
