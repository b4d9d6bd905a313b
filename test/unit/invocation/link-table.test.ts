import { describe, expect, it } from 'vitest';
import { LinkTable } from '../../../src/invocation/link-table.ts';
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

  it('stay as they are when the new ones contradict each other', () => {
    const links = new LinkTable([link('a', 'x')]);
    expect(() => links.replace([link('a', 'y'), link('a', 'z')])).toThrow('two targets');
    expect(links.resolve('a', 'default', 'a:b/c')).toBe('x');
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
