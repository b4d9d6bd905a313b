import fc from 'fast-check';
import { expect, it } from 'vitest';
import { createOutput, jsonText, reportError } from '../../../src/cli/output.ts';
import { TrellisError } from '../../../src/errors.ts';

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

it('an error has its reason beside it, unless its message says it already', () => {
  const said = (format: 'text' | 'json', message: string): string => {
    let written = '';
    const out = { write: (text: string) => void (written += text) };
    reportError(new TrellisError('TRELLIS_USAGE', { message, cause: new Error('no such thing') }), format, { out, err: out });
    return written;
  };
  expect(said('text', 'cannot read it')).toContain('\n  why   no such thing\n');
  expect(JSON.parse(said('json', 'cannot read it'))).toMatchObject({ error: { why: 'no such thing' } });
  expect(said('text', 'cannot read it: no such thing')).not.toContain('why');
  expect(said('json', 'cannot read it: no such thing')).not.toContain('why');
});
