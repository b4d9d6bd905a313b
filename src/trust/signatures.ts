import { verify, type KeyObject } from 'node:crypto';
import { batchMessage, leafHash, singleMessage, type OpenToken } from './token.ts';
import { rootFromPath } from './merkle.ts';

const MAX_ROOTS = 4096;
const SIGNATURE_BYTES = 64;

interface KnownRoot {
  readonly issuer: string;
  readonly signature: Buffer;
  readonly expiresMs: number;
}

/**
 * Checks token signatures, and remembers the roots of batches that were good, so that one Ed25519 check serves a whole batch.
 * A remembered root spares that check and nothing else; it counts only for the same issuer, root, number of tokens and the very
 * same 64 signature bytes. Bounded; a root is forgotten after `rememberMs`.
 */
export class SignatureChecker {
  readonly #rememberMs: number;
  // By what the signature covers (root and count); the issuer and the signature are compared on a hit.
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

  /** True if `issuer`, whose key is `key`, signed this token. `nowMs` is the time the token is judged by. */
  check(token: OpenToken, issuer: string, key: KeyObject, nowMs: number): boolean {
    const { signature, place } = token.proof;
    if (place === undefined) return this.#verify(singleMessage(token.signedText), key, signature);
    const leaf = leafHash(token.signedText, 'binary');
    const root = rootFromPath(leaf, place.index, place.count, place.path);
    const message = batchMessage(root, place.count);
    const known = this.#roots.get(message);
    if (known !== undefined && known.issuer === issuer && known.expiresMs > nowMs && known.signature.equals(signature)) {
      this.stats.remembered++;
      return true;
    }
    if (!this.#verify(message, key, signature)) return false;
    this.#remember(message, { issuer, signature: Buffer.from(signature), expiresMs: nowMs + this.#rememberMs });
    return true;
  }

  #verify(message: string, key: KeyObject, signature: Buffer): boolean {
    this.stats.checks++;
    return signature.length === SIGNATURE_BYTES && verify(null, Buffer.from(message, 'latin1'), key, signature);
  }

  #remember(message: string, root: KnownRoot): void {
    this.#roots.delete(message);
    this.#roots.set(message, root);
    // Entries lie in the order they were made, so the old ones are in front.
    for (const [oldest, { expiresMs }] of this.#roots) {
      if (expiresMs > root.expiresMs - this.#rememberMs && this.#roots.size <= MAX_ROOTS) break;
      this.#roots.delete(oldest);
    }
  }
}
