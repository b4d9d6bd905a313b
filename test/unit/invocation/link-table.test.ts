import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LinkTable } from '../../../src/invocation/link-table.ts';
import type { LatticeLink } from '../../../src/lattice/links.ts';
import { UnsignedPairs } from '../../../src/invocation/unsigned-pairs.ts';
import { link } from '../../support/links.ts';

describe('links that are replaced', () => {
  it('count no longer, and kept ones do where nothing else does', () => {
    const links = new LinkTable([link('a', 'x'), link('b', 'x')]);
    links.replace([link('a', 'y')], [link('a', 'x'), link('b', 'x')]);
    expect(links.resolve('a', 'default', 'a:b/c@1.0.0')).toBe('y');
    expect(links.resolve('b', 'default', 'a:b/c')).toBe('x');
    expect(links.allows('a', 'default', 'a:b/c', 'x')).toBe(false);
    expect(links.list()).toEqual([link('a', 'y')]);
    links.replace([link('a', 'y')]);
    expect(links.resolve('b', 'default', 'a:b/c')).toBeUndefined();
  });

  it('tell who may call whom among some ids, whoever linked them', () => {
    const links = new LinkTable([link('a', 'b'), link('elsewhere', 'a'), link('c', 'elsewhere')]);
    links.takeLattice('b', [
      latticeLink('b', 'c'),
      latticeLink('b', 'c', { name: 'other' }),
      latticeLink('b', 'away', { name: 'away' }),
    ]);
    links.takeLattice('gone', [latticeLink('gone', 'a')]);
    expect(links.among(['a', 'b', 'c']).map(({ source, target }) => `${source} ${target}`)).toEqual(['a b', 'b c']);
  });

  it('lead to a target under any name, unless the file leads that name elsewhere', () => {
    const links = new LinkTable([link('a', 'x'), link('b', 'y')]);
    links.takeLattice('a', [latticeLink('a', 'y'), latticeLink('a', 'z', { name: 'second' })]);
    expect(['x', 'y', 'z'].map((target) => links.leads('a', 'a:b/c@1.0.0', target))).toEqual([true, false, true]);
    expect(links.leads('a', 'a:b/other', 'x')).toBe(false);
    expect(links.leads('nobody', 'a:b/c', 'x')).toBe(false);
    links.takeLattice('a', []);
    expect(links.leads('a', 'a:b/c', 'z')).toBe(false);
  });

  it('stay as they are when the new ones contradict each other', () => {
    const links = new LinkTable([link('a', 'x')]);
    expect(() => links.replace([link('a', 'y'), link('a', 'z')])).toThrow('two targets');
    expect(links.resolve('a', 'default', 'a:b/c')).toBe('x');
  });
});

const latticeLink = (source: string, target: string, more: Partial<LatticeLink> = {}): LatticeLink => ({
  source_id: source,
  target,
  name: 'default',
  wit_namespace: 'a',
  wit_package: 'b',
  interfaces: ['c'],
  source_config: [],
  target_config: [],
  ...more,
});

describe('links of the lattice', () => {
  it('add to those of the file, which win', () => {
    const links = new LinkTable([link('a', 'x')]);
    const taken = links.takeLattice('a', [latticeLink('a', 'y'), latticeLink('a', 'z', { name: 'second' })]);
    expect(taken.overruled).toEqual([{ link: latticeLink('a', 'y'), instance: 'a:b/c', target: 'x' }]);
    expect(links.resolve('a', 'default', 'a:b/c@1.0.0')).toBe('x');
    expect(links.allows('a', 'default', 'a:b/c', 'y')).toBe(false);
    expect(links.allows('a', 'second', 'a:b/c@2.0.0', 'z')).toBe(true);
    expect(links.allows('a', 'third', 'a:b/c', 'z')).toBe(false);
    links.replace([]);
    expect(links.allows('a', 'default', 'a:b/c', 'y')).toBe(true);
    expect(links.list()).toEqual([]);
  });

  it('are taken source by source, and the last of two counts', () => {
    const links = new LinkTable([]);
    links.takeLattice('a', [latticeLink('a', 'x'), latticeLink('a', 'y')]);
    links.takeLattice('http-server', [
      latticeLink('http-server', 'a', { wit_namespace: 'wasi', wit_package: 'http', interfaces: ['incoming-handler'] }),
    ]);
    expect(links.resolve('a', 'default', 'a:b/c')).toBe('y');
    expect(links.allows('http-server', 'default', 'wasi:http/incoming-handler@0.2.2', 'a')).toBe(true);
    expect(links.allows('http-server', 'default', 'wrpc:http/incoming-handler@0.1.0', 'a')).toBe(true);
    links.takeLattice('a', []);
    expect(links.resolve('a', 'default', 'a:b/c')).toBeUndefined();
    expect(links.resolve('http-server', 'default', 'wasi:http/incoming-handler')).toBe('a');
  });

  it('may carry versions, and one serves all of blobstore', () => {
    const links = new LinkTable([]);
    const wasi = (more: Partial<LatticeLink>): LatticeLink => latticeLink('a', 'x', { wit_namespace: 'wasi', ...more });
    links.takeLattice('a', [
      wasi({ wit_package: 'keyvalue@0.2.0-draft', interfaces: ['store@0.2.0-draft', 'batch'] }),
      wasi({ wit_package: 'blobstore', interfaces: ['blobstore'] }),
    ]);
    for (const instance of [
      'wasi:keyvalue/store@0.2.0-draft',
      'wrpc:keyvalue/store@0.2.0-draft',
      'wasi:keyvalue/batch',
      'wasi:blobstore/container@0.2.0-draft',
      'wrpc:blobstore/blobstore@0.1.0',
    ])
      expect(links.resolve('a', 'default', instance), instance).toBe('x');
    for (const instance of ['wasi:keyvalue/atomics', 'wasi:http/outgoing-handler', 'wrpc:messaging/consumer', 'wasi:blobstore'])
      expect(links.resolve('a', 'default', instance), instance).toBeUndefined();
  });

  it('never throw, and what cannot be followed gives no right', () => {
    const links = new LinkTable([]);
    const odd = [
      latticeLink('a', '>'),
      latticeLink('a', 'x y'),
      latticeLink('a', 'x', { name: '' }),
      latticeLink('a', 'x', { interfaces: ['C D'] }),
      latticeLink('b', 'x'),
    ];
    expect(links.takeLattice('a', odd).unusable).toEqual(odd);
    for (const { target, name } of odd) expect(links.allows('a', name, 'a:b/c', target)).toBe(false);
    expect(links.resolve('b', 'default', 'a:b/c')).toBeUndefined();
    const any = fc.record({
      source_id: fc.constantFrom('a', 'b', '*'),
      target: fc.string(),
      name: fc.string(),
      wit_namespace: fc.string(),
      wit_package: fc.string(),
      interfaces: fc.array(fc.string()),
      source_config: fc.constant([]),
      target_config: fc.constant([]),
    });
    fc.assert(
      fc.property(fc.string(), fc.array(any), (source, given) => {
        const { unusable } = links.takeLattice(source, given);
        expect(unusable.length).toBeLessThanOrEqual(given.length);
      }),
    );
  });
});

describe('unsigned pairs that are replaced', () => {
  const pair = (source: string, target: string) => ({ source, target, interface: 'a:b/c' });

  it('forget no id that has been seen to sign', () => {
    const said: string[] = [];
    const pairs = new UnsignedPairs([pair('a', 'x')], (id) => void said.push(id));
    expect(pairs.mayCall('a', 'x', 'a:b/c')).toBe(true);
    pairs.signs('a', 'caller');
    pairs.replace([]);
    expect(pairs.mayCall('a', 'x', 'a:b/c')).toBe(false);
    pairs.replace([pair('a', 'x'), pair('b', 'x')]);
    expect(pairs.mayCall('a', 'x', 'a:b/c')).toBe(false);
    expect(pairs.mayCall('b', 'x', 'a:b/c')).toBe(true);
    pairs.signs('b', 'caller');
    expect(said).toEqual(['a', 'b']);
  });
});
