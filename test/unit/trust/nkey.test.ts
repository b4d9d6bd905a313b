import { generateKeyPairSync, verify } from 'node:crypto';
import { inspect } from 'node:util';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TrellisError } from '../../../src/errors.ts';
import { parsePublicKey, seedKind, SigningKey, type KeyKind } from '../../../src/trust/nkey.ts';
import { publicText } from '../../support/nkeys.ts';
import { anyText } from '../../support/texts.ts';

const KINDS: readonly KeyKind[] = ['operator', 'account', 'user', 'server', 'cluster', 'module', 'service'];
const LETTER: Record<string, string> = {
  operator: 'O',
  account: 'A',
  user: 'U',
  server: 'N',
  cluster: 'C',
  module: 'M',
  service: 'V',
};

// A published test seed of the wasmCloud 0.82 sources, and the public key that belongs to it.
const KNOWN_SEED = 'SCAIYCZTW775GJYX3MVWLURALVC3PULW43PTEKGH72JBMA3A7LOLGLQ2JA';
const KNOWN_PUBLIC = 'CAQQHYABXBPDBZIGDZIT7E73HW66RPCFC3GGLQKSDDTVWUVOYZBYHUND';

describe('nkeys', () => {
  it('derives the known public key from the known seed and writes the seed back', () => {
    const key = SigningKey.fromSeed(KNOWN_SEED, 'cluster');
    expect(key.publicKey).toBe(KNOWN_PUBLIC);
    expect(key.exportSeed().reveal()).toBe(KNOWN_SEED);
    expect(seedKind(KNOWN_SEED)).toBe('cluster');
  });

  it.each(KINDS)('makes, writes and reads %s keys', (kind) => {
    const key = SigningKey.generate(kind);
    expect(key.publicKey).toMatch(new RegExp(`^${LETTER[kind]}[A-D][A-Z2-7]{54}$`));
    expect(key.exportSeed().reveal()).toMatch(new RegExp(`^S${LETTER[kind]}A[A-Z2-7]{55}$`));
    expect(SigningKey.fromSeed(key.exportSeed().reveal(), kind).publicKey).toBe(key.publicKey);
    const parsed = parsePublicKey(key.publicKey);
    expect(parsed.ok && parsed.kind).toBe(kind);
    const data = Buffer.from('data');
    expect(parsed.ok && verify(null, data, parsed.key, key.sign(data))).toBe(true);
  });

  it('reads a curve key as X25519, and refuses to sign with one', () => {
    const point = generateKeyPairSync('x25519').publicKey.export({ format: 'der', type: 'spki' }).subarray(-32);
    const parsed = parsePublicKey(publicText(point, 23 << 3));
    expect(parsed.ok && [parsed.kind, parsed.key.asymmetricKeyType]).toEqual(['curve', 'x25519']);
    expect(() => SigningKey.generate('curve')).toThrow(TrellisError);
  });

  it('refuses every change of one character, in public keys and in seeds', () => {
    for (const [text, read] of [
      [KNOWN_PUBLIC, (t: string) => parsePublicKey(t).ok],
      [KNOWN_SEED, (t: string) => seedKind(t) !== undefined],
    ] as const) {
      for (let at = 0; at < text.length; at++) {
        for (const letter of 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567abc01890=-') {
          if (letter !== text[at]) expect(read(text.slice(0, at) + letter + text.slice(at + 1))).toBe(false);
        }
      }
    }
  });

  it('refuses other lengths, blanks and other types without a throw', () => {
    for (const text of [
      '',
      'C',
      KNOWN_PUBLIC.slice(1),
      `${KNOWN_PUBLIC}A`,
      ` ${KNOWN_PUBLIC}`,
      KNOWN_SEED,
      KNOWN_PUBLIC.toLowerCase(),
    ]) {
      expect(parsePublicKey(text).ok).toBe(false);
    }
    for (const value of [undefined, null, 7, {}, []]) expect(parsePublicKey(value as never).ok).toBe(false);
    fc.assert(fc.property(anyText(80), (text) => !parsePublicKey(text).ok && seedKind(text) === undefined));
  });

  it('does not show its secret in any print', () => {
    const key = SigningKey.fromSeed(KNOWN_SEED, 'cluster');
    const seed = key.exportSeed();
    const prints = [inspect(key, { showHidden: true, depth: 9 }), JSON.stringify({ key, seed }), String(seed), inspect(seed)];
    for (const print of prints) expect(print).not.toContain(KNOWN_SEED.slice(3, 20));
    expect(JSON.stringify({ seed })).toBe('{"seed":"[redacted]"}');
  });
});
