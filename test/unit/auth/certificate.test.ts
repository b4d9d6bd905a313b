import { createPublicKey, generateKeyPairSync, X509Certificate } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { signCertificate } from '../../../src/auth/certificate.ts';

const authority = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const times = { notBefore: new Date('2026-01-01T00:00:00Z'), notAfter: new Date('2056-01-01T00:00:00Z') };
const base = { issuer: 'Example CA', issuerKey: authority.privateKey, ...times };

describe('signCertificate', () => {
  it('makes an authority that may sign, and ends when it says', () => {
    const ca = new X509Certificate(
      signCertificate({ ...base, subject: 'Example CA', publicKey: authority.publicKey, isAuthority: true }),
    );
    expect(ca.ca).toBe(true);
    expect(ca.subject).toBe('CN=Example CA');
    expect(ca.verify(authority.publicKey)).toBe(true);
    expect(ca.checkPrivateKey(authority.privateKey)).toBe(true);
    expect([new Date(ca.validFrom), new Date(ca.validTo)]).toEqual([times.notBefore, times.notAfter]);
  });

  it('makes certificates that every reader finds to be for their names and addresses, and for no others', () => {
    const label = fc.stringMatching(/^[a-z0-9](?:[a-z0-9-]{0,20}[a-z0-9])?$/);
    const dns = fc.array(label, { minLength: 2, maxLength: 4 }).map((labels) => `x${labels.join('.')}.example`);
    const address = fc.oneof(fc.ipV4(), fc.ipV6());
    fc.assert(
      fc.property(fc.array(dns, { maxLength: 3 }), fc.array(address, { maxLength: 3 }), (names, addresses) => {
        const text = signCertificate({ ...base, subject: 'nats', publicKey, names: [...names, ...addresses] });
        const certificate = new X509Certificate(text);
        expect(certificate.ca).toBe(false);
        expect(certificate.issuer).toBe('CN=Example CA');
        expect(certificate.verify(createPublicKey(authority.privateKey))).toBe(true);
        for (const name of names) expect(certificate.checkHost(name)).toBe(name);
        for (const ip of addresses) expect(certificate.checkIP(ip), ip).toBe(ip);
        expect(certificate.checkHost('elsewhere.example')).toBeUndefined();
        expect(certificate.subjectAltName === undefined).toBe(names.length + addresses.length === 0);
      }),
    );
  });
});
