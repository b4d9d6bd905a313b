import { verify, type KeyObject } from 'node:crypto';
import { batchMessage, leafHash, singleMessage, type OpenToken } from './token.ts';
import { rootFromPath } from './merkle.ts';

const MAX_ROOTS = 4096;
const SIGNATURE_BYTES = 64;

interface KnownRoot {
  readonly issuer: string;
  /** What the signature covers: root and number of tokens. */
  readonly message: string;
  readonly expiresMs: number;
}

/** What the signature of a token covers. */
function messageOf({ signedText, proof: { place } }: OpenToken): string {
  if (place === undefined) return singleMessage(signedText);
  return batchMessage(rootFromPath(leafHash(signedText, 'binary'), place.index, place.count, place.path), place.count);
}

/**
 * Checks token signatures, and remembers the roots of batches that were good, so that one Ed25519 check serves a whole batch.
 * A remembered root spares that check and nothing else; it counts only for the same issuer, root, number of tokens and the very
 * same 64 signature bytes. Bounded; a root is forgotten after `rememberMs`.
 */
export class SignatureChecker {
  readonly #rememberMs: number;
  // By the signature's bytes: a forger's random ones lead nowhere before anything has been hashed.
  readonly #roots = new Map<string, KnownRoot>();
  /** Ed25519 checks done, and tokens passed by a remembered root; for metrics. */
  readonly stats = { checks: 0, remembered: 0 };

  /** @param rememberMs longest time a token of a batch can be accepted after the first one */
  constructor(rememberMs: number) {
    this.#rememberMs = rememberMs;
  }

  /** Number of roots remembered. */
  get size(): number {
    return this.#roots.size;
  }

  /** True if the token belongs to a batch of `issuer` whose signature was good. Costs no Ed25519 check, and no hash for an unknown signature. */
  knows(token: OpenToken, issuer: string, nowMs: number): boolean {
    const { place, signature } = token.proof;
    if (place === undefined) return false;
    const known = this.#roots.get(signature.toString('latin1'));
    if (known === undefined || known.issuer !== issuer || known.expiresMs <= nowMs) return false;
    if (known.message !== messageOf(token)) return false;
    this.stats.remembered++;
    return true;
  }

  /** True if `issuer`, whose key is `key`, signed this token. `nowMs` is the time the token is judged by. */
  check(token: OpenToken, issuer: string, key: KeyObject, nowMs: number): boolean {
    if (this.knows(token, issuer, nowMs)) return true;
    const { signature, place } = token.proof;
    const message = messageOf(token);
    this.stats.checks++;
    const good = signature.length === SIGNATURE_BYTES && verify(null, Buffer.from(message, 'latin1'), key, signature);
    if (good && place !== undefined) {
      this.#remember(signature.toString('latin1'), { issuer, message, expiresMs: nowMs + this.#rememberMs });
    }
    return good;
  }

  #remember(signature: string, root: KnownRoot): void {
    this.#roots.delete(signature);
    this.#roots.set(signature, root);
    // Entries lie in the order they were made, so the old ones are in front.
    for (const [oldest, { expiresMs }] of this.#roots) {
      if (expiresMs > root.expiresMs - this.#rememberMs && this.#roots.size <= MAX_ROOTS) break;
      this.#roots.delete(oldest);
    }
  }
}
