import { createHash, verify } from 'node:crypto';
import { TrellisError } from '../errors.ts';
import { encodeBase32 } from '../trust/base32.ts';
import { decodeBase64url } from '../trust/canonical.ts';
import { type KeyKind, parsePublicKey, type SigningKey } from '../trust/nkey.ts';
import { CLAIMS_SHAPES, type ClaimsKind, type ClaimsOf, type NatsClaims, type Unsigned } from './claims-shape.ts';

/** Largest JWT that is written or read; the server's own limit. */
export const MAX_JWT_CHARS = 1024 * 1024;

const HEADER = Buffer.from('{"typ":"JWT","alg":"ed25519-nkey"}').toString('base64url');

/** Who may sign what, and whom it may be about; `generic` is open. */
const KEYS: Readonly<Record<Exclude<ClaimsKind, 'generic'>, { readonly sub: KeyKind; readonly iss: readonly KeyKind[] }>> = {
  operator: { sub: 'operator', iss: ['operator'] },
  account: { sub: 'account', iss: ['operator', 'account'] },
  user: { sub: 'user', iss: ['account'] },
  activation: { sub: 'account', iss: ['account', 'operator'] },
};

/** What {@link readNatsJwt} gives back. `reason` completes "The JWT …" and repeats nothing of the text. */
export type ReadNatsJwt<Kind extends ClaimsKind = ClaimsKind> =
  | { readonly ok: true; readonly kind: Kind; readonly claims: ClaimsOf<Kind> }
  | { readonly ok: false; readonly reason: string };

/** JSON as Go writes it, so that the digest is the one `nsc` would have written. */
function goJson(value: unknown): string {
  return JSON.stringify(value).replace(/[<>&\u2028\u2029]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** The outer claims in the order in which `nsc` writes them, without what is absent or empty. */
function outerClaims(claims: Unsigned<NatsClaims>, iss: string, jti: string | undefined): Record<string, unknown> {
  const { aud, exp, iat, name, nbf, sub } = claims;
  const present = Object.entries({ aud, exp, jti, iat, iss, name, nbf, sub });
  return Object.fromEntries(present.filter(([, value]) => value !== undefined && value !== '' && value !== 0));
}

/**
 * Signs claims as a NATS JWT of version 2. `iss` becomes the key's public form, and `jti` what `nsc` writes: base32 of the
 * SHA-512/256 of the outer claims without it. A resolver takes two account JWTs of one `jti` for the same one, so a changed account
 * needs a later `iat`.
 *
 * @throws TRELLIS_AUTH_CLAIMS if this kind of key cannot sign such claims, or they are not sound
 */
export function signNatsJwt(claims: Unsigned<NatsClaims>, key: SigningKey): string {
  const id = encodeBase32(
    createHash('sha512-256')
      .update(goJson(outerClaims(claims, key.publicKey, undefined)))
      .digest(),
  );
  const signed = { ...outerClaims(claims, key.publicKey, id), nats: claims.nats };
  const text = `${HEADER}.${Buffer.from(goJson(signed)).toString('base64url')}`;
  const jwt = `${text}.${key.sign(Buffer.from(text)).toString('base64url')}`;
  const read = readNatsJwt(jwt);
  if (!read.ok) throw new TrellisError('TRELLIS_AUTH_CLAIMS', { message: `A JWT that was to be signed ${read.reason}` });
  return jwt;
}

const refused = (reason: string): { readonly ok: false; readonly reason: string } => ({ ok: false, reason });

/**
 * Reads a NATS JWT of version 2: size, three parts in canonical base64url, the one header, claims in compact JSON without
 * repeated names, keys of the right kinds, the shape of the claims, and the signature by `iss`. Whether `iss` may sign for an
 * account or an operator, and whether the JWT is still valid, is for the caller. Never throws.
 *
 * @param kind refuse every other kind
 */
export function readNatsJwt<Kind extends ClaimsKind = ClaimsKind>(text: string, kind?: Kind): ReadNatsJwt<Kind> {
  if (typeof text !== 'string') return refused('is not a text');
  if (text.length > MAX_JWT_CHARS) return refused(`has ${text.length} characters, at most ${MAX_JWT_CHARS} are read`);
  const parts = text.split('.', 4);
  const [header, body, proof] = parts;
  if (parts.length !== 3) return refused('does not have three parts');
  if (header !== HEADER && !isHeader(header!)) return refused('is no NATS JWT of version 2 (ed25519-nkey)');
  const claims = readJson(body!);
  if (claims === undefined) return refused('holds claims that are not compact JSON, or repeat a name');
  const signature = decodeBase64url(proof!);
  if (signature?.length !== 64) return refused('does not end in a signature');
  const fault = claimsFault(claims, kind);
  if (fault !== undefined) return refused(fault);
  const { iss } = claims as NatsClaims;
  const issuer = parsePublicKey(iss);
  // The message of a refusal of a key completes "the key …".
  if (!issuer.ok) return refused(`names an issuer that ${issuer.reason}`);
  if (!verify(null, Buffer.from(`${header}.${body}`), issuer.key, signature)) {
    return refused('is not signed by the issuer it names');
  }
  return { ok: true, kind: (claims as NatsClaims).nats.type as Kind, claims: claims as ClaimsOf<Kind> };
}

/** Go's library writes the header in one way; others change the order, and may write `jwt` in lower case. */
function isHeader(part: string): boolean {
  const header = readJson(part);
  if (typeof header !== 'object' || header === null) return false;
  const { typ, alg, ...rest } = header as Record<string, unknown>;
  return typeof typ === 'string' && typ.toUpperCase() === 'JWT' && alg === 'ed25519-nkey' && Object.keys(rest).length === 0;
}

/**
 * The JSON of a part, or `undefined` unless it is spelt as JSON.stringify or Go spells it. So a name cannot stand twice, which
 * readers would answer in different ways, and no number is beyond what is kept exactly.
 */
function readJson(part: string): unknown {
  const bytes = decodeBase64url(part);
  if (bytes === undefined) return undefined;
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    const value: unknown = JSON.parse(text);
    return text === JSON.stringify(value) || text === goJson(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function claimsFault(claims: unknown, wanted: ClaimsKind | undefined): string | undefined {
  const kind = kindOf(claims);
  if (kind === undefined) return 'does not say what it is for, or is of version 1';
  if (wanted !== undefined && kind !== wanted) return `is one of ${kind}, and one of ${wanted} is needed`;
  const shape = CLAIMS_SHAPES[kind].safeParse(claims);
  if (!shape.success) {
    const at = shape.error.issues[0]?.path.filter((step) => typeof step === 'number' || /^[a-z_]+$/.test(String(step)));
    return `has a wrong value at ${at === undefined || at.length === 0 ? 'its top' : at.join('.')}`;
  }
  if (kind === 'generic') return undefined;
  const { sub, iss } = shape.data;
  const allowed = KEYS[kind];
  const subject = parsePublicKey(sub);
  if (!subject.ok || subject.kind !== allowed.sub) return `is not about the public key of ${withArticle(allowed.sub)}`;
  const issuer = parsePublicKey(iss);
  if (!issuer.ok || !allowed.iss.includes(issuer.kind)) return `is not signed by ${withArticle(allowed.iss[0]!)}`;
  return undefined;
}

const withArticle = (kind: KeyKind): string => `${/^[ao]/.test(kind) ? 'an' : 'a'} ${kind}`;

function kindOf(claims: unknown): ClaimsKind | undefined {
  const nats = (claims as { nats?: unknown } | null)?.nats as { type?: unknown; version?: unknown } | null | undefined;
  const type = nats?.type;
  if (typeof type !== 'string' || nats?.version !== 2 || !Object.hasOwn(CLAIMS_SHAPES, type)) return undefined;
  return type as ClaimsKind;
}
