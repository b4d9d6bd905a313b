import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Registries } from '../../../../src/component/oci/registries.ts';

describe('registries', () => {
  it('takes credentials from the lattice as 1.x does, and says what it did not take', async () => {
    const registries = new Registries();
    const warnings = registries.put({
      'A.example': { username: 'u', password: 'p', registryType: 'oci' },
      'b.example:5000': { token: 't', username: null, password: null },
      'c.example': {},
      'd.example': { username: 'u', token: 'hidden-token' },
      'e.example': { username: 'u', password: 'p', registryType: 'other' },
      'f.example': 'no entry',
    });
    expect(await registries.credentialFor('a.example')).toEqual({ kind: 'basic', username: 'u', password: 'p' });
    expect(await registries.credentialFor('b.example:5000')).toEqual({ kind: 'bearer', token: 't' });
    for (const name of ['c.example', 'd.example', 'f.example', 'unknown.example']) {
      expect(await registries.credentialFor(name)).toEqual({ kind: 'anonymous' });
    }
    expect((await registries.credentialFor('e.example')).kind).toBe('basic');
    expect(warnings).toHaveLength(3);
    expect(warnings.join(' ')).not.toContain('hidden-token');
  });

  it('replaces the credentials of a registry', async () => {
    const registries = new Registries();
    registries.put({ 'a.example': { username: 'u', password: 'p' } });
    registries.put({ 'a.example': {} });
    expect(await registries.credentialFor('a.example')).toEqual({ kind: 'anonymous' });
  });

  it('pulls from the listed registries alone, if any are listed', () => {
    const registries = new Registries({ allowed: ['a.example', 'b.example:5000'] });
    registries.check('a.example');
    expect(() => registries.check('b.example')).toThrow(expect.objectContaining({ code: 'TRELLIS_ARTIFACT_REGISTRY' }));
    new Registries().check('anything.example');
  });

  it('never throws for what the lattice sends, and grows to 1,000 entries at most', async () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        expect(Array.isArray(new Registries().put(value))).toBe(true);
      }),
    );
    const registries = new Registries();
    const many = Object.fromEntries(Array.from({ length: 2_000 }, (_, i) => [`r${i}.example`, { token: 't' }]));
    expect(registries.put(many).join()).toContain('1000');
    expect((await registries.credentialFor('r1500.example')).kind).toBe('anonymous');
    const long = `${'x'.repeat(300)}.example`;
    expect(new Registries().put({ [long]: { token: 'secret-token' } })).toEqual([expect.stringContaining('is no name of one')]);
    expect(registries.put(JSON.parse('{"__proto__": {"token": "t"}}'))).toEqual(expect.any(Array));
    expect(({} as Record<string, unknown>)['token']).toBeUndefined();
  });
});
