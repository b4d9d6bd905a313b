import { isToken } from '../ids.ts';
import { ClaimsReader } from './canonical.ts';
import { epkText, isDigest, isEpk, isKid, isTokenId, kidText, readEpk, readKid } from './claim-values.ts';

/** What a caller signs: one call, to one function of one component, with these parameter bytes, once. */
export interface RequestClaims {
  readonly v: 2;
  /** Unique id: 128 random bits, 22 base64url characters. */
  readonly jti: string;
  /** Issued at, milliseconds since the Unix epoch. */
  readonly iat: number;
  /** Not accepted after, milliseconds since the Unix epoch. */
  readonly exp: number;
  /** Lattice of the called component. */
  readonly lat: string;
  /** Public key of the signer. */
  readonly iss: string;
  /** Thumbprint of the delegation that lets it sign, 43 characters; absent when a cluster issuer signs itself. */
  readonly kid?: string;
  /** Calling component. */
  readonly org: string;
  /** Name of the link the call follows. */
  readonly lnk: string;
  /** Called component. */
  readonly tgt: string;
  /** Interface with version, or empty for a function of the world itself. */
  readonly ins: string;
  /** Function, by its wire name. */
  readonly fun: string;
  /** NATS subject the call is sent to. */
  readonly sub: string;
  /** Reply subject of the call; of a call to another account, where the server changes it, the cluster issuer of the lattice it is for. */
  readonly rpl: string;
  /** Number of parameter bytes. */
  readonly len: number;
  /** D("params", parameter bytes). */
  readonly dig: string;
  /** The caller's X25519 key for this call, 43 characters; present if streams or futures may travel outside the signed bytes. */
  readonly epk?: string;
}

/** The one spelling of request claims. The caller has checked that the strings can be written. */
export function writeRequestClaims(c: RequestClaims): string {
  return (
    `{"v":2,"jti":"${c.jti}","iat":${c.iat},"exp":${c.exp},"lat":"${c.lat}","iss":"${c.iss}"${kidText(c.kid)},` +
    `"org":"${c.org}","lnk":"${c.lnk}","tgt":"${c.tgt}","ins":"${c.ins}","fun":"${c.fun}","sub":"${c.sub}","rpl":"${c.rpl}",` +
    `"len":${c.len},"dig":"${c.dig}"${epkText(c.epk)}}`
  );
}

/** Request claims from their text, or `undefined` unless it is exactly what {@link writeRequestClaims} writes. */
export function readRequestClaims(text: string): RequestClaims | undefined {
  const reader = new ClaimsReader(text);
  reader.literal('{"v":2,"jti":"');
  const jti = reader.value();
  reader.literal('","iat":');
  const iat = reader.integer();
  reader.literal(',"exp":');
  const exp = reader.integer();
  reader.literal(',"lat":"');
  const lat = reader.value();
  reader.literal('","iss":"');
  const iss = reader.value();
  const kid = readKid(reader);
  reader.literal('","org":"');
  const org = reader.value();
  reader.literal('","lnk":"');
  const lnk = reader.value();
  reader.literal('","tgt":"');
  const tgt = reader.value();
  reader.literal('","ins":"');
  const ins = reader.value();
  reader.literal('","fun":"');
  const fun = reader.value();
  reader.literal('","sub":"');
  const sub = reader.value();
  reader.literal('","rpl":"');
  const rpl = reader.value();
  reader.literal('","len":');
  const len = reader.integer();
  reader.literal(',"dig":"');
  const dig = reader.value();
  const epk = readEpk(reader);
  reader.literal('"}');
  if (!reader.end()) return undefined;
  if (!isTokenId(jti) || !isDigest(dig) || !isKid(kid) || !isEpk(epk)) return undefined;
  if (!isToken(lat, 64) || !isToken(org) || !isToken(lnk, 64) || !isToken(tgt)) return undefined;
  if (fun === '' || sub === '' || rpl === '') return undefined;
  const names = { lat, iss, ...(kid === undefined ? {} : { kid }), org, lnk, tgt, ins, fun, sub, rpl };
  return { v: 2, jti, iat, exp, ...names, len, dig, ...(epk === undefined ? {} : { epk }) };
}
