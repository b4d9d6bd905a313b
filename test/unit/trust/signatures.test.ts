import { describe, expect, it } from 'vitest';
import { rootFromPath } from '../../../src/trust/merkle.ts';
import { SigningKey, parsePublicKey } from '../../../src/trust/nkey.ts';
import { SignatureChecker } from '../../../src/trust/signatures.ts';
import { batchMessage, leafHash, openToken, type OpenToken } from '../../../src/trust/token.ts';
import { createTrustWorld, signCalls } from '../../support/trust.ts';

const key = SigningKey.generate('cluster');
const other = SigningKey.generate('cluster');
const keyOf = (k: SigningKey) => {
  const parsed = parsePublicKey(k.publicKey);
  if (!parsed.ok) throw new Error(parsed.reason);
  return parsed.key;
};
const batchOf = (count: number): OpenToken[] =>
  signCalls(createTrustWorld({ key }).signer, count).map(({ token }) => openToken(token, 'request') as OpenToken);

describe('signature checker', () => {
  it('checks one signature a batch', () => {
    const checker = new SignatureChecker(70_000);
    for (const token of batchOf(40)) expect(checker.check(token, key.publicKey, keyOf(key), 0)).toBe(true);
    expect(checker.stats).toEqual({ checks: 1, remembered: 39 });
  });

  it('lets a remembered root serve no other issuer, signature, count or leaf', () => {
    const checker = new SignatureChecker(70_000);
    const [token] = batchOf(5) as [OpenToken];
    expect(checker.check(token, key.publicKey, keyOf(key), 0)).toBe(true);
    const place = token.proof.place!;
    const flipped = Buffer.from(token.proof.signature);
    flipped[63]! ^= 1;
    const path = `${String.fromCharCode(place.path.charCodeAt(0) ^ 1)}${place.path.slice(1)}`;
    const variants: [OpenToken, SigningKey][] = [
      [token, other],
      [{ ...token, proof: { ...token.proof, signature: flipped } }, key],
      [{ ...token, proof: { ...token.proof, place: { ...place, count: 6 } } }, key],
      [{ ...token, proof: { ...token.proof, place: { ...place, index: 1 } } }, key],
      [{ ...token, proof: { ...token.proof, place: { ...place, path } } }, key],
      [{ ...token, signedText: `${token.signedText}A` }, key],
      [{ ...token, proof: { signature: token.proof.signature, place: undefined } }, key],
    ];
    for (const [variant, k] of variants) expect(checker.check(variant, k.publicKey, keyOf(k), 0)).toBe(false);
    // A refused variant has not displaced the good root.
    const before = checker.stats.checks;
    expect(checker.check(token, key.publicKey, keyOf(key), 0)).toBe(true);
    expect(checker.stats.checks).toBe(before);
  });

  it('forgets a root with its tokens, and checks again', () => {
    const checker = new SignatureChecker(70_000);
    const [first, second] = batchOf(2) as [OpenToken, OpenToken];
    checker.check(first, key.publicKey, keyOf(key), 1_000);
    checker.check(second, key.publicKey, keyOf(key), 71_000);
    expect(checker.stats).toEqual({ checks: 2, remembered: 0 });
    expect(checker.size).toBe(1);
  });

  it('is bounded in number and drops the expired', () => {
    const checker = new SignatureChecker(10);
    for (let n = 0; n < 30; n++) checker.check(batchOf(2)[0]!, key.publicKey, keyOf(key), n);
    expect(checker.size).toBeLessThanOrEqual(10);
  });

  it('forgets in the order in which roots were proved last', () => {
    const checker = new SignatureChecker(10);
    const [renewed, other, third] = [batchOf(2), batchOf(2), batchOf(2)].map(([token]) => token!);
    const check = (token: OpenToken, nowMs: number): void => {
      expect(checker.check(token, key.publicKey, keyOf(key), nowMs)).toBe(true);
    };
    check(renewed!, 0);
    check(other!, 5);
    check(renewed!, 11);
    check(third!, 16);
    // The second one had no more to give; the first one, proved again later, has.
    expect(checker.size).toBe(2);
    check(renewed!, 20);
    expect(checker.stats).toEqual({ checks: 4, remembered: 1 });
  });

  it('remembers 4,096 roots, and drops the oldest for another', () => {
    const checker = new SignatureChecker(10);
    const proved = (n: number): boolean => {
      const signedText = `inv2b.${n}`;
      const path = 'x'.repeat(32);
      const message = batchMessage(rootFromPath(leafHash(signedText, 'binary'), 0, 2, path), 2);
      const proof = { signature: key.sign(Buffer.from(message, 'latin1')), place: { index: 0, count: 2, path } };
      return checker.check({ signedText, claimsText: '', proof }, key.publicKey, keyOf(key), 0);
    };
    for (let n = 0; n < 4_097; n++) if (!proved(n)) expect.unreachable();
    expect(checker.size).toBe(4_096);
    expect(proved(1) && checker.stats.remembered).toBe(1);
    expect(proved(0) && checker.stats.remembered).toBe(1);
  });
});
