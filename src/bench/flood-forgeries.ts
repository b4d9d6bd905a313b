import { randomBytes, randomInt } from 'node:crypto';
import { SigningKey } from '../trust/nkey.ts';
import { readRequestClaims, writeRequestClaims } from '../trust/request-token.ts';
import { newTokenId } from '../trust/signer.ts';
import { HEADERS, openToken, sealBatched, sealSingle, signedTextOf } from '../trust/token.ts';
import type { FloodKind } from './flood-rows.ts';
import type { WireMessage } from './flood-wire.ts';

const HASH_BYTES = 32;
const SIGNATURE_BYTES = 64;
const ID_CHARS = 12;
const TOKEN_HEADER = 'Lattice-Invocation';

const tokenOf = (headers: Buffer): string | undefined =>
  new RegExp(`\r\n${TOKEN_HEADER}: ([^\r\n]*)\r\n`).exec(headers.toString('latin1'))?.[1];

function withToken(message: WireMessage, token: string, reply: string): WireMessage {
  const text = message.headers.toString('latin1');
  const headers = Buffer.from(text.replace(new RegExp(`(\r\n${TOKEN_HEADER}: )[^\r\n]*`), `$1${token}`), 'latin1');
  return { ...message, headers, reply };
}

/** An address beside a real caller's: answers to it reach that caller's process and cost it something. */
const besides = (reply: string): string => reply.slice(0, -ID_CHARS) + randomBytes(9).toString('base64url');

interface Changes {
  readonly nowMs: number;
  /** Signer to name instead of the genuine one. */
  readonly issuer?: string;
}

/**
 * A message that passes every check before the signature: genuine claims and delegation, payload, link and form, with a fresh id, fresh
 * times, and a signature of random bytes at the genuine place of the genuine batch.
 */
function forge(genuine: WireMessage, changes: Changes): WireMessage {
  const opened = openToken(tokenOf(genuine.headers) ?? '', 'request');
  if ('fault' in opened) throw new Error(`a genuine token that cannot be read: ${opened.reason}`);
  const claims = readRequestClaims(opened.claimsText);
  if (claims === undefined) throw new Error('genuine claims that cannot be read');
  const reply = besides(genuine.reply);
  const iat = changes.nowMs;
  const text = writeRequestClaims({
    ...claims,
    jti: newTokenId(),
    iat,
    exp: iat + (claims.exp - claims.iat),
    iss: changes.issuer ?? claims.iss,
    rpl: reply,
  });
  const { place } = opened.proof;
  const form = place === undefined ? HEADERS.request.single : HEADERS.request.batched;
  const signedText = signedTextOf(form, text);
  const signature = randomBytes(SIGNATURE_BYTES);
  if (place === undefined) return withToken(genuine, sealSingle(signedText, signature), reply);
  const path: string[] = [];
  for (let at = 0; at < place.path.length; at += HASH_BYTES) path.push(randomBytes(HASH_BYTES).toString('latin1'));
  return withToken(genuine, sealBatched(signedText, signature, place.index, place.count, path), reply);
}

/** Something that was never a token, or is one no more: random text, a cut token, foreign forms, a token of the largest size. */
function garble(genuine: WireMessage): WireMessage {
  const token = tokenOf(genuine.headers) ?? '';
  const noise = (bytes: number): string => randomBytes(bytes).toString('base64url');
  const reply = besides(genuine.reply);
  switch (randomInt(5)) {
    case 0:
      return withToken(genuine, noise(300), reply);
    case 1:
      return withToken(genuine, token.slice(0, -randomInt(1, 40)), reply);
    case 2:
      return withToken(genuine, `${HEADERS.request.single}.${noise(400)}.${noise(SIGNATURE_BYTES)}`, reply);
    case 3:
      return withToken(genuine, noise(3_000), reply);
    default:
      return { ...genuine, headers: Buffer.alloc(0), payload: randomBytes(300), reply };
  }
}

/**
 * What an attacker with rpc credentials sends, made from genuine messages that it read. `count` messages, or for replays as many as were
 * read, which are then sent as they were. The tokens are as of `nowMs` and live as long as the genuine ones.
 */
export function forgeries(kind: FloodKind, genuine: readonly WireMessage[], count: number, nowMs: number): WireMessage[] {
  if (kind === 'replay') return [...genuine];
  const issuer = SigningKey.generate('cluster').publicKey;
  const make: Record<typeof kind, (message: WireMessage) => WireMessage> = {
    'bad-signature': (message) => forge(message, { nowMs }),
    'unknown-issuer': (message) => forge(message, { nowMs, issuer }),
    garbage: garble,
  };
  return Array.from({ length: count }, (_, n) => make[kind](genuine[n % genuine.length]!));
}
