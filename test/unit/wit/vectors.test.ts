import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { checkVectors } from '../../../src/wit/wire-check.ts';
import { witTypeFromJson } from '../../../src/wit/type-json.ts';
import { codecOf, hex } from '../../support/wit-functions.ts';

interface Vector {
  readonly id: string;
  readonly type: unknown;
  readonly hex: string;
}
const file = JSON.parse(readFileSync(new URL('../../fixtures/wrpc-vectors.json', import.meta.url), 'utf8')) as {
  vectors: Vector[];
};
const check = checkVectors(file);

describe('conformance vectors', () => {
  it.each(check.rows.map((row) => [row.id, row] as const))('%s', (_id, row) => {
    expect(row).toMatchObject({ ok: true, message: '' });
  });

  it('passes all of them', () => {
    expect(check).toMatchObject({ passed: 123, failed: 0 });
  });

  it('calls every proper beginning of a vector incomplete, and says how much is missing at least', () => {
    for (const vector of file.vectors) {
      const codec = codecOf(witTypeFromJson(vector.type));
      const bytes = hex(vector.hex);
      for (let length = 0; length < bytes.length; length++) {
        const decoded = codec.decodeResult(bytes.subarray(0, length));
        expect(decoded, `${vector.id} cut at ${length}`).toMatchObject({ ok: false, incomplete: true });
        if (!decoded.ok) expect(decoded.need).toBeGreaterThan(length);
        if (!decoded.ok) expect(decoded.need).toBeLessThanOrEqual(bytes.length);
      }
    }
  });
});

describe('checking vectors', () => {
  it('reports a wrong encoding, a wrong value, an unknown type, and goes on', () => {
    const { rows, passed, failed } = checkVectors({
      vectors: [
        { id: 'wrong', type: { kind: 'u8' }, value: 1, hex: '02' },
        { id: 'range', type: { kind: 'u8' }, value: 256, hex: '00' },
        { id: 'type', type: { kind: 'u128' }, value: 1, hex: '01' },
        { id: 'proto', type: { kind: 'record', fields: [{ name: '__proto__', ty: { kind: 'u8' } }] }, value: {}, hex: '00' },
        { id: 'text', wit: 'u16', type: { kind: 'u8' }, value: 1, hex: '01' },
        { id: 'good', type: { kind: 'u8' }, value: 1, hex: '01' },
        null,
      ],
      decodeOnly: [
        { wit: 'bool', hex: '02', reject: true },
        { wit: 'bool', hex: '01', reject: true },
        { wit: 'u16', hex: '8000', value: 0 },
      ],
    });
    expect({ passed, failed }).toEqual({ passed: 3, failed: 7 });
    expect(rows.map((row) => row.message)).toEqual([
      'encodes to 01, expected 02',
      'value: expected a u8',
      'type: is not a WIT type',
      'type.fields[0].name: is not a name in kebab case',
      'the type is u8, the text says u16',
      '',
      '"the end" is not a WIT type',
      '',
      'decodes to true, expected refused',
      '',
    ]);
    expect(rows[6]!.id).toBe('vectors[6]');
  });

  it('refuses a file without vectors', () => {
    expect(() => checkVectors({})).toThrow(/no list "vectors"/);
    expect(() => checkVectors(null)).toThrow(/no list "vectors"/);
  });
});
