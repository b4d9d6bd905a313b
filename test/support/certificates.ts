import { type KeyObject, createHash, generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

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
  issue(commonName: string, options?: { dnsNames?: string[]; ipv4?: string[]; notAfter?: Date }): Certificate;
}

const DAY_MS = 86_400_000;

// --- DER, as much of it as X.509 needs (RFC 5280). No openssl: a fresh machine may not have it.
const der = (tag: number, ...parts: Uint8Array[]): Buffer => {
  const body = Buffer.concat(parts);
  const size = body.length;
  if (size < 128) return Buffer.concat([Buffer.from([tag, size]), body]);
  if (size < 256) return Buffer.concat([Buffer.from([tag, 0x81, size]), body]);
  return Buffer.concat([Buffer.from([tag, 0x82, size >> 8, size & 0xff]), body]);
};
const sequence = (...parts: Uint8Array[]): Buffer => der(0x30, ...parts);
const oid = (hex: string): Buffer => der(0x06, Buffer.from(hex, 'hex'));
const utf8 = (text: string): Buffer => der(0x0c, Buffer.from(text));
const bits = (data: Uint8Array): Buffer => der(0x03, Buffer.from([0]), data);
const octets = (data: Uint8Array): Buffer => der(0x04, data);
const truth = der(0x01, Buffer.from([0xff]));
const time = (date: Date): Buffer => der(0x18, Buffer.from(`${date.toISOString().slice(0, 19).replace(/[-:T]/g, '')}Z`));
const name = (commonName: string): Buffer => sequence(der(0x31, sequence(oid('550403'), utf8(commonName))));
const extension = (id: string, critical: boolean, value: Uint8Array): Buffer =>
  sequence(oid(id), ...(critical ? [truth] : []), octets(value));
const ECDSA_WITH_SHA256 = sequence(oid('2a8648ce3d040302'));
const SERVER_AND_CLIENT_AUTH = sequence(oid('2b06010505070301'), oid('2b06010505070302'));

const spki = (key: KeyObject): Buffer => key.export({ type: 'spki', format: 'der' });
const keyId = (key: KeyObject): Buffer => createHash('sha1').update(spki(key)).digest();

function certificate(o: {
  subject: string;
  key: KeyObject;
  issuer: string;
  issuerPublicKey: KeyObject;
  issuerKey: KeyObject;
  notAfter: Date;
  extensions: Buffer[];
}): string {
  const serial = randomBytes(16);
  serial[0] = (serial[0]! & 0x7f) | 0x40; // positive, no leading zero
  const body = sequence(
    der(0xa0, der(0x02, Buffer.from([2]))), // v3
    der(0x02, serial),
    ECDSA_WITH_SHA256,
    name(o.issuer),
    sequence(time(new Date(Date.now() - DAY_MS)), time(o.notAfter)),
    name(o.subject),
    spki(o.key),
    der(
      0xa3,
      sequence(
        extension('551d0e', false, octets(keyId(o.key))),
        extension('551d23', false, sequence(der(0x80, keyId(o.issuerPublicKey)))),
        ...o.extensions,
      ),
    ),
  );
  const whole = sequence(body, ECDSA_WITH_SHA256, bits(sign('sha256', body, o.issuerKey)));
  return `-----BEGIN CERTIFICATE-----\n${whole.toString('base64').replace(/.{1,64}/g, '$&\n')}-----END CERTIFICATE-----\n`;
}

/** Makes a self-signed CA whose key stays in this process. */
export function createCertificateAuthority(commonName = 'Trellis test CA'): CertificateAuthority {
  const ca = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const issuer = { issuer: commonName, issuerPublicKey: ca.publicKey, issuerKey: ca.privateKey };
  const tomorrow = (): Date => new Date(Date.now() + DAY_MS);
  return {
    certPem: certificate({
      ...issuer,
      subject: commonName,
      key: ca.publicKey,
      notAfter: tomorrow(),
      extensions: [
        extension('551d13', true, sequence(truth)), // basicConstraints: CA
        extension('551d0f', true, der(0x03, Buffer.from([1, 0x06]))), // keyUsage: keyCertSign, cRLSign
      ],
    }),
    issue: (subject, options = {}) => {
      const leaf = generateKeyPairSync('ec', { namedCurve: 'P-256' });
      const names = [
        ...(options.dnsNames ?? []).map((dns) => der(0x82, Buffer.from(dns))),
        ...(options.ipv4 ?? []).map((ip) => der(0x87, Buffer.from(ip.split('.').map(Number)))),
      ];
      const certPem = certificate({
        ...issuer,
        subject,
        key: leaf.publicKey,
        notAfter: options.notAfter ?? tomorrow(),
        extensions: [
          extension('551d13', true, sequence()),
          extension('551d0f', true, der(0x03, Buffer.from([7, 0x80]))), // keyUsage: digitalSignature
          extension('551d25', false, SERVER_AND_CLIENT_AUTH),
          ...(names.length > 0 ? [extension('551d11', false, sequence(...names))] : []),
        ],
      });
      return { certPem, keyPem: leaf.privateKey.export({ type: 'pkcs8', format: 'pem' }) };
    },
  };
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
