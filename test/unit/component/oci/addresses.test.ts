import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { addressKind, maySendTo, type AddressKind } from '../../../../src/component/oci/addresses.ts';

const KINDS: readonly AddressKind[] = ['public', 'private', 'loopback', 'never'];

describe('addresses', () => {
  it.each([
    ['public', ['8.8.8.8', '2001:4860:4860::8888', '::ffff:8.8.8.8', '64:ff9b::808:808', '172.32.0.1']],
    [
      'private',
      ['10.1.2.3', '172.16.0.1', '172.31.255.255', '192.168.1.1', '100.64.0.1', 'fd00::1', '::ffff:10.0.0.1', '64:ff9b::a00:1'],
    ],
    ['loopback', ['127.0.0.1', '127.255.0.1', '::1', '[::1]', '::ffff:127.0.0.1', '::ffff:7f00:1', '::7f00:1']],
    [
      'never',
      [
        '169.254.169.254',
        '0.0.0.0',
        '0.1.2.3',
        '224.0.0.1',
        '255.255.255.255',
        '::',
        'fe80::1',
        'fe80::1%eth0',
        'ff02::1',
        '::ffff:169.254.169.254',
        '::ffff:a9fe:a9fe',
        '64:ff9b::a9fe:a9fe',
        '100.100.100.200',
        '192.0.0.192',
        '168.63.129.16',
        '::ffff:100.100.100.200',
        'fd00:ec2::254',
        '[fd00:0ec2:0:0:0:0:0:254]',
        'localhost',
        '',
        '1.2.3',
        '127.1',
      ],
    ],
  ] as const)('knows what is %s', (kind, addresses) => {
    expect(addresses.map((address) => [address, addressKind(address)])).toEqual(addresses.map((address) => [address, kind]));
  });

  it('sends nobody inwards', () => {
    const allowed = KINDS.flatMap((from) => KINDS.filter((to) => maySendTo(from, to)).map((to) => `${from} ${to}`));
    expect(allowed.sort()).toEqual([
      'loopback loopback',
      'loopback public',
      'never public',
      'private private',
      'private public',
      'public public',
    ]);
  });

  it('has a kind for every text, and the same for an IPv4 address in both spellings', () => {
    fc.assert(fc.property(fc.string(), (text) => KINDS.includes(addressKind(text))));
    fc.assert(
      fc.property(fc.ipV4(), (address) => {
        expect(addressKind(`::ffff:${address}`)).toBe(addressKind(address));
      }),
    );
    fc.assert(fc.property(fc.ipV6(), (address) => KINDS.includes(addressKind(address))));
  });
});
