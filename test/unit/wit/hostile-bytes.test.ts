import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AsyncValues } from '../../../src/wit/async-values.ts';
import { heldMemory } from '../../support/held-memory.ts';
import { plainTypes, typedValues } from '../../support/wit-arbitraries.ts';
import { codecOf, hex } from '../../support/wit-functions.ts';

describe('bytes that are no value', () => {
  it.each([
    ['bool', '02', 'a bool, option or result is neither 0 nor 1 at byte 0'],
    ['option<u8>', '02', 'a bool, option or result is neither 0 nor 1 at byte 0'],
    ['result', '02', 'a bool, option or result is neither 0 nor 1 at byte 0'],
    ['future<u8>', '02', 'a bool, option or result is neither 0 nor 1 at byte 0'],
    ['u16', 'ffff04', 'an integer is too large at byte 2'],
    ['u16', '808080', 'an integer is too large at byte 2'],
    ['u32', 'ffffffff10', 'an integer is too large at byte 4'],
    ['u32', '808080808000', 'an integer is too large at byte 4'],
    ['u64', '80808080808080808002', 'an integer is too large at byte 9'],
    ['s16', 'ffff04', 'an integer is too large at byte 2'],
    ['s16', 'ffff7d', 'an integer is too large at byte 2'],
    ['s16', '808080', 'an integer is too long at byte 2'],
    ['s32', 'ffffffff10', 'an integer is too large at byte 4'],
    ['s32', 'ffffffff77', 'an integer is too large at byte 4'],
    ['s64', '80808080808080808002', 'an integer is too large at byte 9'],
    ['s64', '8080808080808080807e', 'an integer is too large at byte 9'],
    ['string', '03fffefd', 'a string is not UTF-8 at byte 1'],
    ['string', '03eda080', 'a string is not UTF-8 at byte 1'],
    ['string', '02c080', 'a string is not UTF-8 at byte 1'],
    ['char', 'eda080', 'a character is not UTF-8 at byte 0'],
    ['char', 'c080', 'a character is not UTF-8 at byte 0'],
    ['char', '80', 'a character is not UTF-8 at byte 0'],
    ['char', 'f4908080', 'a character is not UTF-8 at byte 0'],
    ['char', 'f5', 'a character is not UTF-8 at byte 0'],
    ['char', 'e241', 'a character is not UTF-8 at byte 0'],
    ['enum{a, b}', '02', 'an enum has no such case at byte 1'],
    ['variant{a, b(u8)}', 'ffffffff0f', 'a variant has no such case at byte 5'],
    ['stream', '818004', 'a list of empty elements is too long at byte 3'],
  ])('%s %s', (type, bytes, reason) => {
    expect(codecOf(type).decodeResult(hex(bytes))).toEqual({ ok: false, incomplete: false, reason, need: 0 });
  });

  it.each([
    ['u16', '8000', 0],
    ['u32', '8080808000', 0],
    ['u64', '80808080808080808000', 0n],
    ['s16', '808000', 0],
    ['s32', 'ffffffff7f', -1],
    ['s64', 'ffffffffffffffffff7f', -1n],
    ['list<u8>', '820001 02', hex('0102')],
    ['flags{a}', 'ff', { a: true }],
  ])('reads the longer form %s %s', (type, bytes, value) => {
    expect(codecOf(type).decodeResult(hex(bytes))).toMatchObject({ ok: true, values: [value] });
  });

  it('never throws, whatever the bytes', () => {
    fc.assert(
      fc.property(plainTypes, fc.uint8Array({ maxLength: 64 }), (type, bytes) => {
        const decoded = codecOf(type).decodeResult(bytes);
        if (decoded.ok) expect(decoded.consumed).toBeLessThanOrEqual(bytes.length);
        else if (decoded.incomplete) expect(decoded.need).toBeGreaterThan(bytes.length);
      }),
      { numRuns: 5000, interruptAfterTimeLimit: 2000 },
    );
  });

  it('never throws, whatever changed in a good encoding', () => {
    fc.assert(
      fc.property(typedValues, fc.nat(), fc.nat(255), ({ type, value }, place, byte) => {
        const codec = codecOf(type);
        const encoded = codec.encodeResult(value);
        if (!encoded.ok || encoded.bytes.length === 0) return;
        encoded.bytes[place % encoded.bytes.length] = byte;
        const decoded = codec.decodeResult(encoded.bytes);
        if (decoded.ok) expect(codec.encodeResult(decoded.values[0]).ok).toBe(true);
      }),
      { numRuns: 3000, interruptAfterTimeLimit: 2000 },
    );
  });
});

describe('memory', () => {
  const heldBytes = (): number => {
    const { heapUsed, external } = heldMemory();
    return heapUsed + external;
  };

  it('does not believe an announced length', () => {
    for (const type of ['list<u64>', 'list<string>', 'list<tuple<u64, string>>', 'list<u8>', 'string', 'list<f64>']) {
      const decoded = codecOf(type).decodeResult(hex('ffffffff0f 00'));
      expect(decoded).toMatchObject({ ok: false, incomplete: true });
      if (!decoded.ok) expect(decoded.need).toBeGreaterThanOrEqual(0xffff_ffff);
    }
  });

  // The worst is one byte of flags: an object with eight fields.
  it.each([
    ['list<u64>', '00'],
    ['list<option<u8>>', '00'],
    ['list<list<u8>>', '00'],
    ['list<list<u8>>', '0100'],
    ['list<list<string>>', '00'],
    ['list<variant{a}>', '00'],
    ['list<result<u8>>', '0000'],
    ['list<own<r>>', '0101'],
    ['list<flags{a, b, c, d, e, f, g, h}>', 'ff'],
    ['list<record{a: u8, b: bool}>', '0001'],
  ])('takes a bounded multiple of what arrived: %s of %s', (type, element) => {
    const count = 200_000;
    const body = new Uint8Array(3 + (count * element.length) / 2);
    body.set(hex('c09a0c'));
    for (let at = 3; at < body.length; at += element.length / 2) body.set(hex(element), at);
    const codec = codecOf(type);
    const before = heldBytes();
    const decoded = codec.decodeResult(body);
    const grown = heldBytes() - before;
    expect(decoded.ok && (decoded.values[0] as unknown[]).length).toBe(count);
    expect(grown / body.length).toBeLessThan(200);
  });

  it('bounds what waits for a slow reader', () => {
    const faults: string[] = [];
    const values = new AsyncValues({ maxBufferedBytes: 1000, maxPaths: 2, onFault: (reason) => faults.push(reason) });
    expect(values.push('0', new Uint8Array(900), false)).toBe(true);
    expect(values.push('1', new Uint8Array(101), false)).toBe(false);
    expect(values.bufferedBytes).toBe(0);
    expect(values.push('0', new Uint8Array(1), false)).toBe(false);
    expect(faults).toEqual(['a stream is read too slowly']);
    const many = new AsyncValues({ maxPaths: 2 });
    expect([many.push('0', hex('00'), true), many.push('1', hex('00'), true), many.push('2', hex('00'), true)]).toEqual([
      true,
      true,
      false,
    ]);
    for (const path of ['', '.', '0.', 'x', '-1', '0.99999999999', '0'.repeat(200)])
      expect(new AsyncValues().push(path, hex('00'), true)).toBe(false);
  });

  it('reads a value that arrives byte by byte without reading it over and over', async () => {
    const values = new AsyncValues();
    const elements = 3000;
    const got = codecOf('future<list<list<string>>>').decodeResult(hex('00'), values);
    const bytes = codecOf('list<list<string>>').encodeResult(Array.from({ length: elements }, () => ['a', 'b', 'c']));
    if (!bytes.ok || !got.ok) throw new Error('not reached');
    const started = performance.now();
    for (const byte of bytes.bytes) values.push('0', Uint8Array.of(byte), false);
    values.push('0', hex(''), true);
    expect(await (got.values[0] as Promise<unknown[]>)).toHaveLength(elements);
    // Over and over it would be minutes.
    expect(performance.now() - started).toBeLessThan(15_000);
  });
});
