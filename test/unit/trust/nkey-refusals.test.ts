import { generateKeyPairSync, sign, verify } from 'node:crypto';
import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { TrellisError } from '../../../src/errors.ts';
import { decodeBase32 } from '../../../src/trust/base32.ts';
import { parsePublicKey, publicKeyKind, seedKind, SigningKey } from '../../../src/trust/nkey.ts';
import { nkeyText, publicText } from '../../support/nkeys.ts';

const key = SigningKey.generate('cluster');
const seed = key.exportSeed().reveal();
/** `text` with another last letter, so that its checksum does not fit. */
const mistyped = (text: string): string => text.slice(0, -1) + (text.endsWith('A') ? 'B' : 'A');
/** A well-formed text of a seed's length with these two bytes in front. */
const seedText = (first: number, second: number): string => nkeyText(Buffer.from([first, second, ...Buffer.alloc(32, 7)]));

describe('what a refusal of a public key says', () => {
  it.each<[string, unknown, string]>([
    ['no text', undefined, 'not a text'],
    ['a number', 7, 'not a text'],
    ['nothing', '', 'has 0 characters, a public key has 56'],
    ['a seed', seed, 'has 58 characters, a public key has 56'],
    ['a mistyped key', mistyped(key.publicKey), 'is mistyped: its checksum does not fit'],
    ['a kind nobody knows', publicText(Buffer.alloc(32, 9), 3 << 3), 'begins with D, which is no public key kind'],
    ['the mark of a seed', publicText(Buffer.alloc(32, 9), 18 << 3), 'begins with S, which is no public key kind'],
    ['a type byte with a low bit', publicText(Buffer.alloc(32, 9), (2 << 3) | 1), 'begins with C, which is no public key kind'],
  ])('about %s', (_, text, reason) => {
    expect(parsePublicKey(text as string)).toEqual({ ok: false, reason });
  });
});

describe('seeds', () => {
  const CLUSTER = [(18 << 3) | (16 >> 5), (16 & 31) << 3] as const;

  it('are known by their mark, their kind and their unused bits', () => {
    expect(seedKind(seedText(...CLUSTER))).toBe('cluster');
    expect(seedKind(seedText((18 << 3) | 5, 0))).toBe('user');
    expect(seedKind(seedText((2 << 3) | 0, CLUSTER[1]))).toBeUndefined();
    expect(seedKind(seedText((19 << 3) | 0, CLUSTER[1]))).toBeUndefined();
    for (const unused of [1, 2, 4, 7]) expect(seedKind(seedText(CLUSTER[0], CLUSTER[1] | unused))).toBeUndefined();
    expect(seedKind(seedText(CLUSTER[0], 1 << 3))).toBeUndefined();
    for (const value of [undefined, null, 7]) expect(seedKind(value as never)).toBeUndefined();
  });

  it.each<[string, unknown, string]>([
    ['a public key', key.publicKey, 'A cluster seed is needed, but this is a public key'],
    ['a mistyped seed', mistyped(seed), 'The cluster seed is malformed: 58 characters with a fitting checksum are needed'],
    ['nothing', '', 'The cluster seed is malformed: 58 characters with a fitting checksum are needed'],
    ['no text', undefined, 'The cluster seed is malformed: 58 characters with a fitting checksum are needed'],
    [
      'a seed of another kind',
      SigningKey.generate('user').exportSeed().reveal(),
      'A cluster seed is needed, but this is a seed of kind user',
    ],
    ['a text of the right length', seedText(0, 0), 'A cluster seed is needed, but this is no seed'],
  ])('are refused with the fault of %s and never the value', (_, text, message) => {
    let caught: unknown;
    try {
      SigningKey.fromSeed(text as string, 'cluster');
    } catch (error) {
      caught = error;
    }
    expect(caught).toBeInstanceOf(TrellisError);
    expect(caught).toMatchObject({ code: 'TRELLIS_KEY_INVALID', message });
    if (typeof text === 'string' && text !== '') expect(inspect(caught, { depth: 9 })).not.toContain(text.slice(0, 12));
  });

  it('may come as the bytes of a file, which are wiped whatever becomes of them', () => {
    const bytes = Buffer.from(` ${seed}\n`);
    expect(SigningKey.fromSeed(bytes, 'cluster').publicKey).toBe(key.publicKey);
    const publicKey = Buffer.from(key.publicKey);
    expect(() => SigningKey.fromSeed(publicKey, 'cluster')).toThrow('A cluster seed is needed, but this is a public key');
    expect([...bytes, ...publicKey].every((byte) => byte === 0)).toBe(true);
  });

  it('of a curve key make no key that signs', () => {
    const curve = seedText((18 << 3) | ((23 << 3) >> 5), ((23 << 3) & 31) << 3);
    expect(seedKind(curve)).toBe('curve');
    for (const make of [() => SigningKey.fromSeed(curve, 'curve'), () => SigningKey.generate('curve')]) {
      expect(make).toThrow('A curve key encrypts and cannot sign');
    }
  });

  it('leave no copy of themselves in the block that small buffers are cut from', () => {
    // That block lives on: what is not wiped there stands in every later dump of memory.
    const known = 'SCAIYCZTW775GJYX3MVWLURALVC3PULW43PTEKGH72JBMA3A7LOLGLQ2JA';
    const raw = decodeBase32(known)!.subarray(2, 34);
    const block = (): Buffer => Buffer.from(Buffer.allocUnsafe(1).buffer);
    const blocks = [block()];
    const loud = SigningKey.fromSeed(known, 'cluster');
    blocks.push(block());
    expect(loud.exportSeed().reveal()).toBe(known);
    blocks.push(block());
    expect(blocks.map((bytes) => bytes.includes(raw))).toEqual([false, false, false]);
    // The control: a copy that nobody wipes is found.
    expect(Buffer.from(Buffer.from(raw).buffer).includes(raw)).toBe(true);
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

  it.each([
    ['the largest y below the second spellings, but one', 'eb', 'ff', 'ff', '7f'],
    ['one byte of the middle smaller', 'ed', 'fe', 'ff', '7f'],
    ['all of the middle small but one byte', 'ed', 'ff', '00', '7f'],
    ['the last byte smaller', 'ed', 'ff', 'ff', '7e'],
  ])('leave their neighbours alone: %s', (_, first, second, middle, last) => {
    for (const signBit of ['', 'sign']) {
      const point = Buffer.from(first + second + middle.repeat(29) + last, 'hex');
      if (signBit !== '') point[31]! |= 0x80;
      expect(parsePublicKey(publicText(point))).toMatchObject({ ok: true, kind: 'cluster' });
    }
  });

  it('have no kind either, where only the kind of a key is asked for', () => {
    const small = toBytes(1n);
    expect([publicText(small), publicText(small, 23 << 3), key.publicKey, seed].map(publicKeyKind)).toEqual([
      undefined,
      'curve',
      'cluster',
      undefined,
    ]);
  });

  it('are a matter of keys that sign: a curve key may have any of these coordinates', () => {
    for (const y of smallY()) expect(parsePublicKey(publicText(toBytes(y), 23 << 3))).toMatchObject({ ok: true, kind: 'curve' });
  });

  it('would let anybody sign in libraries that take them; node does not', () => {
    const identity = Buffer.alloc(32);
    identity[0] = 1;
    expect(parsePublicKey(publicText(identity))).toEqual({ ok: false, reason: 'is a key under which anybody can sign' });
    const honest = SigningKey.generate('cluster');
    const parsed = parsePublicKey(honest.publicKey);
    expect(parsed.ok).toBe(true);
    const { privateKey } = generateKeyPairSync('ed25519');
    expect(parsed.ok && verify(null, Buffer.from('x'), parsed.key, sign(null, Buffer.from('x'), privateKey))).toBe(false);
  });
});
