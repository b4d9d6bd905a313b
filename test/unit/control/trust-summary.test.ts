import { describe, expect, it } from 'vitest';
import { talkingTo, trustSummary, type OwnTrust, type PeerTrust } from '../../../src/control/trust-summary.ts';

const own: OwnTrust = {
  delegatedBy: 'C1',
  issuers: ['C1', 'C2'],
  verify: 'enforce',
  replay: 'cluster',
  unsignedPairs: 2,
  wireForms: ['wRPC', 'wasmbus 0.82'],
};
const peer = (host: string, delegatedBy: string, issuers: string[], verify = 'enforce'): PeerTrust => ({
  host,
  version: '0.1.0',
  verify,
  delegatedBy,
  issuers,
});
const peers = [
  peer('N1', 'C2', ['C1', 'C2']),
  peer('N2', 'C1', ['C3']),
  peer('N3', 'C3', ['C1', 'C3'], 'observe'),
  peer('N4', 'C3', ['C3']),
];

describe('who can talk to whom', () => {
  it('follows from the cluster keys of both sides', () => {
    expect(talkingTo(own, peers)).toEqual({
      bothWays: ['N1 (0.1.0)'],
      onlyCalling: ['N2 (0.1.0)'],
      onlyCalled: ['N3 (0.1.0, verify observe)'],
      neither: ['N4 (0.1.0)'],
    });
  });

  it('is one line', () => {
    expect(trustSummary(own, peers)).toBe(
      'signs under C1; believes C1, C2; verify enforce; replay cluster; 2 unsigned pairs; understands wRPC, wasmbus 0.82; ' +
        'both ways with N1 (0.1.0); can be called by, but is refused by N2 (0.1.0); ' +
        'can call, but refuses N3 (0.1.0, verify observe); neither way with N4 (0.1.0)',
    );
    expect(trustSummary({ ...own, issuers: [] }, [])).toContain('believes nobody; ');
    expect(trustSummary(own, [])).toMatch(/no other host answered$/);
  });

  it('names no more than ten', () => {
    const many = Array.from({ length: 25 }, (_, i) => peer(`N${i}`, 'C1', ['C1']));
    expect(trustSummary(own, many)).toMatch(/both ways with N0 \(0\.1\.0\), .*N9 \(0\.1\.0\) and 15 more$/);
  });
});
