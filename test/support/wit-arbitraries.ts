import fc from 'fast-check';
import { isPlainOption, NUMERIC_ARRAYS, isNumeric } from '../../src/wit/js-shapes.ts';
import { camelCase, PRIMITIVE_KINDS, type WitType } from '../../src/wit/types.ts';

const labels = (max: number): fc.Arbitrary<string[]> =>
  fc.integer({ min: 1, max }).map((count) => Array.from({ length: count }, (_, i) => (i % 7 === 3 ? `x-${i}-YZ` : `n${i}`)));

/** Type trees without streams, futures and resources, a few levels deep. */
export const plainTypes: fc.Arbitrary<WitType> = fc.letrec<{ type: WitType }>((tie) => {
  const type = tie('type');
  const maybe = fc.option(type, { nil: null });
  return {
    type: fc.oneof(
      { depthSize: 'small', withCrossShrink: true },
      fc.constantFrom(...PRIMITIVE_KINDS).map((kind): WitType => ({ kind })),
      type.map((elem): WitType => ({ kind: 'list', elem })),
      type.map((some): WitType => ({ kind: 'option', some })),
      fc.array(type, { minLength: 1, maxLength: 4 }).map((elems): WitType => ({ kind: 'tuple', elems })),
      fc
        .tuple(labels(5), fc.array(type, { minLength: 5, maxLength: 5 }))
        .map(([names, types]): WitType => ({ kind: 'record', fields: names.map((name, i) => ({ name, ty: types[i]! })) })),
      fc
        .tuple(labels(5), fc.array(maybe, { minLength: 5, maxLength: 5 }))
        .map(([names, types]): WitType => ({ kind: 'variant', cases: names.map((name, i) => ({ name, ty: types[i]! })) })),
      labels(300).map((names): WitType => ({ kind: 'enum', names })),
      labels(70).map((names): WitType => ({ kind: 'flags', names })),
      fc.tuple(maybe, maybe).map(([ok, err]): WitType => ({ kind: 'result', ok, err })),
    ),
  };
}).type;

const codePoint = fc.oneof(fc.integer({ min: 0, max: 0xd7ff }), fc.integer({ min: 0xe000, max: 0x10ffff }));

/** Values of a type in the shapes that decoding gives. */
export function valuesOf(type: WitType): fc.Arbitrary<unknown> {
  switch (type.kind) {
    case 'bool':
      return fc.boolean();
    case 'u8':
      return fc.nat(0xff);
    case 's8':
      return fc.integer({ min: -0x80, max: 0x7f });
    case 'u16':
      return fc.nat(0xffff);
    case 's16':
      return fc.integer({ min: -0x8000, max: 0x7fff });
    case 'u32':
      return fc.oneof(fc.nat(300), fc.integer({ min: 0, max: 0xffff_ffff }));
    case 's32':
      return fc.oneof(fc.integer({ min: -300, max: 300 }), fc.integer({ min: -0x8000_0000, max: 0x7fff_ffff }));
    case 'u64':
      return fc.oneof(fc.bigInt(0n, 300n), fc.bigInt(0n, 2n ** 64n - 1n), powers(64n, false));
    case 's64':
      return fc.oneof(fc.bigInt(-300n, 300n), fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n), powers(63n, true));
    case 'f32':
      return fc.float();
    case 'f64':
      return fc.double();
    case 'char':
      return codePoint.map((code) => String.fromCodePoint(code));
    case 'string':
      return fc.oneof(fc.string(), fc.string({ unit: 'grapheme' }), fc.string({ minLength: 25, maxLength: 80 }));
    case 'list': {
      const items = fc.array(valuesOf(type.elem), { maxLength: 6 });
      if (!isNumeric(type.elem.kind)) return items;
      const list = NUMERIC_ARRAYS[type.elem.kind] as { from(items: unknown[]): unknown };
      return items.map((each) => list.from(each));
    }
    case 'tuple':
      return fc.tuple(...type.elems.map(valuesOf));
    case 'record':
      return fc
        .tuple(...type.fields.map((field) => valuesOf(field.ty)))
        .map((values) => Object.fromEntries(type.fields.map((field, i) => [camelCase(field.name), values[i]])));
    case 'variant':
      return fc.oneof(
        ...type.cases.map(({ name, ty }) =>
          ty === null ? fc.constant({ tag: name }) : valuesOf(ty).map((val) => ({ tag: name, val })),
        ),
      );
    case 'enum':
      return fc.constantFrom(...type.names);
    case 'flags':
      return fc
        .array(fc.boolean(), { minLength: type.names.length, maxLength: type.names.length })
        .map((bits) => Object.fromEntries(type.names.map((name, i) => [camelCase(name), bits[i]!])));
    case 'option':
      if (!isPlainOption(type.some)) return fc.option(valuesOf(type.some), { nil: undefined });
      return fc.oneof(
        fc.constant({ tag: 'none' }),
        valuesOf(type.some).map((val) => ({ tag: 'some', val })),
      );
    case 'result':
      return fc.oneof(
        (type.ok === null ? fc.constant(undefined) : valuesOf(type.ok)).map((val) => ({ tag: 'ok', val })),
        (type.err === null ? fc.constant(undefined) : valuesOf(type.err)).map((val) => ({ tag: 'err', val })),
      );
    default:
      throw new Error(`no values for ${type.kind}`);
  }
}

// Around the lengths at which an encoding grows by a byte.
function powers(bits: bigint, signed: boolean): fc.Arbitrary<bigint> {
  return fc.tuple(fc.bigInt(0n, bits - 1n), fc.bigInt(-1n, 1n), fc.boolean()).map(([power, add, negate]) => {
    const value = (1n << power) + add;
    if (signed) return negate ? -value : value;
    return value < 0n ? 0n : value;
  });
}

/** A type with a value of it. */
export const typedValues: fc.Arbitrary<{ type: WitType; value: unknown }> = plainTypes.chain((type) =>
  valuesOf(type).map((value) => ({ type, value })),
);
