import { describe, expect, it } from 'vitest';
import { TrellisError } from '../../../src/errors.ts';
import { fromJson } from '../../../src/wit/json.ts';
import { parseWitType, printWitType } from '../../../src/wit/type-text.ts';
import { decodeJson, encodeJson, paramsFromJson, resultToJson } from '../../../src/wit/wire-text.ts';
import { hex, toHex, witFunction } from '../../support/wit-functions.ts';

function messageOf(run: () => unknown): string {
  try {
    run();
    return 'fine';
  } catch (error) {
    if (error instanceof TrellisError) return error.message;
    throw error;
  }
}

describe('type text', () => {
  it.each([
    'result<option<list<u8>>, variant{no-such-store, access-denied, other(string)}>',
    'record{body: stream<u8>, trailers: future<option<list<tuple<string, list<list<u8>>>>>>, n: s64}',
    'tuple<result, result<u8>, result<_, string>, own<file>, borrow<file-2>, stream, future, flags{a, b-C}, enum{x}>',
    'tuple<>',
  ])('%s', (text) => {
    expect(printWitType(parseWitType(text))).toBe(text);
    expect(printWitType(parseWitType(text.replaceAll(' ', '').replaceAll('<', ' <\n')))).toBe(text);
  });

  it.each([
    ['', '"the end" is not a WIT type'],
    ['u128', '"u128" is not a WIT type'],
    ['list', 'expected < before "the end"'],
    ['list<u8', 'expected > before "the end"'],
    ['u8 u8', 'expected the end before "u8"'],
    ['record{a}', 'expected : before "}"'],
    ['record{a: u8, a: u8}', 'a record has the same name twice'],
    ['enum{A-b, 1x}', 'expected a name in kebab case, got "1x"'],
    ['record{__proto__: u8}', 'expected a name in kebab case, got "_"'],
    ['variant{a(}', '"}" is not a WIT type'],
    ['flags{8}', 'expected a name in kebab case, got "8"'],
    [`${'list<'.repeat(70)}u8${'>'.repeat(70)}`, 'the type is nested too deeply'],
    ['x'.repeat(100_001), 'the type is too long'],
  ])('%s is refused', (text, message) => {
    expect(messageOf(() => parseWitType(text))).toBe(message);
  });
});

describe('values as JSON', () => {
  it.each([
    ['bool', 1, 'value: expected true or false'],
    ['u8', 256, 'value: expected a u8'],
    ['u64', 2 ** 53, 'value: expected a u64 as decimal digits in a string'],
    ['u64', '18446744073709551616', 'value: 18446744073709551616 is not a u64'],
    ['s64', '1'.repeat(21), 'value: expected a s64 as decimal digits in a string'],
    ['f32', 'nan', 'value: expected a number, "NaN", "Infinity", "-Infinity" or "-0"'],
    ['char', 'ab', 'value: expected one character'],
    ['list<u8>', { hex: '0' }, 'value.hex: expected pairs of hex digits'],
    ['list<u8>', [1, 300], 'value[1]: expected a byte'],
    ['list<u8>', 'abc', 'value: expected {"hex": "…"} or {"utf8": "…"}'],
    ['list<string>', ['a', 1], 'value[1]: expected a string'],
    ['tuple<u8>', [], 'value: expected 1 values, got 0'],
    ['record{a: record{name: string}}', { a: { name: 1 } }, 'value.a.name: expected a string'],
    ['record{a: u8}', {}, 'value.a: is missing'],
    ['record{a: u8}', { a: 1, b: 2 }, 'value: has no field "b"'],
    ['record{a: u8}', JSON.parse('{"a": 1, "__proto__": {}}'), 'value: has no field "__proto__"'],
    ['variant{a, b(u8)}', { case: 'c' }, 'value: expected one of the cases a, b'],
    ['variant{a, b(u8)}', { case: 'b', payload: 'x' }, 'value.payload: expected a u8'],
    ['variant{a, b(u8)}', { case: 'a', payload: 1 }, 'value.payload: expected null'],
    ['enum{a, b}', 'c', 'value: expected one of a, b'],
    ['flags{a}', ['b'], 'value: has no flag "b"'],
    ['option<u8>', 1, 'value: expected null or {"some": …}'],
    ['option<u8>', { some: 1, more: 2 }, 'value: expected null or {"some": …}'],
    ['result<u8>', { ok: 'x' }, 'value.ok: expected a u8'],
    ['stream<u8>', 'ready', 'value: expected "pending" or {"ready": […]}'],
  ])('%s (%#)', (type, json, message) => {
    expect(messageOf(() => fromJson(parseWitType(type), json))).toBe(message);
  });

  it('takes the easier forms as well', () => {
    expect(
      toHex(encodeJson(parseWitType('tuple<u64, list<u8>, list<u8>, record{a: option<u8>}>'), [300, [1, 2], { utf8: 'ä' }, {}])),
    ).toBe('ac02 020102 02c3a4 00'.replaceAll(' ', ''));
  });

  it('decodes whole values only', () => {
    const type = parseWitType('list<string>');
    expect(decodeJson(type, hex('010161'))).toEqual(['a']);
    expect(messageOf(() => decodeJson(type, hex('0101')))).toBe('the bytes end in the middle of the value');
    expect(messageOf(() => decodeJson(type, hex('01016162')))).toBe('1 bytes follow the value');
    expect(messageOf(() => decodeJson(type, hex('0101ff')))).toBe('a string is not UTF-8 at byte 2');
  });

  it('takes the parameters of a call', () => {
    const fn = witFunction(['string', 'record{name: string}'], 'u64');
    expect(paramsFromJson(fn, ['x', { name: 'y' }])).toEqual(['x', { name: 'y' }]);
    expect(messageOf(() => paramsFromJson(fn, ['x', { name: 1 }]))).toBe('params[1].name: expected a string');
    expect(messageOf(() => paramsFromJson(fn, ['x']))).toBe('f takes an array of 2 parameters (p0, p1)');
    expect(messageOf(() => paramsFromJson(witFunction([], null), {}))).toBe('f takes an array of 0 parameters');
    expect(resultToJson(fn, [5n])).toBe('5');
    expect(resultToJson(witFunction([], null), [])).toBeNull();
  });
});
