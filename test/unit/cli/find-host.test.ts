import { describe, expect, it } from 'vitest';
import { chooseHost, hostName, shortName } from '../../../src/cli/lattice/find-host.ts';
import { latticeName } from '../../../src/ids.ts';

const host = (letter: string, friendly_name: string): { id: string; friendly_name: string } => ({
  id: `N${letter.repeat(55)}`,
  friendly_name,
});
const hosts = [host('A', 'brave-otter-1'), host('B', 'brave-otter-12'), host('C', 'Calm-Heron-7')];
const chosen = (argument: string): string => chooseHost({ lattice: latticeName('lab') }, hosts, argument).friendly_name;

describe('an argument that means a host', () => {
  it('is an id, the beginning of one, or a part of a name in any case', () => {
    expect(chosen(hosts[2]!.id)).toBe('Calm-Heron-7');
    expect(chosen('NCC')).toBe('Calm-Heron-7');
    expect(chosen('HERON')).toBe('Calm-Heron-7');
  });

  it('means the host of exactly that name, although it is a part of another', () => {
    expect(chosen('brave-otter-1')).toBe('brave-otter-1');
  });

  it('fails when it fits several, naming them, or none, naming those there are', () => {
    expect(() => chosen('brave')).toThrow(/fits 2 hosts: brave-otter-1 \(NAAA.*brave-otter-12 \(NBBB/);
    expect(() => chosen('N')).toThrow(/fits 3 hosts/);
    expect(() => chosen('zebra')).toThrow(/no host fits "zebra"; there are: brave/);
    expect(() => chosen('')).toThrow(/no host fits/);
    expect(() => chooseHost({ lattice: latticeName('lab') }, [], 'x')).toThrow(/no host of lattice lab answers/);
  });
});

describe('the name of a host', () => {
  it('cannot write to the terminal of whoever asks', () => {
    const hostile = host('D', 'x\u001B]0;title\u0007\r\nhost');
    for (const text of [hostName(hostile), shortName(hostile)]) expect(text).toMatch(/^\P{Cc}*$/u);
  });
});
