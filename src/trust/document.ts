import { verify, type KeyObject } from 'node:crypto';
import { TrellisError } from '../errors.ts';
import type { SigningKey } from './nkey.ts';
import { type DocumentKind, HEADERS, MAX_TOKEN_CHARS, openToken, sealSingle, signedTextOf, singleMessage } from './token.ts';

/**
 * Delegations, issuer sets and revocations: what keys say about keys. They have the frame of the tokens, always in the
 * single form, and claims in one spelling.
 */

/** What every document says first. */
export interface DocumentClaims {
  /** Public key of the signer. */
  readonly iss: string;
}

/**
 * The claims text inside a document of at most `maxChars` characters, or `undefined` unless its frame is right. Says nothing
 * about the signature.
 */
export function openDocument(text: string, kind: DocumentKind, maxChars = MAX_TOKEN_CHARS): string | undefined {
  if (typeof text !== 'string' || text.length > maxChars) return undefined;
  const token = openToken(text, kind);
  return 'fault' in token ? undefined : token.claimsText;
}

/** True if `key` signed the document. One Ed25519 check; never throws. */
export function isDocumentSignedBy(text: string, kind: DocumentKind, key: KeyObject): boolean {
  const token = openToken(text, kind);
  if ('fault' in token) return false;
  return verify(null, Buffer.from(singleMessage(token.signedText), 'latin1'), key, token.proof.signature);
}

/**
 * Signs `claimsText` with `key`, whose public half is `claims.iss`; `read` must be able to read it back.
 * @throws TRELLIS_TRUST_CLAIMS_INVALID
 */
export function signDocument<Claims extends DocumentClaims>(
  key: SigningKey,
  kind: DocumentKind,
  claims: Claims,
  write: (claims: Claims) => string,
  read: (text: string) => Claims | undefined,
): string {
  const signedText = signedTextOf(HEADERS[kind].single, write(claims));
  const text = sealSingle(signedText, key.sign(Buffer.from(singleMessage(signedText), 'latin1')));
  if (key.publicKey === claims.iss && read(text) !== undefined) return text;
  throw new TrellisError('TRELLIS_TRUST_CLAIMS_INVALID', {
    message: `This ${kind} cannot be signed: a name, a time, a key or its length is out of range, or another key is named`,
    remedy: 'Check names, lifetime and keys; use * where the list of components is too long.',
  });
}

/** The items of a comma list, or `undefined` unless they are sorted, without repetition, and each passes `allows`. */
export function readSortedList(text: string, allows: (item: string) => boolean): readonly string[] | undefined {
  if (text === '') return [];
  const items = text.split(',');
  const ok = items.every((item, at) => allows(item) && (at === 0 || items[at - 1]! < item));
  return ok ? items : undefined;
}
