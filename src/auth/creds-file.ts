import { isExposedMode, readCreds, readSecretFile } from '../config/secret-files.ts';
import { TrellisError } from '../errors.ts';
import { SigningKey } from '../trust/nkey.ts';
import type { UserClaims } from './claims-shape.ts';
import { readNatsJwt } from './nats-jwt.ts';

/** A creds file whose JWT and seed are sound and belong together. */
export interface CredsFile {
  readonly jwt: string;
  readonly claims: UserClaims;
  readonly key: SigningKey;
  /** True if others on this machine can read the file. */
  readonly exposed: boolean;
}

/**
 * Reads a creds file and checks it as far as that can be done without its account: the JWT is signed by whom it names, and the
 * seed is the user's.
 *
 * @throws TRELLIS_NATS_CREDENTIALS_INVALID naming the file and never its contents
 */
export function readCredsFile(file: string): CredsFile {
  const read = readSecretFile(file);
  if (!read.ok) throw invalid(`${file} ${read.reason}`);
  const { jwt, seed } = readCreds(read.text);
  if (jwt === undefined) throw invalid(`${file} holds no user JWT`);
  if (seed === undefined) throw invalid(`${file} holds no user seed`);
  const parsed = readNatsJwt(jwt, 'user');
  if (!parsed.ok) throw invalid(`the JWT in ${file} ${parsed.reason}`);
  let key: SigningKey;
  try {
    key = SigningKey.fromSeed(seed, 'user');
  } catch {
    throw invalid(`the user seed in ${file} is damaged`);
  }
  if (key.publicKey !== parsed.claims.sub) throw invalid(`the JWT in ${file} is for another user than the seed`);
  const exposed = process.platform !== 'win32' && isExposedMode(read.mode, read.uid);
  return { jwt, claims: parsed.claims, key, exposed };
}

const invalid = (message: string): TrellisError => new TrellisError('TRELLIS_NATS_CREDENTIALS_INVALID', { message });
