import { describe, expect, it } from 'vitest';
import { componentReference } from '../../../src/cli/lattice/component-reference.ts';
import { wholeNumber } from '../../../src/cli/lattice/connection-flags.ts';
import { inventoryLines } from '../../../src/cli/lattice/tables.ts';

describe('a number of a flag', () => {
  const fix = (text: string): unknown => {
    try {
      return wholeNumber(text, '--count', 1, 4_294_967_295);
    } catch (error) {
      return (error as { remedy: string }).remedy;
    }
  };

  it('is whole and in its range, else the nearest one is named; of what is no number none is guessed', () => {
    expect(fix('4294967295')).toBe(4_294_967_295);
    expect(fix('4294967296')).toBe('The nearest is --count 4294967295.');
    expect(fix('9'.repeat(400))).toBe('The nearest is --count 4294967295.');
    expect(fix('-3')).toBe('The nearest is --count 1.');
    expect(fix('2.6')).toBe('The nearest is --count 3.');
    for (const text of ['5s', '', ' 1', '0x10', '1e3', '٣']) expect(fix(text)).not.toContain('nearest');
  });
});

describe('a component reference', () => {
  it('is a file by its whole path, or an image as it was written', () => {
    expect(componentReference('package.json')).toBe(`file://${process.cwd()}/package.json`);
    expect(componentReference('/nowhere/../x.wasm')).toBe('file:///x.wasm');
    expect(componentReference('ghcr.io/example/hello:1.0.0')).toBe('ghcr.io/example/hello:1.0.0');
    expect(componentReference('')).toBe('');
  });

  it('that is a path to nothing here is said to be one, and not taken for the name of an image', () => {
    for (const text of ['./nowhere.wasm', '../nowhere.wasm', 'file://nowhere.wasm']) {
      expect(() => componentReference(text)).toThrow(/there is no file/);
    }
  });
});

describe('a table', () => {
  it('stays readable beside a host that says too much', () => {
    const long = 'x'.repeat(100_000);
    const host = { host_id: 'N', friendly_name: long, labels: { a: long }, uptime_seconds: 1, providers: [] };
    const component = { id: long, image_ref: long, annotations: { a: long }, revision: 0, max_instances: 1, limits: null };
    for (const line of inventoryLines([{ ...host, components: [component] }])) expect(line.length).toBeLessThan(1_000);
  });
});
