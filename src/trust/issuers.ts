import type { KeyObject } from 'node:crypto';
import { TrellisError } from '../errors.ts';
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

/**
 * The key that may sign for `iss`, or `undefined`. Every verifier asks here and nowhere else.
 *
 * Delegations belong here: a host's or provider's own key will be found through a chain that ends at one of the issuers, and
 * its scope (which origins it may speak for, which components it may answer for) will come back beside the key. A chain
 * is looked up before any signature of the token itself is checked, so an unknown signer stays cheap to refuse.
 */
export function resolveSigner(issuers: IssuerSet, iss: string): KeyObject | undefined {
  return issuers.keyFor(iss);
}
