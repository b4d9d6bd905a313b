import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { HostLabels, hostcoreLabels } from '../../../src/lattice/labels.ts';

describe('the labels of the machine', () => {
  it.each([
    ['x64', 'linux', ['x86_64', 'linux', 'unix']],
    ['arm64', 'darwin', ['aarch64', 'macos', 'unix']],
    ['x64', 'win32', ['x86_64', 'windows', 'windows']],
    ['new', 'plan9', ['new', 'plan9', 'unix']],
  ])('%s on %s have the names of Rust', (arch, platform, values) => {
    expect(Object.values(hostcoreLabels(arch, platform))).toEqual(values);
  });
});

describe('the labels of a host', () => {
  it('are never more than a heartbeat has room for', () => {
    const many = labels();
    const answers = Array.from({ length: 200 }, (_, at) => many.put(`k${at}`, 'x'.repeat(1_024)));
    expect(answers[0]).toBeUndefined();
    expect(answers.at(-1)).toBe('the labels of a host take at most 65536 characters together');
    expect(JSON.stringify(many.all()).length).toBeLessThan(70_000);
    // One that is there can still become shorter.
    expect(many.put('k0', '')).toBeUndefined();
  });

  const labels = () => new HostLabels({ 'hostcore.os': 'linux' }, { zone: 'a', 'hostcore.arch': 'mine' });

  it('are those of the machine and of the configuration, sorted', () => {
    expect(Object.entries(labels().all())).toEqual([
      ['hostcore.arch', 'mine'],
      ['hostcore.os', 'linux'],
      ['zone', 'a'],
    ]);
  });

  it('can be put and deleted, but hostcore labels cannot be put', () => {
    const host = labels();
    expect(host.put('zone', 'b')).toBeUndefined();
    expect(host.put('HostCore.os', 'x')).toBe('hostcore.* labels cannot be set dynamically');
    expect(host.all()).toMatchObject({ zone: 'b', 'hostcore.os': 'linux' });
    expect([host.delete('zone'), host.delete('zone'), host.delete('none')]).toEqual([true, false, false]);
    expect(host.all()).not.toHaveProperty('zone');
    expect(host.put('zone', 'c')).toBeUndefined();
    expect(host.all()).toMatchObject({ zone: 'c' });
  });

  it('keep what was put and deleted when the configuration changes', () => {
    const host = labels();
    host.put('tier', 'gold');
    host.delete('zone');
    expect(host.configure({ zone: 'z', tier: 'lead', rack: '1' })).toBe(true);
    expect(host.all()).toEqual({ 'hostcore.os': 'linux', tier: 'gold', rack: '1' });
    expect(host.configure({ zone: 'other', rack: '1' })).toBe(false);
  });

  it('match constraints by exact values', () => {
    const host = labels();
    expect([
      host.matches({}),
      host.matches({ zone: 'a' }),
      host.matches({ zone: 'A' }),
      host.matches({ zone: 'a', x: '' }),
    ]).toEqual([true, true, false, false]);
  });

  it('are bounded in number and length', () => {
    const host = labels();
    expect(host.put('k'.repeat(1_025), '')).toMatch(/at most 1024/);
    expect(host.put('k', 'v'.repeat(1_025))).toMatch(/at most 1024/);
    for (let at = 0; at < 253; at++) expect(host.put(`k${at}`, '')).toBeUndefined();
    expect(host.put('one-more', '')).toMatch(/at most 256 labels/);
    expect(host.put('zone', 'still')).toBeUndefined();
  });

  it('take any text for what it is', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (key, value) => {
        const host = labels();
        const refused = host.put(key, value);
        if (refused !== undefined) expect(key.toLowerCase()).toMatch(/^hostcore\./);
        else expect(Object.hasOwn(host.all(), key) && host.matches({ [key]: value })).toBe(true);
      }),
      {
        examples: [
          ['__proto__', 'x'],
          ['constructor', 'y'],
          ['', ''],
        ],
      },
    );
  });
});
