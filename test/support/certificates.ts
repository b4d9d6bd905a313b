import { generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { signCertificate } from '../../src/auth/certificate.ts';

/** A certificate and its key, as PEM text. */
export interface Certificate {
  readonly certPem: string;
  readonly keyPem: string;
}

/** The files of a small private PKI, ready for nats-server's `tls {}` block and for a client. */
export interface CertificateFiles {
  readonly caFile: string;
  readonly serverCertFile: string;
  readonly serverKeyFile: string;
  readonly clientCertFile: string;
  readonly clientKeyFile: string;
  /** A CA that signed nothing here. */
  readonly foreignCaFile: string;
}

/** An issuer of test certificates: ECDSA P-256, valid from yesterday for two days. */
export interface CertificateAuthority {
  readonly certPem: string;
  issue(commonName: string, options?: CertificateOptions): Certificate;
}

/** What a certificate may say beside its name. */
export interface CertificateOptions {
  readonly dnsNames?: readonly string[];
  readonly ipv4?: readonly string[];
  readonly notBefore?: Date;
  readonly notAfter?: Date;
}

const DAY_MS = 86_400_000;

/** Makes a self-signed CA whose key stays in this process. */
export function createCertificateAuthority(commonName = 'Trellis test CA'): CertificateAuthority {
  const ca = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const signed = { issuer: commonName, issuerKey: ca.privateKey, notBefore: new Date(Date.now() - DAY_MS) };
  const tomorrow = (): Date => new Date(Date.now() + DAY_MS);
  return {
    certPem: signCertificate({
      ...signed,
      subject: commonName,
      publicKey: ca.publicKey,
      notAfter: tomorrow(),
      isAuthority: true,
    }),
    issue: (subject, options = {}) => {
      const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
      const certPem = signCertificate({
        ...signed,
        subject,
        publicKey,
        notBefore: options.notBefore ?? signed.notBefore,
        notAfter: options.notAfter ?? tomorrow(),
        names: [...(options.dnsNames ?? []), ...(options.ipv4 ?? [])],
      });
      return { certPem, keyPem: privateKey.export({ type: 'pkcs8', format: 'pem' }) };
    },
  };
}

/** Makes a server certificate that nobody but itself has signed. */
export function selfSignedCertificate(commonName: string, dnsNames: readonly string[]): Certificate {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const certPem = signCertificate({
    issuer: commonName,
    issuerKey: privateKey,
    notBefore: new Date(Date.now() - DAY_MS),
    notAfter: new Date(Date.now() + DAY_MS),
    subject: commonName,
    publicKey,
    names: dnsNames,
  });
  return { certPem, keyPem: privateKey.export({ type: 'pkcs8', format: 'pem' }) };
}

/** Writes a CA, a server certificate for `localhost` and 127.0.0.1, a client certificate and a foreign CA into `dir`. */
export function writeCertificates(dir: string): CertificateFiles {
  const ca = createCertificateAuthority();
  const server = ca.issue('localhost', { dnsNames: ['localhost'], ipv4: ['127.0.0.1'] });
  const client = ca.issue('trellis-client', { dnsNames: ['trellis-client'] });
  const write = (file: string, text: string): string => {
    const path = join(dir, file);
    writeFileSync(path, text, { mode: 0o600 });
    return path;
  };
  return {
    caFile: write('ca.pem', ca.certPem),
    serverCertFile: write('server.pem', server.certPem),
    serverKeyFile: write('server-key.pem', server.keyPem),
    clientCertFile: write('client.pem', client.certPem),
    clientKeyFile: write('client-key.pem', client.keyPem),
    foreignCaFile: write('foreign-ca.pem', createCertificateAuthority('Somebody else').certPem),
  };
}
