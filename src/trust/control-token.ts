import { isToken } from '../ids.ts';
import { ClaimsReader } from './canonical.ts';
import { isDigest, isKid, isPlainSubject, isTokenId, kidText, readKid } from './claim-values.ts';
import { signDocument } from './document.ts';
import { openToken, commandDigest, type OpenToken, type TokenFault } from './token.ts';
import type { SigningKey } from './nkey.ts';
import { newTokenId } from './signer.ts';

/** How long a command can be taken after it was signed, milliseconds, besides the difference of clocks. */
const LIFETIME_MS = 15_000;

/** What an operator signs: one command on one control subject, with this body, once. */
export interface CommandClaims {
  readonly v: 2;
  /** Unique id: 128 random bits, 22 base64url characters. */
  readonly jti: string;
  /** Issued at, milliseconds since the Unix epoch. */
  readonly iat: number;
  /** Not accepted after, milliseconds since the Unix epoch. */
  readonly exp: number;
  /** Lattice. */
  readonly lat: string;
  /** Public key of the signer: `U…`, or `C…` without `kid`. */
  readonly iss: string;
  /** Thumbprint of the delegation that lets it command; absent when a cluster issuer signs itself. */
  readonly kid?: string;
  /** NATS subject the command is sent to. */
  readonly sub: string;
  /** Its reply subject; empty if nobody waits for an answer. */
  readonly rpl: string;
  /** Number of bytes of the body. */
  readonly len: number;
  /** D("command", body). */
  readonly dig: string;
}

/** The one spelling of command claims. */
export function writeCommandClaims(c: CommandClaims): string {
  return (
    `{"v":2,"jti":"${c.jti}","iat":${c.iat},"exp":${c.exp},"lat":"${c.lat}","iss":"${c.iss}"${kidText(c.kid)},` +
    `"sub":"${c.sub}","rpl":"${c.rpl}","len":${c.len},"dig":"${c.dig}"}`
  );
}

/** Command claims from their text, or `undefined` unless it is exactly what {@link writeCommandClaims} writes. Never throws. */
export function readCommandClaims(text: string): CommandClaims | undefined {
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
  reader.literal('","sub":"');
  const sub = reader.value();
  reader.literal('","rpl":"');
  const rpl = reader.value();
  reader.literal('","len":');
  const len = reader.integer();
  reader.literal(',"dig":"');
  const dig = reader.value();
  reader.literal('"}');
  if (!reader.end() || !isTokenId(jti) || !isToken(lat, 64) || !isKid(kid) || !isDigest(dig)) return undefined;
  if (!isPlainSubject(sub) || (rpl !== '' && !isPlainSubject(rpl))) return undefined;
  return { v: 2, jti, iat, exp, lat, iss, ...(kid === undefined ? {} : { kid }), sub, rpl, len, dig };
}

/** A command token taken apart; nothing in it is trusted yet. Never throws. */
export function openCommand(text: string): { readonly token: OpenToken; readonly claims: CommandClaims } | TokenFault {
  const token = openToken(typeof text === 'string' ? text : '', 'command');
  if ('fault' in token) return token;
  const claims = readCommandClaims(token.claimsText);
  return claims === undefined
    ? { fault: 'malformed', reason: 'has claims that are not in their one spelling' }
    : { token, claims };
}

/** A command to sign. */
export interface CommandToSign {
  readonly lattice: string;
  readonly subject: string;
  /** Where the answer shall go; empty if nobody waits for one. */
  readonly reply: string;
  readonly body: Uint8Array;
  /** Thumbprint of the delegation of the key; absent for a cluster issuer. */
  readonly kid?: string | undefined;
  /** Now, milliseconds since the Unix epoch. */
  readonly nowMs: number;
}

/** A command token, good for 15 s. @throws TRELLIS_TRUST_CLAIMS_INVALID */
export function signCommand(key: SigningKey, command: CommandToSign): string {
  const { lattice: lat, subject: sub, reply: rpl, body, kid } = command;
  const iat = Math.floor(command.nowMs);
  const claims: CommandClaims = {
    v: 2,
    jti: newTokenId(),
    iat,
    exp: iat + LIFETIME_MS,
    lat,
    iss: key.publicKey,
    ...(kid === undefined ? {} : { kid }),
    sub,
    rpl,
    len: body.length,
    dig: commandDigest(body),
  };
  return signDocument(key, 'command', claims, writeCommandClaims, (text) => {
    const opened = openCommand(text);
    return 'fault' in opened ? undefined : opened.claims;
  });
}
