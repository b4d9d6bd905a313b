import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { HEADERS, MAX_TOKEN_CHARS, openToken, sealBatched, sealSingle, signedTextOf } from '../../../src/trust/token.ts';
import { anyText } from '../../support/texts.ts';

describe('token frame', () => {
  const signature = Buffer.alloc(64, 3);
  const path = ['x'.repeat(32), 'y'.repeat(32)];
  const claims = '{"any":"thing"}';
  const single = sealSingle(signedTextOf(HEADERS.request.single, claims), signature);
  const batched = sealBatched(signedTextOf(HEADERS.request.batched, claims), signature, 2, 4, path);

  it('opens both forms', () => {
    expect(openToken(single, 'request')).toMatchObject({ claimsText: claims, proof: { signature, place: undefined } });
    expect(openToken(batched, 'request')).toMatchObject({
      claimsText: claims,
      proof: { signature, place: { index: 2, count: 4, path: path.join('') } },
    });
  });

  it.each([
    ['index as large as the count', 4, 4, 2, 'place 4 in a batch of 4'],
    ['index above the count', 5, 4, 2, 'place 5 in a batch of 4'],
    ['count of one', 0, 1, 0, 'batch of 1 tokens'],
    ['count of none', 0, 0, 0, 'batch of 0 tokens'],
    ['count over the limit', 0, 1025, 11, 'batch of 1025 tokens'],
    ['path too short', 2, 4, 1, 'path of the wrong length'],
    ['path too long', 2, 4, 3, 'path of the wrong length'],
    ['no path', 0, 2, 0, 'path of the wrong length'],
    ['path of a promoted leaf too long', 4, 5, 3, 'path of the wrong length'],
  ])('refuses a proof with %s', (_, index, count, steps, reason) => {
    const token = sealBatched(
      signedTextOf(HEADERS.request.batched, claims),
      signature,
      index,
      count,
      Array(steps).fill('z'.repeat(32)),
    );
    expect(openToken(token, 'request')).toEqual({ fault: 'malformed', reason });
  });

  it('opens the smallest and the largest batch', () => {
    for (const [index, count, steps] of [
      [1, 2, 1],
      [1023, 1024, 10],
    ] as const) {
      const token = sealBatched(signedTextOf('inv2b', claims), signature, index, count, Array(steps).fill('z'.repeat(32)));
      expect(openToken(token, 'request')).toMatchObject({ proof: { place: { index, count } } });
    }
  });

  it.each([
    ['a short signature', `inv2s.e30.${Buffer.alloc(63).toString('base64url')}`, 'proof has 63 bytes, a signature has 64'],
    ['a long signature', `inv2s.e30.${Buffer.alloc(65).toString('base64url')}`, 'proof has 65 bytes, a signature has 64'],
    ['a batch without a place', `inv2b.e30.${Buffer.alloc(67).toString('base64url')}`, 'batched proof is too short'],
    ['two parts', 'inv2s.AAAA', 'has two parts, not three'],
    ['four parts', `${single}.AAAA`, 'is not spelt in canonical base64url'],
    ['padded claims', single.replace('.', '.='), 'is not spelt in canonical base64url'],
    ['a padded proof', `${single}=`, 'is not spelt in canonical base64url'],
    ['a character too much', `inv2s.${'A'.repeat(MAX_TOKEN_CHARS - 5)}`, '4097 characters, at most 4096 are read'],
  ])('says what is wrong with %s', (_, text, reason) => {
    expect(openToken(text, 'request')).toEqual({ fault: 'malformed', reason });
  });

  it('says of a foreign header only what it is not, and of the longest text the same as of any', () => {
    for (const text of ['', 'inv2s', 'inv2s:', 'res2s.e30.AA', 'inv3s.e30.AA', 'undefined.e30.AA']) {
      expect(openToken(text, 'request')).toEqual({ fault: 'form', reason: 'is no request token of version 2' });
    }
    expect(openToken('inv2s.e30.AA', 'revocation')).toEqual({ fault: 'form', reason: 'is no revocation token of version 2' });
    const longest = `inv2s.${'A'.repeat(MAX_TOKEN_CHARS - 6 - 87)}.${Buffer.alloc(64).toString('base64url')}`;
    expect(longest).toHaveLength(MAX_TOKEN_CHARS);
    expect(openToken(longest, 'request')).toMatchObject({ signedText: longest.slice(0, MAX_TOKEN_CHARS - 87) });
  });

  it('has one header word for each kind and form, no two alike', () => {
    expect(
      Object.values(HEADERS)
        .flatMap((words) => Object.values(words))
        .join(' '),
    ).toBe('inv2s inv2b res2s res2b acc2s acc2b cnf2s cnf2b dlg2s iss2s rev2s ctl2s');
  });

  it('refuses one form under the header of the other, and each kind as another', () => {
    expect(openToken(HEADERS.request.batched + single.slice(5), 'request')).toMatchObject({ fault: 'malformed' });
    expect(openToken(HEADERS.request.single + batched.slice(5), 'request')).toMatchObject({ fault: 'malformed' });
    for (const kind of ['result', 'accept'] as const) {
      expect(openToken(single, kind)).toMatchObject({ fault: 'form' });
      expect(openToken(batched, kind)).toMatchObject({ fault: 'form' });
    }
  });

  it('never throws, whatever comes', () => {
    const text = fc.oneof(
      anyText(60),
      fc.tuple(fc.constantFrom('inv2s', 'inv2b', 'res2s'), fc.base64String(), fc.base64String()).map((parts) => parts.join('.')),
      fc.nat(batched.length).map((length) => batched.slice(0, length)),
    );
    fc.assert(fc.property(text, (t) => 'fault' in openToken(t, 'request') || openToken(t, 'request') !== undefined));
    expect(openToken('inv2s.'.padEnd(MAX_TOKEN_CHARS + 1, 'A'), 'request')).toMatchObject({ fault: 'malformed' });
  });
});
