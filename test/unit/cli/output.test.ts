import fc from 'fast-check';
import { expect, it } from 'vitest';
import { createOutput, jsonText } from '../../../src/cli/output.ts';

/** Control characters of both kinds, and marks that turn or hide what follows. */
// eslint-disable-next-line no-control-regex
const OBEYED = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]/;

it('JSON for programs is the same value in characters that no terminal obeys', () => {
  fc.assert(
    fc.property(
      fc.jsonValue(),
      fc.string({ unit: fc.constantFrom('\u009b31m', '\u202e', '\u007f', '\n', 'ä') }),
      (value, odd) => {
        const text = jsonText({ value, [odd]: odd }, 2);
        expect(text).not.toMatch(OBEYED);
        expect(JSON.stringify(JSON.parse(text))).toBe(JSON.stringify({ value, [odd]: odd }));
      },
    ),
  );
  let written = '';
  const out = { write: (text: string) => void (written += text) };
  createOutput('json', { out, err: out }).result({ friendly_name: '\u009b2J' }, () => {});
  expect(written).toContain('"\\u009b2J"');
});
