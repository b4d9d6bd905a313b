import { createHash } from 'node:crypto';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  bytesDigest,
  ClaimsReader,
  decodeBase64url,
  decodeBase64urlText,
  pairDigest,
  textDigest,
} from '../../../src/trust/canonical.ts';

/** The definition of D, written the slow way. */
function digest(label: string, ...parts: Uint8Array[]): Buffer {
  const hash = createHash('sha256').update(`wzt2\0${label}\0`, 'latin1');
  for (const part of parts) {
    const length = Buffer.alloc(8);
    length.writeBigUInt64BE(BigInt(part.length));
    hash.update(length).update(part);
  }
  return hash.digest();
}

describe('base64url', () => {
  it('reads what it would write, and nothing else', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        const text = Buffer.from(bytes).toString('base64url');
        expect(decodeBase64url(text)).toEqual(Buffer.from(bytes));
        expect(decodeBase64urlText(text)).toBe(Buffer.from(bytes).toString('latin1'));
      }),
    );
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...'AQgw_-+/=. \n\u00e9'), maxLength: 9 }), (text) => {
        const bytes = decodeBase64url(text);
        expect(decodeBase64urlText(text)).toBe(bytes?.toString('latin1'));
        if (bytes !== undefined) expect(bytes.toString('base64url')).toBe(text);
      }),
    );
  });

  it('refuses a text longer than its workspace', () => {
    expect(decodeBase64urlText('A'.repeat(8192))).toHaveLength(6144);
    expect(decodeBase64urlText('A'.repeat(8196))).toBeUndefined();
  });
});

describe('domain-separated digests', () => {
  it('follow their definition for any size and any split', () => {
    const ofBytes = bytesDigest('params');
    const sizes = fc.oneof(fc.nat(300), fc.integer({ min: 16_300, max: 16_500 }), fc.constant(70_000));
    fc.assert(
      fc.property(sizes, fc.array(fc.nat(70_000), { maxLength: 4 }), (size, cuts) => {
        const bytes = Buffer.alloc(size, 'ab\0c');
        const edges = [0, ...cuts.filter((cut) => cut < size).sort((a, b) => a - b), size];
        const pieces = edges.slice(1).map((end, n) => bytes.subarray(edges[n], end));
        const expected = digest('params', bytes).toString('base64url');
        expect(ofBytes(bytes, 'base64url')).toBe(expected);
        expect(ofBytes(pieces, 'base64url')).toBe(expected);
      }),
      { numRuns: 60 },
    );
    expect(textDigest('leaf')('text', 'binary')).toBe(digest('leaf', Buffer.from('text')).toString('latin1'));
    const long = 'x\xff'.repeat(10_000);
    expect(textDigest('leaf')(long, 'base64url')).toBe(digest('leaf', Buffer.from(long, 'latin1')).toString('base64url'));
    const pair = pairDigest('node', 2, 3)('\xffa', 'bcd');
    expect(pair).toBe(digest('node', Buffer.from('\xffa', 'latin1'), Buffer.from('bcd')).toString('latin1'));
  });

  it('differ by label', () => {
    expect(bytesDigest('params')(Buffer.from('x'), 'binary')).not.toBe(bytesDigest('result')(Buffer.from('x'), 'binary'));
  });
});

describe('claims reader', () => {
  function read(text: string): readonly [string, number] | undefined {
    const reader = new ClaimsReader(text);
    reader.literal('{"a":"');
    const a = reader.value();
    reader.literal('","n":');
    const n = reader.integer();
    reader.literal('}');
    return reader.end() ? [a, n] : undefined;
  }

  it('accepts exactly what JSON.stringify writes', () => {
    const plain = fc.string({ unit: fc.constantFrom(...'abcXYZ019 :/@._-{},') });
    fc.assert(
      fc.property(plain, fc.maxSafeNat(), (a, n) => {
        expect(read(JSON.stringify({ a, n }))).toEqual([a, n]);
      }),
    );
  });

  it('accepts no second spelling of anything', () => {
    for (const text of [
      '{"a":"x","n":1} ',
      ' {"a":"x","n":1}',
      '{"a": "x","n":1}',
      '{"n":1,"a":"x"}',
      '{"a":"x","a":"x","n":1}',
      '{"a":"x","n":1,"b":2}',
      '{"a":"\\u0078","n":1}',
      '{"a":"x\\"","n":1}',
      '{"a":"\u00e9","n":1}',
      '{"a":"x\n","n":1}',
      '{"a":"x","n":01}',
      '{"a":"x","n":-1}',
      '{"a":"x","n":-0}',
      '{"a":"x","n":+1}',
      '{"a":"x","n":1.0}',
      '{"a":"x","n":1e3}',
      '{"a":"x","n":"1"}',
      '{"a":"x","n":null}',
      '{"a":"x","n":}',
      '{"a":"x","n":9007199254740992}',
      `{"a":"x","n":${'9'.repeat(400)}}`,
      '{"a":"x"}',
      '{"a":"x","n":1',
      '',
    ]) {
      expect(read(text), text).toBeUndefined();
    }
    expect(read('{"a":"x","n":9007199254740991}')).toEqual(['x', Number.MAX_SAFE_INTEGER]);
    expect(read('{"a":"","n":0}')).toEqual(['', 0]);
  });

  it('gives no value of what has no end, or comes after a fault', () => {
    for (const text of ['{"a":"', '{"a":"xyz']) {
      const open = new ClaimsReader(text);
      open.literal('{"a":"');
      expect(open.value()).toBe('');
      expect(open.end()).toBe(false);
    }
    const failed = new ClaimsReader('{"a":"x"}');
    failed.literal('{"b":"');
    expect(failed.value()).toBe('');
    expect(failed.integer()).toBe(0);
    expect(failed.optional('{"a":"')).toBe(false);
    expect(failed.end()).toBe(false);
  });

  it('steps over an optional part only where it stands', () => {
    const reader = new ClaimsReader('{"a":"x","b":"y"}');
    expect(reader.optional('","b":"')).toBe(false);
    reader.literal('{"a":"');
    expect(reader.optional('"}')).toBe(false);
    expect(reader.value()).toBe('x');
    expect(reader.optional('","b":"')).toBe(true);
    expect(reader.value()).toBe('y');
    expect(reader.optional('"}')).toBe(true);
    expect(reader.optional('"}')).toBe(false);
    expect(reader.end()).toBe(true);
  });
});
