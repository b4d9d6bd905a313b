import type { KeyFacts } from '../config/check-context.ts';
import { parsePublicKey, seedKind, SigningKey } from '../trust/nkey.ts';

/** Tells the configuration checks what an nkey is. */
export const keyFacts: KeyFacts = {
  ofSeed(seed) {
    const kind = seedKind(seed);
    // Curve keys do not sign, and no setting takes one.
    if (kind === undefined || kind === 'curve') return undefined;
    return { kind, publicKey: SigningKey.fromSeed(seed, kind).publicKey };
  },
  ofPublicKey(text) {
    const parsed = parsePublicKey(text);
    return parsed.ok ? { kind: parsed.kind } : { reason: parsed.reason };
  },
};
