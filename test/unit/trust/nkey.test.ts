import { generateKeyPairSync, sign, verify } from 'node:crypto';
import { inspect } from 'node:util';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TrellisError } from '../../../src/errors.ts';
import { decodeBase32, encodeBase32 } from '../../../src/trust/base32.ts';
import { parsePublicKey, seedKind, SigningKey, type KeyKind } from '../../../src/trust/nkey.ts';

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

function crcOf(body: Uint8Array): Buffer {
  let crc = 0;
  for (const byte of body) {
    for (let bit = 7; bit >= 0; bit--) {
      const carry = ((crc >> 15) ^ (byte >> bit)) & 1;
      crc = ((crc << 1) & 0xffff) ^ (carry === 1 ? 0x1021 : 0);
    }
  }
  return Buffer.from([crc & 0xff, crc >> 8]);
}

function publicText(point: Uint8Array, prefix = 2 << 3): string {
  const body = Buffer.concat([Buffer.from([prefix]), point]);
  return encodeBase32(Buffer.concat([body, crcOf(body)]));
}

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
    fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => !parsePublicKey(text).ok && seedKind(text) === undefined));
  });

  it('refuses the key kinds nobody knows', () => {
    const point = Buffer.alloc(32, 9);
    for (const prefix of [1, 3 << 3, 15 << 3, 18 << 3, 255]) expect(parsePublicKey(publicText(point, prefix)).ok).toBe(false);
  });

  it.each([
    ['a public key', KNOWN_PUBLIC],
    ['a mistyped seed', `${KNOWN_SEED.slice(0, -1)}B`],
    ['a seed of another kind', SigningKey.generate('user').exportSeed().reveal()],
    ['nothing', ''],
  ])('names the fault of %s and never the value', (_, seed) => {
    let caught: unknown;
    try {
      SigningKey.fromSeed(seed, 'cluster');
    } catch (error) {
      caught = error;
    }
    expect(caught).toBeInstanceOf(TrellisError);
    expect((caught as TrellisError).code).toBe('TRELLIS_KEY_INVALID');
    if (seed !== '') expect(inspect(caught, { depth: 9 })).not.toContain(seed.slice(0, 12));
  });

  it('does not show its secret in any print', () => {
    const key = SigningKey.fromSeed(KNOWN_SEED, 'cluster');
    const seed = key.exportSeed();
    const prints = [inspect(key, { showHidden: true, depth: 9 }), JSON.stringify({ key, seed }), String(seed), inspect(seed)];
    for (const print of prints) expect(print).not.toContain(KNOWN_SEED.slice(3, 20));
    expect(JSON.stringify({ seed })).toBe('{"seed":"[redacted]"}');
  });
});

describe('base32', () => {
  it('has one spelling for each byte string', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        expect(decodeBase32(encodeBase32(bytes))).toEqual(Buffer.from(bytes));
      }),
    );
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'), maxLength: 12 }), (text) => {
        const bytes = decodeBase32(text);
        if (bytes !== undefined) expect(encodeBase32(bytes)).toBe(text);
      }),
    );
  });
});

describe('small-order points', () => {
  const p = 2n ** 255n - 19n;
  const mod = (a: bigint): bigint => ((a % p) + p) % p;
  function power(base: bigint, exponent: bigint): bigint {
    let result = 1n;
    for (let b = mod(base), e = exponent; e > 0n; e >>= 1n, b = mod(b * b)) if (e & 1n) result = mod(result * b);
    return result;
  }
  const inverse = (a: bigint): bigint => power(a, p - 2n);
  const d = mod(-121665n * inverse(121666n));
  const toBytes = (y: bigint): Buffer => Buffer.from(Buffer.from(y.toString(16).padStart(64, '0'), 'hex').toReversed());

  /** All y of points whose order divides 8, from the curve equation. */
  function smallY(): bigint[] {
    const root = (a: bigint): bigint | undefined => {
      let r = power(a, (p + 3n) / 8n);
      if (mod(r * r) !== mod(a)) r = mod(r * power(2n, (p - 1n) / 4n));
      return mod(r * r) === mod(a) ? r : undefined;
    };
    // Order 8: doubling gives y = 0, so x² = -y², hence d·y⁴ + 2y² - 1 = 0.
    const s = root(1n + d)!;
    const order8 = [mod((-1n + s) * inverse(d)), mod((-1n - s) * inverse(d))].flatMap((square) => {
      const y = root(square);
      return y === undefined ? [] : [y, mod(-y)];
    });
    return [0n, 1n, p - 1n, ...order8];
  }

  it('are refused in each of their spellings, sign bit and second spelling included', () => {
    const ys = smallY();
    expect(ys).toHaveLength(5);
    for (const y of [...ys, p, p + 1n]) {
      for (const signBit of [0, 0x80]) {
        const point = toBytes(y);
        point[31]! |= signBit;
        expect(parsePublicKey(publicText(point)).ok).toBe(false);
      }
    }
  });

  it('would let anybody sign in libraries that take them; node does not', () => {
    const identity = Buffer.alloc(32);
    identity[0] = 1;
    expect(parsePublicKey(publicText(identity))).toMatchObject({ ok: false });
    const honest = SigningKey.generate('cluster');
    const parsed = parsePublicKey(honest.publicKey);
    expect(parsed.ok).toBe(true);
    const { privateKey } = generateKeyPairSync('ed25519');
    expect(parsed.ok && verify(null, Buffer.from('x'), parsed.key, sign(null, Buffer.from('x'), privateKey))).toBe(false);
  });
});
