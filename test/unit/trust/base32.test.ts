import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeBase32, encodeBase32 } from '../../../src/trust/base32.ts';

describe('base32', () => {
  it.each([
    ['', ''],
    ['f', 'MY'],
    ['fo', 'MZXQ'],
    ['foo', 'MZXW6'],
    ['foob', 'MZXW6YQ'],
    ['fooba', 'MZXW6YTB'],
    ['foobar', 'MZXW6YTBOI'],
  ])('writes %j as RFC 4648 does', (bytes, text) => {
    expect(encodeBase32(Buffer.from(bytes))).toBe(text);
    expect(decodeBase32(text)).toEqual(Buffer.from(bytes));
  });

  it.each(['A', 'AAA', 'AAAAAA', 'MZ', 'MZXW6YQAA', 'MY======', 'my', 'M1', 'M Y'])(
    'refuses %j, which it would never write',
    (text) => {
      expect(decodeBase32(text)).toBeUndefined();
    },
  );

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
