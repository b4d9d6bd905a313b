import { createPrivateKey, generateKeyPairSync, X509Certificate } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { join } from 'node:path';
import { TrellisError } from '../errors.ts';
import { quote } from '../ids.ts';
import { replaceFile } from '../replace-file.ts';
import { signCertificate } from './certificate.ts';

/**
 * A small certificate authority in a folder: `ca.pem`, `ca-key.pem` (mode 0600). For laptops and first lattices; who has a public key
 * infrastructure takes its certificates from there.
 */
export interface AuthorityFiles {
  readonly certFile: string;
  readonly keyFile: string;
}

/** A certificate with its key. */
export interface IssuedCertificate {
  readonly certFile: string;
  /** Mode 0600. */
  readonly keyFile: string;
  readonly notAfterMs: number;
}

/** A machine whose clock is behind by less accepts a certificate that was made this moment. */
const BACKDATED_MS = 3_600_000;
/** Labels, the first may be `*`. */
const DNS_NAME =
  /^(?=.{1,253}$)(?:\*\.)?(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$/;
/** Certificates are shown to everybody who connects; servers run as other users. */
const CERTIFICATE_MODE = 0o644;
const FILE_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

const filesIn = (dir: string): AuthorityFiles => ({ certFile: join(dir, 'ca.pem'), keyFile: join(dir, 'ca-key.pem') });

/**
 * Makes an authority in `dir`, which is made (mode 0700) if it is missing.
 *
 * @throws TRELLIS_AUTH_EXISTS if it has one, TRELLIS_USAGE for a name that is not printable or longer than 64 characters
 */
export function createAuthority(dir: string, o: { name: string; lifetimeMs: number; nowMs: number }): AuthorityFiles {
  if (!/^[ -~]{1,64}$/.test(o.name)) throw usage('The name of an authority has 1 to 64 printable characters');
  const files = filesIn(dir);
  refuseExisting(files);
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const certPem = signCertificate({
    subject: o.name,
    issuer: o.name,
    publicKey,
    issuerKey: privateKey,
    ...validity(o),
    isAuthority: true,
  });
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  replaceFile(files.keyFile, privateKey.export({ type: 'pkcs8', format: 'pem' }));
  replaceFile(files.certFile, certPem, CERTIFICATE_MODE);
  return files;
}

/**
 * Signs a certificate that a server or client of these names and addresses shows, into `dir/NAME.pem` and `dir/NAME-key.pem`. It never
 * outlives its authority.
 *
 * @param o.dns DNS names, `*.` in front is allowed; with no name and no address it is for a client
 * @param o.addresses IPv4 and IPv6
 * @throws TRELLIS_USAGE for a name that is none, TRELLIS_AUTH_EXISTS unless `replace`, TRELLIS_AUTH_UNKNOWN without an authority in `dir`
 */
export function issueCertificate(
  dir: string,
  o: { name: string; dns: readonly string[]; addresses: readonly string[]; lifetimeMs: number; nowMs: number; replace?: boolean },
): IssuedCertificate {
  if (!FILE_NAME.test(o.name) || o.name === 'ca') throw usage(`${quote(o.name)} cannot be the name of a certificate's files`);
  const noName = o.dns.find((name) => isIP(name) !== 0 || !DNS_NAME.test(name));
  if (noName !== undefined) throw usage(`${quote(noName)} is no DNS name`);
  const noAddress = o.addresses.find((address) => isIP(address) === 0 || address.includes('%'));
  if (noAddress !== undefined) throw usage(`${quote(noAddress)} is no IP address`);
  const authority = readAuthority(dir, o.nowMs);
  const issued = { certFile: join(dir, `${o.name}.pem`), keyFile: join(dir, `${o.name}-key.pem`) };
  if (o.replace !== true) refuseExisting(issued);
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const { notBefore, notAfter } = validity(o);
  const end = notAfter.getTime() < authority.notAfter.getTime() ? notAfter : authority.notAfter;
  const certPem = signCertificate({
    subject: o.name,
    publicKey,
    issuer: authority.name,
    issuerKey: authority.key,
    notBefore,
    notAfter: end,
    names: [...o.dns, ...o.addresses],
  });
  replaceFile(issued.keyFile, privateKey.export({ type: 'pkcs8', format: 'pem' }));
  replaceFile(issued.certFile, certPem, CERTIFICATE_MODE);
  return { ...issued, notAfterMs: end.getTime() };
}

function readAuthority(dir: string, nowMs: number): { name: string; key: ReturnType<typeof createPrivateKey>; notAfter: Date } {
  const { certFile, keyFile } = filesIn(dir);
  const refuse = (why: string): TrellisError =>
    new TrellisError('TRELLIS_AUTH_UNKNOWN', {
      message: `The certificate authority in ${dir} ${why}`,
      remedy: `Make one: trellis auth ca init --out ${dir}`,
    });
  if (!existsSync(certFile) || !existsSync(keyFile)) throw refuse('is not there');
  let certificate: X509Certificate;
  let key: ReturnType<typeof createPrivateKey>;
  try {
    certificate = new X509Certificate(readFileSync(certFile));
    key = createPrivateKey(readFileSync(keyFile));
  } catch {
    throw refuse('is damaged');
  }
  const name = /^CN=([ -~]{1,64})$/.exec(certificate.subject)?.[1];
  if (!certificate.ca || !certificate.checkPrivateKey(key)) throw refuse('has a key that is not its own');
  if (name === undefined || key.asymmetricKeyDetails?.namedCurve !== 'prime256v1') throw refuse('was not made by this command');
  const notAfter = new Date(certificate.validTo);
  if (notAfter.getTime() <= nowMs) throw refuse(`has ended on ${notAfter.toISOString()}`);
  return { name, key, notAfter };
}

function validity({ lifetimeMs, nowMs }: { lifetimeMs: number; nowMs: number }): { notBefore: Date; notAfter: Date } {
  return { notBefore: new Date(nowMs - BACKDATED_MS), notAfter: new Date(nowMs + lifetimeMs) };
}

function refuseExisting({ certFile, keyFile }: { certFile: string; keyFile: string }): void {
  const existing = [certFile, keyFile].find((file) => existsSync(file));
  if (existing === undefined) return;
  throw new TrellisError('TRELLIS_AUTH_EXISTS', {
    message: `${existing} is there already`,
    remedy: 'Name another folder, or replace a certificate (not an authority) with --force.',
  });
}

function usage(message: string): TrellisError {
  return new TrellisError('TRELLIS_USAGE', { message });
}
