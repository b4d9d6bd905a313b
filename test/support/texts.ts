import fc from 'fast-check';

// `unit: 'binary'` of fast-check says the same, and first takes two seconds of CPU to build a table of all of Unicode.
const unit = fc.oneof(fc.integer({ min: 0, max: 0x7f }), fc.integer({ min: 0, max: 0xffff }));

/** Any text of up to `maxLength` UTF-16 units, lone surrogates and control characters included; half of it ASCII. */
export function anyText(maxLength: number): fc.Arbitrary<string> {
  return fc.array(unit, { maxLength }).map((units) => String.fromCharCode(...units));
}
