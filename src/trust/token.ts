import { bytesDigest, decodeBase64url, decodeBase64urlText, textDigest } from './canonical.ts';
import { MAX_BATCH, pathLength } from './merkle.ts';

/**
 * The frame that all tokens share: `header.claims.proof`. The header is one of a few constant words and says what the token is
 * for and how it is proved; there is no algorithm to choose and nothing in it to parse. Claims and proof are base64url.
 *
 * A single proof is an Ed25519 signature over the token's leaf. A batched proof is one over the root of a Merkle tree of
 * leaves, followed by the leaf's place in it: signature (64 bytes), index and count (u16, big endian), path (32 bytes a step).
 */

/** What a token is for. */
export type TokenKind = 'request' | 'result' | 'accept' | 'confirm';

/**
 * What issuers and hosts sign about keys, and what operators sign to hosts. Rare, so each has a signature of its own: there is no batched
 * form to read.
 */
export type DocumentKind = 'delegation' | 'issuers' | 'revocation' | 'command';

/** Longest token text, characters. */
export const MAX_TOKEN_CHARS = 4096;
/** Longest claims text, so that a token of the largest batch still fits {@link MAX_TOKEN_CHARS}. */
export const MAX_CLAIMS_CHARS = 2600;

const SIGNATURE_BYTES = 64;
const PLACE_BYTES = 4;
const HASH_BYTES = 32;
const HEADER_CHARS = 5;

/** The header words of each kind. All have the same length, so the first dot has a fixed place. */
export const HEADERS: Readonly<Record<TokenKind, { readonly single: string; readonly batched: string }>> &
  Readonly<Record<DocumentKind, { readonly single: string }>> = {
  request: { single: 'inv2s', batched: 'inv2b' },
  result: { single: 'res2s', batched: 'res2b' },
  accept: { single: 'acc2s', batched: 'acc2b' },
  confirm: { single: 'cnf2s', batched: 'cnf2b' },
  delegation: { single: 'dlg2s' },
  issuers: { single: 'iss2s' },
  revocation: { single: 'rev2s' },
  command: { single: 'ctl2s' },
};

/** How a token is proved. */
export interface TokenProof {
  readonly signature: Buffer;
  /** Place in the tree, absent in the single form. */
  readonly place: { readonly index: number; readonly count: number; readonly path: string } | undefined;
}

/** A token taken apart. Nothing in it is trusted yet. */
export interface OpenToken {
  /** `header.claims`: what the leaf hash is taken over. */
  readonly signedText: string;
  /** The claims as JSON text (latin1; the claims reader refuses what is not printable ASCII). */
  readonly claimsText: string;
  readonly proof: TokenProof;
}

/** Why a token could not be taken apart: `form` is a foreign header, `malformed` everything else. */
export interface TokenFault {
  readonly fault: 'form' | 'malformed';
  readonly reason: string;
}

const fault = (reason: string): TokenFault => ({ fault: 'malformed', reason });

function openProof(bytes: Buffer, batched: boolean): TokenProof | TokenFault {
  if (!batched) {
    if (bytes.length !== SIGNATURE_BYTES) return fault(`proof has ${bytes.length} bytes, a signature has ${SIGNATURE_BYTES}`);
    return { signature: bytes, place: undefined };
  }
  if (bytes.length < SIGNATURE_BYTES + PLACE_BYTES) return fault('batched proof is too short');
  const index = bytes.readUInt16BE(SIGNATURE_BYTES);
  const count = bytes.readUInt16BE(SIGNATURE_BYTES + 2);
  // A batch of one has the single form: two forms for one thing would be two spellings.
  if (count < 2 || count > MAX_BATCH) return fault(`batch of ${count} tokens`);
  if (index >= count) return fault(`place ${index} in a batch of ${count}`);
  const pathAt = SIGNATURE_BYTES + PLACE_BYTES;
  if (bytes.length !== pathAt + HASH_BYTES * pathLength(index, count)) return fault('path of the wrong length');
  const path = bytes.toString('latin1', pathAt);
  return { signature: bytes.subarray(0, SIGNATURE_BYTES), place: { index, count, path } };
}

/** Takes a token apart: size, shape, header word, one spelling of each part. Costs no cryptography and never throws. */
export function openToken(text: string, kind: TokenKind | DocumentKind): OpenToken | TokenFault {
  if (text.length > MAX_TOKEN_CHARS) return fault(`${text.length} characters, at most ${MAX_TOKEN_CHARS} are read`);
  const header = text.slice(0, HEADER_CHARS);
  const words = HEADERS[kind];
  const batched = 'batched' in words && header === words.batched;
  if ((!batched && header !== words.single) || text[HEADER_CHARS] !== '.') {
    return { fault: 'form', reason: `is no ${kind} token of version 2` };
  }
  const claimsAt = HEADER_CHARS + 1;
  const dot = text.indexOf('.', claimsAt);
  if (dot < 0) return fault('has two parts, not three');
  const claimsText = decodeBase64urlText(text.slice(claimsAt, dot));
  // A further dot would not survive this either: it is no base64url character.
  const proofBytes = decodeBase64url(text.slice(dot + 1));
  if (claimsText === undefined || proofBytes === undefined) return fault('is not spelt in canonical base64url');
  const proof = openProof(proofBytes, batched);
  if ('fault' in proof) return proof;
  return { signedText: text.slice(0, dot), claimsText, proof };
}

/** `header.claims` of a token about to be proved. */
export function signedTextOf(header: string, claimsText: string): string {
  return `${header}.${Buffer.from(claimsText).toString('base64url')}`;
}

/** The single form of a token. */
export function sealSingle(signedText: string, signature: Buffer): string {
  return `${signedText}.${signature.toString('base64url')}`;
}

/** The batched form of a token. */
export function sealBatched(
  signedText: string,
  signature: Buffer,
  index: number,
  count: number,
  path: readonly string[],
): string {
  const pathAt = SIGNATURE_BYTES + PLACE_BYTES;
  const proof = Buffer.allocUnsafe(pathAt + HASH_BYTES * path.length);
  signature.copy(proof);
  proof.writeUInt16BE(index, SIGNATURE_BYTES);
  proof.writeUInt16BE(count, SIGNATURE_BYTES + 2);
  for (let step = 0; step < path.length; step++) proof.write(path[step]!, pathAt + HASH_BYTES * step, 'latin1');
  return `${signedText}.${proof.toString('base64url')}`;
}

/** The leaf of a token in its tree, over `header.claims`; 32 characters of one byte each. */
export const leafHash = textDigest('leaf');
/** What the signature of a batch covers: the number of tokens and the root. The label differs from the single form's. */
const batchDigest = textDigest('batch');
const singleDigest = textDigest('single');

/** What a lone token's signature covers, 32 bytes as latin1 characters. */
export function singleMessage(signedText: string): string {
  return singleDigest(signedText, 'binary');
}

/** What a batch's signature covers, 32 bytes as latin1 characters. */
export function batchMessage(root: string, count: number): string {
  return batchDigest(String.fromCharCode(count >> 8, count & 0xff) + root, 'binary');
}

const overRequest = textDigest('req');

/**
 * The digest by which results and accepts name the request they answer: D("req", the request token's text), 43 characters.
 * Costs well under a microsecond.
 */
export function requestDigest(token: string): string {
  return overRequest(token, 'base64url');
}

const overAccept = textDigest('acc');

/** D("acc", the accept token's text), 43 characters: with the request's digest it names the session that a server opened. */
export function acceptDigest(token: string): string {
  return overAccept(token, 'base64url');
}

const overParams = bytesDigest('params');
const overResult = bytesDigest('result');

/** The digest claim of parameter bytes: D("params", bytes), 43 characters. */
export function paramsDigest(bytes: Uint8Array | readonly Uint8Array[]): string {
  return overParams(bytes, 'base64url');
}

const overCommand = bytesDigest('command');

/** The digest claim of the body of a command: D("command", bytes), 43 characters. */
export function commandDigest(bytes: Uint8Array): string {
  return overCommand(bytes, 'base64url');
}

/** The digest claim of result bytes: D("result", bytes), 43 characters. */
export function resultDigest(bytes: Uint8Array | readonly Uint8Array[]): string {
  return overResult(bytes, 'base64url');
}
