import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { claimsAnswer, claimsKey, readClaims, writeClaims } from '../../../src/lattice/claims-entries.ts';
import { isConfigName, mergedValues, readConfigValues } from '../../../src/lattice/config-values.ts';
import { conflicts, isSameLink, type LatticeLink, readLink, readLinkKey } from '../../../src/lattice/links.ts';
import { EMPTY_SPEC, readSpec, withLink, withoutLink, writeSpec } from '../../../src/lattice/specs.ts';

const LINK: LatticeLink = {
  source_id: 'front',
  target: 'store',
  name: 'default',
  wit_namespace: 'wasi',
  wit_package: 'keyvalue',
  interfaces: ['store', 'atomics'],
  source_config: [],
  target_config: ['bucket'],
};
const link = (more: Partial<LatticeLink>): LatticeLink => ({ ...LINK, ...more });
const texts = fc.array(fc.string(), { maxLength: 3 });
const anyLink: fc.Arbitrary<LatticeLink> = fc.record({
  source_id: fc.string(),
  target: fc.constantFrom('a', 'b', 'c'),
  name: fc.constantFrom('default', 'other'),
  wit_namespace: fc.constant('wasi'),
  wit_package: fc.constantFrom('keyvalue', 'blobstore'),
  interfaces: fc.subarray(['store', 'atomics', 'batch'], { minLength: 1 }),
  source_config: texts,
  target_config: texts,
});

describe('readLink', () => {
  it('reads what it writes, and whatever else is in it is left out', () => {
    fc.assert(
      fc.property(anyLink, (given) => {
        expect(readLink({ ...(JSON.parse(JSON.stringify(given)) as object), later: 1 })).toEqual(given);
      }),
    );
  });

  it('fills in what wasmCloud 1.x lets be left out, and nothing else', () => {
    const { name: _, source_config: __, target_config: ___, ...short } = LINK;
    expect(readLink(short)).toEqual(link({ target_config: [] }));
    for (const field of ['source_id', 'target', 'wit_namespace', 'wit_package', 'interfaces']) {
      expect(readLink({ ...LINK, [field]: undefined }), field).toBeUndefined();
      expect(readLink({ ...LINK, [field]: 1 }), field).toBeUndefined();
    }
    expect(readLink({ ...LINK, interfaces: ['store', 7] })).toBeUndefined();
    expect(readLink([LINK])).toBeUndefined();
    expect(readLinkKey({ source_id: 'front', wit_namespace: 'wasi', wit_package: 'keyvalue' })).toMatchObject({
      name: 'default',
    });
    expect(readLinkKey({ source_id: 'front', wit_namespace: 'wasi' })).toBeUndefined();
  });

  it('never throws', () => {
    fc.assert(
      fc.property(fc.anything(), (value) => {
        const read = readLink(value);
        readLinkKey(value);
        if (read !== undefined) expect(readLink(read)).toEqual(read);
      }),
    );
  });
});

describe('specs', () => {
  it('knows a conflict: same source, name and package, an interface in common, another target', () => {
    expect(conflicts(LINK, link({ target: 'other' }))).toBe(true);
    expect(conflicts(LINK, link({ target: 'other', interfaces: ['atomics', 'batch'] }))).toBe(true);
    expect(conflicts(LINK, link({ target: 'other', interfaces: ['batch'] }))).toBe(false);
    expect(conflicts(LINK, link({ target: 'other', name: 'second' }))).toBe(false);
    expect(conflicts(LINK, link({ target: 'other', wit_package: 'blobstore' }))).toBe(false);
    expect(conflicts(LINK, link({ interfaces: ['store'] }))).toBe(false);
  });

  it('replaces the link of the same target in its place, and takes the first of a key away', () => {
    const two = withLink(withLink(EMPTY_SPEC, LINK)!, link({ target: 'other', interfaces: ['batch'] }))!;
    expect(two.links.map(({ target }) => target)).toEqual(['store', 'other']);
    expect(withLink(two, link({ target: 'third' }))).toBeUndefined();
    const replaced = withLink(two, link({ target_config: [] }))!;
    expect(replaced.links.map(({ target_config }) => target_config)).toEqual([[], ['bucket']]);
    const { spec, deleted } = withoutLink(replaced, { ...LINK });
    expect([deleted?.target, spec.links.map(({ target }) => target)]).toEqual(['store', ['other']]);
    expect(withoutLink(spec, { ...LINK, name: 'unknown' })).toEqual({ spec });
  });

  it('is idempotent, and what was put is gone after as many deletions as there were targets', () => {
    fc.assert(
      fc.property(fc.array(anyLink, { maxLength: 8 }), (links) => {
        const one = links.map((each) => ({ ...each, source_id: 'one' }));
        let spec = EMPTY_SPEC;
        for (const each of one) {
          const next = withLink(spec, each);
          if (next === undefined) continue;
          expect(withLink(next, each)).toEqual(next);
          spec = next;
        }
        for (const a of spec.links) for (const b of spec.links) expect(conflicts(a, b)).toBe(false);
        expect(readSpec(writeSpec(spec))).toEqual(spec);
        for (const each of one) spec = withoutLink(spec, each).spec;
        for (const each of one) spec = withoutLink(spec, each).spec;
        for (const each of one) spec = withoutLink(spec, each).spec;
        expect(spec.links).toEqual([]);
      }),
    );
  });

  it('keeps what it does not know, and reads no spec out of anything else', () => {
    const text = JSON.stringify({ url: 'file:///a', links: [LINK], later: { kept: true } });
    expect(JSON.parse(writeSpec(readSpec(text)!))).toEqual(JSON.parse(text));
    expect(readSpec('{"url":"x"}')).toEqual({ url: 'x', links: [], rest: {} });
    for (const bad of ['', 'null', '[]', '{}', '{"url":1}', '{"url":"","links":{}}', '{"url":"","links":[{}]}', '{"url":"'])
      expect(readSpec(bad), bad).toBeUndefined();
    fc.assert(fc.property(fc.oneof(fc.string(), fc.json()), (any) => void readSpec(any)));
  });

  it('tells equal links from others', () => {
    fc.assert(
      fc.property(anyLink, anyLink, (a, b) => {
        expect(isSameLink(a, { ...a })).toBe(true);
        expect(isSameLink(a, b)).toBe(JSON.stringify(a) === JSON.stringify(b));
      }),
    );
  });
});

describe('claims', () => {
  const COMPONENT = { call_alias: '', issuer: 'A1', name: 'n', revision: '3', subject: 'M1', tags: ['x', 'y'], version: '1.0' };

  it('writes every field that peers insist on, and reads every spelling', () => {
    expect(Object.keys(JSON.parse(writeClaims(COMPONENT)) as object)).toEqual([
      'call_alias',
      'issuer',
      'name',
      'revision',
      'subject',
      'tags',
      'version',
    ]);
    expect(readClaims(writeClaims(COMPONENT))).toEqual(COMPONENT);
    expect(readClaims('{"call_alias":"","iss":"A1","name":"n","rev":3,"sub":"M1","tags":"x,y","version":"1.0"}')).toEqual(
      COMPONENT,
    );
    const provider = { issuer: 'A1', name: 'p', revision: '', subject: 'V1', version: '', config_schema: '{}' };
    expect(readClaims(writeClaims(provider))).toEqual(provider);
    expect(JSON.parse(writeClaims({ ...provider, config_schema: undefined }))).not.toHaveProperty('config_schema');
    expect(claimsKey(COMPONENT)).toBe('CLAIMS_M1');
  });

  it('answers as claims.get does: texts, some under two names', () => {
    expect(claimsAnswer(COMPONENT)).toEqual({
      call_alias: '',
      iss: 'A1',
      issuer: 'A1',
      name: 'n',
      rev: '3',
      revision: '3',
      sub: 'M1',
      subject: 'M1',
      tags: 'x,y',
      version: '1.0',
    });
  });

  it('never throws', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.json(),
          fc.object().map((each) => JSON.stringify({ sub: 'M1', ...each })),
        ),
        (any) => {
          const read = readClaims(any);
          if (read !== undefined) expect(Object.values(claimsAnswer(read)).every((each) => typeof each === 'string')).toBe(true);
        },
      ),
    );
  });
});

describe('configurations', () => {
  it('reads maps of texts and nothing else', () => {
    expect(readConfigValues('{"a":"1"}')).toEqual({ a: '1' });
    for (const bad of ['', '[]', '{"a":1}', '"a"', 'null']) expect(readConfigValues(bad), bad).toBeUndefined();
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.string()), (values) => {
        expect(readConfigValues(JSON.stringify(values))).toEqual(values);
      }),
    );
    fc.assert(fc.property(fc.oneof(fc.string(), fc.json()), (any) => void readConfigValues(any)));
  });

  it('merges in order, later ones win, whatever the keys are called', () => {
    const odd = JSON.parse('{"__proto__":"1","a":"x"}') as Record<string, string>;
    const merged = mergedValues([{ a: '1', b: '1' }, { b: '2' }, odd]);
    expect(Object.entries(merged)).toEqual([
      ['a', 'x'],
      ['b', '2'],
      ['__proto__', '1'],
    ]);
    expect(Object.getPrototypeOf(merged)).toBe(Object.prototype);
  });

  it('has names of one token', () => {
    for (const good of ['a', 'app-config_1', 'a/b=c', 'SECRET_x']) expect(isConfigName(good), good).toBe(true);
    for (const bad of ['', 'a.b', '*', '>', 'a b', 'a\r\n', 'ä', 'x'.repeat(257)]) expect(isConfigName(bad), bad).toBe(false);
  });
});
