import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compileFunction } from '../../../src/wit/codec.ts';
import { fromJson, toJson } from '../../../src/wit/json.ts';
import { parseWitType, printWitType } from '../../../src/wit/type-text.ts';
import { plainTypes, typedValues } from '../../support/wit-arbitraries.ts';
import { codecOf, hex, toHex, witFunction } from '../../support/wit-functions.ts';

const limits = { numRuns: 2000, interruptAfterTimeLimit: 2500 } as const;

describe('round trips', () => {
  it('gives back every value of every type', () => {
    fc.assert(
      fc.property(typedValues, fc.boolean(), ({ type, value }, maskedSigned) => {
        const codec = codecOf(type, { maskedSigned });
        const encoded = codec.encodeResult(value);
        if (!encoded.ok) throw new Error(encoded.reason);
        const decoded = codec.decodeResult(encoded.bytes);
        if (!decoded.ok) throw new Error(decoded.reason);
        expect(decoded.consumed).toBe(encoded.bytes.length);
        expect(isDeepStrictEqual(decoded.values, [value])).toBe(true);
      }),
      limits,
    );
  });

  it('gives back every value through JSON', () => {
    fc.assert(
      fc.property(typedValues, ({ type, value }) => {
        const json = JSON.parse(JSON.stringify(toJson(type, value))) as unknown;
        const back = fromJson(type, json);
        const codec = codecOf(type);
        expect(codec.encodeResult(back)).toEqual(codec.encodeResult(value));
      }),
      limits,
    );
  });

  it('gives back every type through its text', () => {
    fc.assert(
      fc.property(plainTypes, (type) => {
        expect(parseWitType(printWitType(type))).toEqual(type);
      }),
      { numRuns: 500, interruptAfterTimeLimit: 2000 },
    );
  });

  it('keeps parameters apart', () => {
    const codec = compileFunction(witFunction(['string', 'list<u8>', 'u32'], null));
    const encoded = codec.encodeParams(['a.b', hex('01'), 1000]);
    expect(encoded.ok && toHex(encoded.bytes)).toBe('03612e620101e807');
    const decoded = codec.decodeParams(hex('03612e620101e807 ff'));
    expect(decoded).toEqual({ ok: true, values: ['a.b', hex('01'), 1000], consumed: 8 });
    expect(codec.encodeResult(undefined)).toEqual({ ok: true, bytes: hex(''), pending: [] });
    expect(codec.decodeResult(hex(''))).toEqual({ ok: true, values: [], consumed: 0 });
  });
});

describe('signed integers that need the longest form', () => {
  // Standard form, the form that leb128-tokio 0.1.6 reads, value.
  it.each([
    ['s16', 'ffbf7f', 'ffbf03', -8193],
    ['s16', '80807e', '808002', -32768],
    ['s32', 'ffffffbf7f', 'ffffffbf0f', -134217729],
    ['s32', '8080808078', '8080808008', -2147483648],
    ['s32', 'ffffffff07', 'ffffffff07', 2147483647],
    ['s64', 'ffffffffffffffffbf7f', 'ffffffffffffffffbf01', -4611686018427387905n],
    ['s64', '8080808080808080807f', '80808080808080808001', -(2n ** 63n)],
    ['s64', 'ffffffffffffffffff00', 'ffffffffffffffffff00', 2n ** 63n - 1n],
    ['s64', '8080808078', '8080808078', -(2n ** 31n)],
  ])('%s %s', (type, standard, masked, value) => {
    const encoded = codecOf(type).encodeResult(value);
    expect(encoded.ok && toHex(encoded.bytes)).toBe(standard);
    const other = codecOf(type, { maskedSigned: true }).encodeResult(value);
    expect(other.ok && toHex(other.bytes)).toBe(masked);
    for (const form of [standard, masked]) expect(codecOf(type).decodeResult(hex(form))).toMatchObject({ values: [value] });
  });
});

describe('values that do not fit', () => {
  it.each([
    ['u8', 256, 'result: 256 is not a u8'],
    ['u8', 1.5, 'result: 1.5 is not a u8'],
    ['u8', '1', 'result: expected a number (u8), got a string'],
    ['s32', 2 ** 31, 'result: 2147483648 is not a s32'],
    ['u64', -1n, 'result: -1 is not a u64'],
    ['u64', 2n ** 64n, 'result: 18446744073709551616 is not a u64'],
    ['s64', 0.5, 'result: expected a bigint (s64), got a number'],
    ['f64', '1', 'result: expected a number, got a string'],
    ['bool', 1, 'result: expected a boolean, got a number'],
    ['string', null, 'result: expected a string, got null'],
    ['string', 'a\ud800', 'result: holds half of a surrogate pair'],
    ['char', 'ab', 'result: is not one character'],
    ['char', '', 'result: is not one character'],
    ['char', '\udc00', 'result: is half of a surrogate pair'],
    ['list<string>', ['a', 1], 'result[1]: expected a string, got a number'],
    ['list<u8>', [1, 256], 'result[1]: 256 is not a u8'],
    ['list<u16>', 'x', 'result: expected an array of u16, got a string'],
    ['tuple<u8, u8>', [1], 'result: expected 2 values, got 1'],
    ['record{a-b: u8}', {}, 'result.aB: expected a number (u8), got nothing'],
    ['record{a: list<record{b: string}>}', { a: [{ b: 'x' }, { b: 2 }] }, 'result.a[1].b: expected a string, got a number'],
    ['variant{a, b(u8)}', { tag: 'c' }, 'result: has no case "c"'],
    ['variant{a, b(u8)}', { tag: 'b', val: 'x' }, 'result.b: expected a number (u8), got a string'],
    ['variant{a}', { tag: 'constructor' }, 'result: has no case "constructor"'],
    ['enum{a}', 'toString', 'result: has no case "toString"'],
    ['flags{a-b}', { aB: 1 }, 'result.aB: expected a boolean, got a number'],
    ['option<option<u8>>', 1, 'result: expected an object, got a number'],
    ['result<u8>', { tag: 'fine' }, "result: expected {tag: 'ok', val} or {tag: 'err', val}"],
    ['own<r>', 'x', 'result: expected the bytes of a handle, got a string'],
    ['stream<u8>', 'abc', 'result: expected a stream, got string'],
  ])('%s (%#)', (type, value, reason) => {
    expect(codecOf(type).encodeResult(value)).toEqual({ ok: false, reason });
  });

  it('names the parameter', () => {
    const codec = compileFunction(witFunction(['u8', 'record{a: u8}'], null));
    expect(codec.encodeParams([1, { a: 'x' }])).toEqual({
      ok: false,
      reason: 'parameter p1.a: expected a number (u8), got a string',
    });
    expect(codec.encodeParams([1])).toEqual({ ok: false, reason: 'expected 2 parameters, got 1' });
  });

  it('survives a value whose getter throws, and works again afterwards', () => {
    const codec = codecOf('record{a: u8}');
    const hostile = Object.defineProperty({}, 'a', {
      get() {
        throw new Error('no');
      },
    });
    expect(codec.encodeResult(hostile)).toEqual({ ok: false, reason: 'result: no' });
    expect(codec.encodeResult({ a: 1 })).toMatchObject({ ok: true });
  });

  it('encodes inside an encoding', () => {
    const inner = codecOf('string');
    const value = Object.defineProperty({}, 'a', { get: () => (inner.encodeResult('x').ok ? 7 : 0) });
    const encoded = codecOf('record{a: u8, b: u8}').encodeResult(Object.assign(value, { b: 8 }));
    expect(encoded.ok && toHex(encoded.bytes)).toBe('0708');
  });
});

describe('shapes', () => {
  it('takes what jco gives and also plain arrays and small numbers', () => {
    const same = (type: string, ...values: unknown[]): void => {
      const encodings = values.map((value) => {
        const encoded = codecOf(type).encodeResult(value);
        return encoded.ok ? toHex(encoded.bytes) : encoded.reason;
      });
      expect(new Set(encodings).size, `${type}: ${encodings.join(' ')}`).toBe(1);
    };
    same('list<u8>', new Uint8Array([1, 255]), [1, 255], Buffer.from([1, 255]));
    same('list<u32>', new Uint32Array([1, 300]), [1, 300], new Uint16Array([1, 300]));
    same('list<s64>', new BigInt64Array([-1n, 300n]), [-1, 300], [-1n, 300n]);
    same('u64', 5, 5n);
    same('option<string>', undefined, null);
    same('flags{a, b}', {}, { a: false, b: false }, { a: undefined, other: true });
    same('variant{a}', { tag: 'a' }, { tag: 'a', val: 1 });
    same('result', { tag: 'ok' }, { tag: 'ok', val: undefined });
  });

  it('tags an option around a plain option only', () => {
    expect(codecOf('option<option<u8>>').decodeResult(hex('0100'))).toMatchObject({ values: [{ tag: 'some', val: undefined }] });
    expect(codecOf('option<option<option<u8>>>').decodeResult(hex('010100'))).toMatchObject({
      values: [{ tag: 'some', val: undefined }],
    });
    expect(codecOf('option<option<option<u8>>>').decodeResult(hex('00'))).toMatchObject({ values: [undefined] });
  });

  it('hands handles to the hooks', () => {
    const codec = codecOf('tuple<own<file>, borrow<file>>', {
      handles: {
        encode: (kind, resource, value) => Buffer.from(`${kind} ${resource} ${String(value)}`),
        decode: (kind, resource, bytes) => `${kind} ${resource} ${bytes.length}`,
      },
    });
    const encoded = codec.encodeResult([1, 2]);
    expect(encoded.ok && codec.decodeResult(encoded.bytes)).toMatchObject({ values: [['own file 10', 'borrow file 13']] });
  });
});
