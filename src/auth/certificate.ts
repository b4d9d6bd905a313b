import { createHash, createPublicKey, type KeyObject, randomBytes, sign } from 'node:crypto';
import { isIP } from 'node:net';

/** What a certificate says; both times are of whole seconds. */
export interface CertificateContent {
  /** Common name. */
  readonly subject: string;
  readonly publicKey: KeyObject;
  /** Common name of who signs. */
  readonly issuer: string;
  /** Private key, ECDSA P-256, of who signs. */
  readonly issuerKey: KeyObject;
  readonly notBefore: Date;
  readonly notAfter: Date;
  /** An authority signs certificates; anything else identifies a server or a client. */
  readonly isAuthority?: boolean;
  /** DNS names, IPv4 and IPv6 addresses that it is for; without any it is for none. Not checked here. */
  readonly names?: readonly string[];
}

// DER, as much of it as X.509 needs (RFC 5280). By hand, for node:crypto signs but writes no certificates, and neither a library
// of a dozen packages nor an openssl program is worth a hundred lines.
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
const integer = (value: Uint8Array): Buffer => der(0x02, value);
const bits = (unused: number, data: Uint8Array): Buffer => der(0x03, Buffer.from([unused]), data);
const octets = (data: Uint8Array): Buffer => der(0x04, data);
const TRUE = der(0x01, Buffer.from([0xff]));
const time = (date: Date): Buffer => der(0x18, Buffer.from(`${date.toISOString().slice(0, 19).replace(/[-:T]/g, '')}Z`));
const commonName = (text: string): Buffer => sequence(der(0x31, sequence(oid('550403'), utf8(text))));
const extension = (id: string, critical: boolean, value: Uint8Array): Buffer =>
  sequence(oid(id), ...(critical ? [TRUE] : []), octets(value));

const ECDSA_WITH_SHA256 = sequence(oid('2a8648ce3d040302'));
const SERVER_AND_CLIENT_AUTH = sequence(oid('2b06010505070301'), oid('2b06010505070302'));
const BASIC_CONSTRAINTS = '551d13';
const KEY_USAGE = '551d0f';
const EXTENDED_KEY_USAGE = '551d25';
const ALTERNATIVE_NAMES = '551d11';
const SUBJECT_KEY_ID = '551d0e';
const AUTHORITY_KEY_ID = '551d23';

const spki = (key: KeyObject): Buffer => key.export({ type: 'spki', format: 'der' });
const keyId = (key: KeyObject): Buffer => createHash('sha1').update(spki(key)).digest();

/** An X.509 certificate, version 3, signed with ECDSA and SHA-256, as PEM (RFC 5280). */
export function signCertificate(content: CertificateContent): string {
  const { subject, publicKey, issuer, issuerKey, notBefore, notAfter } = content;
  const serial = randomBytes(16);
  serial[0] = (serial[0]! & 0x7f) | 0x40; // positive, no leading zero
  const body = sequence(
    der(0xa0, integer(Buffer.from([2]))), // v3
    integer(serial),
    ECDSA_WITH_SHA256,
    commonName(issuer),
    sequence(time(notBefore), time(notAfter)),
    commonName(subject),
    spki(publicKey),
    der(
      0xa3,
      sequence(
        extension(SUBJECT_KEY_ID, false, octets(keyId(publicKey))),
        extension(AUTHORITY_KEY_ID, false, sequence(der(0x80, keyId(createPublicKey(issuerKey))))),
        ...extensionsOf(content),
      ),
    ),
  );
  const whole = sequence(body, ECDSA_WITH_SHA256, bits(0, sign('sha256', body, issuerKey)));
  return `-----BEGIN CERTIFICATE-----\n${whole.toString('base64').replace(/.{1,64}/g, '$&\n')}-----END CERTIFICATE-----\n`;
}

function extensionsOf({ isAuthority, names = [] }: CertificateContent): Buffer[] {
  if (isAuthority === true) {
    return [
      extension(BASIC_CONSTRAINTS, true, sequence(TRUE, integer(Buffer.from([0])))), // signs no other authority
      extension(KEY_USAGE, true, bits(1, Buffer.from([0x06]))), // keyCertSign, cRLSign
    ];
  }
  const alternatives = names.map((name) => (isIP(name) === 0 ? der(0x82, Buffer.from(name)) : der(0x87, addressBytes(name))));
  return [
    extension(BASIC_CONSTRAINTS, true, sequence()),
    extension(KEY_USAGE, true, bits(7, Buffer.from([0x80]))), // digitalSignature
    extension(EXTENDED_KEY_USAGE, false, SERVER_AND_CLIENT_AUTH),
    // Strict readers refuse an empty list.
    ...(alternatives.length > 0 ? [extension(ALTERNATIVE_NAMES, false, sequence(...alternatives))] : []),
  ];
}

/** The bytes of an IPv4 or IPv6 address. */
function addressBytes(address: string): Uint8Array {
  if (isIP(address) === 4) return Uint8Array.from(address.split('.').map(Number));
  // The one canonical form that Node's URL writes has no zone and no IPv4 tail.
  const bare = new URL(`http://[${address.replace(/%.*$/, '')}]/`).hostname.slice(1, -1);
  const [head = '', tail] = bare.split('::');
  const groups = (text: string): number[] => (text === '' ? [] : text.split(':').map((group) => parseInt(group, 16)));
  const [left, right] = [groups(head), tail === undefined ? [] : groups(tail)];
  const all = [...left, ...Array<number>(8 - left.length - right.length).fill(0), ...right];
  return Uint8Array.from(all.flatMap((group) => [group >> 8, group & 0xff]));
}
