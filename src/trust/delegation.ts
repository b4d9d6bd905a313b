import { isToken } from '../ids.ts';
import { ClaimsReader, textDigest } from './canonical.ts';
import { isDigest, isTokenId } from './claim-values.ts';
import { openDocument, signDocument } from './document.ts';
import { type KeyKind, publicKeyKind, type SigningKey } from './nkey.ts';
import { EVERYBODY, isScope, scopeOf } from './scope.ts';
import { newTokenId } from './signer.ts';

/** Longest life of a delegation, milliseconds: 24 hours. */
export const MAX_DELEGATION_LIFETIME_MS = 24 * 3_600_000;
/** Longest delegation text, characters; it has to travel in a header beside a token. */
export const MAX_DELEGATION_CHARS = 2_048;

/**
 * What an issuer lets a host's key sign, or a host its provider's key: for whom, in which lattice, from when to when.
 * A cluster key (`C…`) signs for a server key (`N…`), and a server key for a service key (`V…`); there is nothing below.
 *
 * A cluster key also signs for an operator's key (`U…`), which may give commands and nothing else: it speaks and answers for nobody,
 * and no other kind of key gives commands.
 */
export interface DelegationClaims {
  readonly v: 2;
  /** Unique id: 128 random bits, 22 base64url characters. */
  readonly jti: string;
  /** Minted at, milliseconds since the Unix epoch; revocations go by it. */
  readonly iat: number;
  /** Not valid before, milliseconds since the Unix epoch. */
  readonly nbf: number;
  /** Not valid after, milliseconds since the Unix epoch; at most {@link MAX_DELEGATION_LIFETIME_MS} after `iat` and `nbf`. */
  readonly exp: number;
  /** Lattice. */
  readonly lat: string;
  /** Public key of the signer: `C…`, or `N…` if there is a `par`. */
  readonly iss: string;
  /** Public key that may sign: `N…`, `U…` if there is a `ctl`, or `V…` if there is a `par`. */
  readonly sub: string;
  /** Epoch of the issuer set when it was minted. */
  readonly epc: number;
  /** Origins it may speak for: `*`, or a sorted comma list of ids, which may be empty. */
  readonly org: string;
  /** Targets it may answer for; as `org`. */
  readonly tgt: string;
  /** Commands it may give, by the nouns of their subjects (`component`, `link`); as `org`, never empty. For operators only, who have no other scope. */
  readonly ctl?: string;
  /** Thumbprint of the delegation of the signer; only from a host to a provider. */
  readonly par?: string;
}

/** The one spelling of delegation claims. */
export function writeDelegationClaims(c: DelegationClaims): string {
  return (
    `{"v":2,"jti":"${c.jti}","iat":${c.iat},"nbf":${c.nbf},"exp":${c.exp},"lat":"${c.lat}","iss":"${c.iss}","sub":"${c.sub}",` +
    `"epc":${c.epc},"org":"${c.org}","tgt":"${c.tgt}"${optional('ctl', c.ctl)}${optional('par', c.par)}}`
  );
}

const optional = (name: string, value: string | undefined): string => (value === undefined ? '' : `,"${name}":"${value}"`);

/** From whose key to whose, or `undefined` for a mixture of rights that no key has. */
function kindsOf(c: DelegationClaims): readonly [KeyKind, KeyKind] | undefined {
  if (c.ctl === undefined) return c.par === undefined ? ['cluster', 'server'] : ['server', 'service'];
  const commandsOnly = c.par === undefined && c.org === '' && c.tgt === '' && c.ctl !== '' && isScope(c.ctl);
  return commandsOnly ? ['cluster', 'user'] : undefined;
}

function isSound(c: DelegationClaims): boolean {
  const kinds = kindsOf(c);
  return (
    kinds !== undefined &&
    isTokenId(c.jti) &&
    isToken(c.lat, 64) &&
    (c.par === undefined || isDigest(c.par)) &&
    c.exp > c.nbf &&
    c.exp > c.iat &&
    c.exp - Math.min(c.nbf, c.iat) <= MAX_DELEGATION_LIFETIME_MS &&
    isScope(c.org) &&
    isScope(c.tgt) &&
    publicKeyKind(c.iss) === kinds[0] &&
    publicKeyKind(c.sub) === kinds[1]
  );
}

/**
 * The claims of a delegation, or `undefined` unless it is exactly what {@link signDelegation} writes: sound by itself, while its
 * signature, its time and its parent are still to be judged. Never throws.
 */
export function openDelegation(text: string): DelegationClaims | undefined {
  const claimsText = openDocument(text, 'delegation', MAX_DELEGATION_CHARS);
  if (claimsText === undefined) return undefined;
  const reader = new ClaimsReader(claimsText);
  reader.literal('{"v":2,"jti":"');
  const jti = reader.value();
  reader.literal('","iat":');
  const iat = reader.integer();
  reader.literal(',"nbf":');
  const nbf = reader.integer();
  reader.literal(',"exp":');
  const exp = reader.integer();
  reader.literal(',"lat":"');
  const lat = reader.value();
  reader.literal('","iss":"');
  const iss = reader.value();
  reader.literal('","sub":"');
  const sub = reader.value();
  reader.literal('","epc":');
  const epc = reader.integer();
  reader.literal(',"org":"');
  const org = reader.value();
  reader.literal('","tgt":"');
  const tgt = reader.value();
  const ctl = reader.optional('","ctl":"') ? reader.value() : undefined;
  const par = reader.optional('","par":"') ? reader.value() : undefined;
  reader.literal('"}');
  if (!reader.end()) return undefined;
  const optionals = { ...(ctl === undefined ? {} : { ctl }), ...(par === undefined ? {} : { par }) };
  const claims = { v: 2, jti, iat, nbf, exp, lat, iss, sub, epc, org, tgt, ...optionals } as const;
  return isSound(claims) ? claims : undefined;
}

/** Signs a delegation with the key that `claims.iss` names. @throws TRELLIS_TRUST_CLAIMS_INVALID */
export function signDelegation(key: SigningKey, claims: DelegationClaims): string {
  return signDocument(key, 'delegation', claims, writeDelegationClaims, openDelegation);
}

const overDelegation = textDigest('dlg');

/** The thumbprint by which tokens name a delegation (`kid`): D("dlg", its text), 43 characters. */
export function delegationThumbprint(text: string): string {
  return overDelegation(text, 'base64url');
}

/** What {@link mintDelegation} needs. */
export interface DelegationToMint {
  readonly lattice: string;
  /** Public key that is to sign: `N…`, `U…` with commands, or `V…` with a parent. */
  readonly subject: string;
  /** Ids of components and callers it may speak for, or `*`. */
  readonly origins: readonly string[] | typeof EVERYBODY;
  /** Ids of components it may answer for, or `*`. */
  readonly targets: readonly string[] | typeof EVERYBODY;
  /** Nouns of the commands that an operator may give, or `*`; such a key has no origins and no targets. */
  readonly commands?: readonly string[] | typeof EVERYBODY;
  readonly epoch: number;
  /** Now, milliseconds since the Unix epoch. */
  readonly nowMs: number;
  /** 1 to {@link MAX_DELEGATION_LIFETIME_MS}. */
  readonly lifetimeMs: number;
  /** Text of the signer's own delegation, for one from a host to a provider; its end bounds the life. */
  readonly parent?: string;
}

/** A new delegation that begins now. @throws TRELLIS_TRUST_CLAIMS_INVALID */
export function mintDelegation(key: SigningKey, d: DelegationToMint): string {
  const iat = Math.floor(d.nowMs);
  const scope = (ids: readonly string[] | typeof EVERYBODY): string => (ids === EVERYBODY ? EVERYBODY : scopeOf(ids));
  const parent = d.parent === undefined ? undefined : openDelegation(d.parent);
  return signDelegation(key, {
    v: 2,
    jti: newTokenId(),
    iat,
    nbf: iat,
    exp: Math.min(iat + d.lifetimeMs, parent?.exp ?? Number.MAX_SAFE_INTEGER),
    lat: d.lattice,
    iss: key.publicKey,
    sub: d.subject,
    epc: d.epoch,
    org: scope(d.origins),
    tgt: scope(d.targets),
    ...(d.commands === undefined ? {} : { ctl: scope(d.commands) }),
    ...(d.parent === undefined ? {} : { par: delegationThumbprint(d.parent) }),
  });
}
