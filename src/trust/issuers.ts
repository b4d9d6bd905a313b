import type { KeyObject } from 'node:crypto';
import { TrellisError } from '../errors.ts';
import type { Denial } from './denial.ts';
import { parsePublicKey, seedKind } from './nkey.ts';

/** The cluster keys whose tokens are accepted. More than one may be valid at a time; that is how keys are rotated. */
export class IssuerSet {
  readonly #keys = new Map<string, KeyObject>();

  /**
   * @param publicKeys public cluster keys (`C…`, 56 characters); blanks around them are ignored, repetitions are not an error
   * @throws TRELLIS_TRUST_ISSUER_INVALID on the first bad entry; the message gives its position and never its text, since it
   *   may be a seed that ended up in the wrong setting
   */
  constructor(publicKeys: readonly string[]) {
    for (const [at, entry] of publicKeys.entries()) {
      const text = entry.trim();
      const parsed = parsePublicKey(text);
      if (!parsed.ok) {
        const isSeed = seedKind(text) !== undefined;
        throw invalid(at, isSeed ? 'is a secret seed, not a public key' : parsed.reason, isSeed);
      }
      if (parsed.kind !== 'cluster') throw invalid(at, `is a public key of kind ${parsed.kind}, not cluster`, false);
      this.#keys.set(text, parsed.key);
    }
  }

  /** True if `text` is exactly one of the keys. */
  has(text: string): boolean {
    return this.#keys.has(text);
  }

  /** The key object for `text`, or `undefined` if it is not in the set. */
  keyFor(text: string): KeyObject | undefined {
    return this.#keys.get(text);
  }

  /** The public keys in the order they were given. */
  list(): readonly string[] {
    return [...this.#keys.keys()];
  }
}

function invalid(at: number, reason: string, isSeed: boolean): TrellisError {
  return new TrellisError('TRELLIS_TRUST_ISSUER_INVALID', {
    message: `Cluster issuer number ${at + 1} ${reason}`,
    ...(isSeed ? { remedy: 'Replace it by its public key, and replace the key itself if this setting is not secret.' } : {}),
    details: { position: at + 1 },
  });
}

/** A key that counts, and for what. */
export interface TrustedSigner {
  readonly key: KeyObject;
  /** True if it may sign calls of this component or caller. */
  speaksFor(origin: string): boolean;
  /** True if it may sign answers of this component. */
  answersFor(component: string): boolean;
  /** True if it may sign commands whose subject has this noun. */
  mayCommand(noun: string): boolean;
}

/** Whose signatures count. Every verifier asks here and nowhere else; an answer costs no cryptography. */
export interface SignerDirectory {
  /**
   * The signer that a token names by its public key and, unless that is a cluster issuer itself, by the thumbprint of
   * its delegation; or why it does not count.
   */
  find(iss: string, kid: string | undefined): TrustedSigner | Denial;
}
