import { createHash } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { fromSeed, type KeyPair } from 'nkeys.js';
import { isExposedMode, jwtTimeMs, unverifiedClaims } from '../config/secret-files.ts';
import { TrellisError } from '../errors.ts';
import { quotePath } from '../ids.ts';
import type { FileVerdict } from './file-verdict.ts';

/** Files a partition logs in with: one credentials file, or a JWT and a seed apart, or a seed alone (plain nkey login). */
export interface CredentialFiles {
  readonly credsFile?: string | undefined;
  readonly jwtFile?: string | undefined;
  readonly seedFile?: string | undefined;
  /** The same two as texts, from the environment; they cannot be replaced while the process runs. */
  readonly jwt?: string | undefined;
  readonly seed?: string | undefined;
}

/** One user JWT and its seed, as they stood in the files at one moment. */
export interface UserCredentials {
  /** Of the files' text, which itself is not kept: it holds the seed. */
  readonly digest: string;
  /** `undefined` for a plain nkey. */
  readonly jwt: string | undefined;
  readonly keys: KeyPair;
  /** Public key of the user, `U…`. */
  readonly userKey: string;
  /** The account the user belongs to; `undefined` for a plain nkey. */
  readonly account: string | undefined;
  /** Milliseconds since the epoch, as the JWT says; `undefined` where it says nothing. */
  readonly issuedMs: number | undefined;
  readonly notBeforeMs: number | undefined;
  readonly expiresMs: number | undefined;
}

const MAX_FILE_BYTES = 64 * 1024;
const SEED = /(?:^|\n)[ \t]*(SU[A-Z2-7]{56})[ \t]*(?:\n|$)/;
const JWT = /(?:^|\n)[ \t]*(ey[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+)[ \t]*(?:\n|$)/;

/**
 * The credentials of one connection, as far as its files could be used. A file that is half written, belongs to another user or
 * account than its other half says, has expired, is not valid yet, or is readable by others is not used: the last good ones stay.
 */
export class Credentials {
  readonly #files: CredentialFiles;
  readonly #secret: (seed: string) => void;
  /** Files that others could read already when they were accepted: whoever did so goes on doing so. */
  readonly #exposed: ReadonlySet<string>;
  #current: UserCredentials;

  constructor(files: CredentialFiles, first: UserCredentials, secret: (seed: string) => void) {
    this.#files = files;
    this.#current = first;
    this.#secret = secret;
    this.#exposed = new Set(exposedFiles(files));
  }

  /** The newest that can be used. */
  get current(): UserCredentials {
    return this.#current;
  }

  /** Reads the files again and takes what is new in them, if it can be used. Never throws. */
  async check(nowMs: number): Promise<FileVerdict> {
    if (listed(this.#files).length === 0) return { ok: true };
    try {
      const parts = await Promise.all(listed(this.#files).map((file) => this.#read(file)));
      const exposed = parts.find((part) => part.exposed)?.file;
      if (exposed !== undefined)
        return { ok: false, alarm: 'TRELLIS_ALARM_CREDENTIALS_EXPOSED', detail: `other users may read ${quotePath(exposed)}` };
      const text = joined(parts.map((part) => part.text));
      if (digestOf(text) === this.#current.digest) return { ok: true };
      const next = parseCredentials(text, this.#files);
      this.#secret(seedIn(text) ?? '');
      const refusal = refusalOf(next, this.#current, nowMs);
      if (refusal !== undefined) return kept(`${where(this.#files)} ${refusal}`);
      this.#current = next;
      return { ok: true };
    } catch (error) {
      return kept(error instanceof TrellisError ? error.message : `${where(this.#files)} cannot be used`);
    }
  }

  async #read(file: string): Promise<{ file: string; text: string; exposed: boolean }> {
    try {
      // The event loop does not wait: such files may lie on a network share.
      const { size, mode, uid } = await stat(file);
      if (size > MAX_FILE_BYTES) throw invalid(`${quotePath(file)} is too large for credentials`);
      const exposed = isSecret(file, this.#files) && isExposed(mode, uid) && !this.#exposed.has(file);
      return { file, text: await readFile(file, 'utf8'), exposed };
    } catch (error) {
      throw error instanceof TrellisError ? error : invalid(`${quotePath(file)} cannot be read`);
    }
  }
}

/**
 * Opens the credentials of a partition, or returns `undefined` when no files are configured.
 *
 * @param secret Hears of each seed that is read: hide it from the log.
 * @throws TRELLIS_NATS_CREDENTIALS_INVALID, naming the file and never its contents.
 */
export function openCredentials(files: CredentialFiles, secret: (seed: string) => void): Credentials | undefined {
  const { credsFile, jwtFile, seedFile, jwt, seed } = files;
  if (listed(files).length === 0) {
    if (jwt === undefined && seed === undefined) return undefined;
    const text = [jwt, seed].join('\n');
    secret(seedIn(text) ?? '');
    // Without files there is nothing to read again, and no text to keep.
    return new Credentials({}, parseCredentials(text, { jwt, seed }), secret);
  }
  if (credsFile !== undefined && (jwtFile !== undefined || seedFile !== undefined)) {
    throw invalid('set credsFile, or jwtFile and seedFile, not both');
  }
  if (credsFile === undefined && seedFile === undefined) throw invalid('jwtFile needs a seedFile beside it');
  const text = joined(listed(files).map(readText));
  const first = parseCredentials(text, files);
  secret(seedIn(text) ?? '');
  return new Credentials(files, first, secret);
}

/** Names the configured secret files that other users of this machine may read. */
export function exposedFiles(files: CredentialFiles): readonly string[] {
  return [files.credsFile, files.seedFile]
    .filter((file) => file !== undefined)
    .filter((file) => {
      const found = statSync(file, { throwIfNoEntry: false });
      return found !== undefined && isExposed(found.mode, found.uid);
    });
}

/** True if others than the owner may read a file; never on Windows, whose modes say nothing of that. */
export function isExposed(mode: number, uid: number): boolean {
  return process.platform !== 'win32' && isExposedMode(mode, uid);
}

/** Why `next` cannot follow `current`; `undefined` if it can. */
function refusalOf(next: UserCredentials, current: UserCredentials, nowMs: number): string | undefined {
  if (next.account !== current.account) return 'is for another account';
  if (next.expiresMs !== undefined && next.expiresMs <= nowMs) return `expired at ${new Date(next.expiresMs).toISOString()}`;
  if (next.notBeforeMs !== undefined && next.notBeforeMs > nowMs)
    return `is not valid before ${new Date(next.notBeforeMs).toISOString()}`;
  return undefined;
}

function kept(detail: string): FileVerdict {
  return { ok: false, alarm: 'TRELLIS_ALARM_CREDENTIALS_KEPT', detail };
}

function invalid(message: string): TrellisError {
  return new TrellisError('TRELLIS_NATS_CREDENTIALS_INVALID', { message });
}

const listed = (files: CredentialFiles): string[] =>
  [files.credsFile, files.jwtFile, files.seedFile].filter((file) => file !== undefined);
const isSecret = (file: string, files: CredentialFiles): boolean => file !== files.jwtFile;
const where = (files: CredentialFiles): string => quotePath(files.credsFile ?? files.seedFile ?? 'the environment');
const joined = (texts: readonly string[]): string => texts.join('\n').replaceAll('\r\n', '\n');
const seedIn = (text: string): string | undefined => SEED.exec(text)?.[1];

function readText(file: string): string {
  try {
    if (statSync(file).size > MAX_FILE_BYTES) throw invalid(`${quotePath(file)} is too large for credentials`);
    return readFileSync(file, 'utf8');
  } catch (error) {
    if (error instanceof TrellisError) throw error;
    throw invalid(`${quotePath(file)} cannot be read`);
  }
}

/**
 * Reads the user JWT and the seed in the text of `files`, which are for the error message. @throws TRELLIS_NATS_CREDENTIALS_INVALID,
 * which never says what stands in them
 */
export function parseCredentials(text: string, files: CredentialFiles): UserCredentials {
  const place = where(files);
  // In a credentials file the two are framed; in files of their own they stand bare. Their alphabets cannot be mixed up.
  const seed = seedIn(text);
  const found = JWT.exec(text)?.[1];
  // A copy: the match is a window into the text, and would keep the seed beside it in memory.
  const jwt = found === undefined ? undefined : Buffer.from(found, 'latin1').toString('latin1');
  const digest = digestOf(text);
  if (seed === undefined) throw invalid(`${place} holds no user seed`);
  if (jwt === undefined && (files.credsFile ?? files.jwtFile ?? files.jwt) !== undefined)
    throw invalid(`${place} holds no user JWT`);
  let keys: KeyPair;
  let userKey: string;
  try {
    keys = fromSeed(Buffer.from(seed, 'utf8'));
    userKey = keys.getPublicKey();
  } catch {
    throw invalid(`the user seed in ${place} is damaged`);
  }
  const nothing = { account: undefined, issuedMs: undefined, notBeforeMs: undefined, expiresMs: undefined };
  if (jwt === undefined) return { digest, jwt, keys, userKey, ...nothing };
  const claims = readClaims(jwt);
  if (claims === undefined) throw invalid(`the JWT in ${place} is not a user JWT`);
  const { subject, ...facts } = claims;
  if (subject !== userKey) throw invalid(`the JWT in ${place} is for another user than the seed`);
  return { digest, jwt, keys, userKey, ...facts };
}

function digestOf(text: string): string {
  return createHash('sha256').update(text).digest('base64');
}

interface Claims extends Pick<UserCredentials, 'issuedMs' | 'notBeforeMs' | 'expiresMs'> {
  readonly subject: string;
  readonly account: string;
}

/** Reads what this side needs of a user JWT. The server verifies it; here it only has to fit its seed and its predecessor. */
function readClaims(jwt: string): Claims | undefined {
  const { sub, iss, iat, nbf, exp, nats } = unverifiedClaims(jwt) ?? {};
  const user = nats as Record<string, unknown> | null | undefined;
  // The issuer is the account itself or one of its signing keys; the account's identity stands apart in the second case.
  const account = user?.['issuer_account'] ?? iss;
  if (typeof sub !== 'string' || typeof account !== 'string' || user?.['type'] !== 'user') return undefined;
  return { subject: sub, account, issuedMs: jwtTimeMs(iat), notBeforeMs: jwtTimeMs(nbf), expiresMs: jwtTimeMs(exp) };
}
