import { createHash } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { fromSeed, type KeyPair } from 'nkeys.js';
import { isExposedMode } from '../config/secret-files.ts';
import { TrellisError } from '../errors.ts';
import { quote } from '../ids.ts';

/** Files a partition logs in with: one credentials file, or a JWT and a seed apart, or a seed alone (plain nkey login). */
export interface CredentialFiles {
  readonly credsFile?: string | undefined;
  readonly jwtFile?: string | undefined;
  readonly seedFile?: string | undefined;
  /** The same two as texts, from the environment; they cannot be replaced while the process runs. */
  readonly jwt?: string | undefined;
  readonly seed?: string | undefined;
}

/** What the client library sends in its CONNECT. */
export interface LoginFields {
  jwt?: string;
  nkey: string;
  sig: string;
}

/** Who hears what happens to credentials. */
export interface CredentialEvents {
  /** The text of a seed that was read: hide it from the log. */
  secret(seed: string): void;
  /** A newer file could not be used; the last good one stays in use. */
  kept(reason: string): void;
}

interface Snapshot {
  /** Of the files' text, which itself is not kept: it holds the seed. */
  readonly digest: string;
  readonly jwt: string | undefined;
  readonly keys: KeyPair;
  readonly userKey: string;
  /** The account the user belongs to; `undefined` for a plain nkey. */
  readonly account: string | undefined;
  readonly expiresMs: number | undefined;
}

const MAX_FILE_BYTES = 64 * 1024;

/**
 * The login of one connection. Files are read again at every (re)connect, so that a replaced file takes effect by itself,
 * and each login uses one snapshot: reading the JWT and the seed at two moments would mix two files.
 *
 * A file that is half written, or belongs to another user or account than its other half says, is not used: the last good
 * snapshot stays. Nothing here throws once {@link openCredentials} has succeeded; in the client library an authenticator
 * that throws ends the connection for good.
 */
export class Credentials {
  readonly #files: CredentialFiles;
  readonly #events: CredentialEvents;
  #current: Snapshot;

  constructor(files: CredentialFiles, first: Snapshot, events: CredentialEvents) {
    this.#files = files;
    this.#current = first;
    this.#events = events;
  }

  /** Public key of the user, `U…`. */
  get userKey(): string {
    return this.#current.userKey;
  }

  /** When the user JWT in use expires, milliseconds since the epoch; `undefined` if never or unknown. */
  get expiresMs(): number | undefined {
    return this.#current.expiresMs;
  }

  /** Reads the files again and answers the server's nonce. */
  login(nonce: string | undefined): LoginFields {
    this.#refresh();
    const { jwt, keys, userKey } = this.#current;
    const sig = nonce === undefined ? '' : Buffer.from(keys.sign(Buffer.from(nonce, 'utf8'))).toString('base64url');
    return jwt === undefined ? { nkey: userKey, sig } : { jwt, nkey: userKey, sig };
  }

  /** Signs `data` with the key in use, to prove to others than the server who is logged in. Costs milliseconds. */
  sign(data: Uint8Array): Buffer {
    return Buffer.from(this.#current.keys.sign(data));
  }

  #refresh(): void {
    if (Object.values(this.#files).every((file) => file === undefined)) return;
    try {
      const text = readFiles(this.#files);
      if (digestOf(text) === this.#current.digest) return;
      const next = parse(text, this.#files, this.#events);
      if (next.account === this.#current.account) this.#current = next;
      else this.#events.kept('the new credentials are for another account');
    } catch (error) {
      this.#events.kept(error instanceof Error ? error.message : 'the file cannot be used');
    }
  }
}

/**
 * Opens the login of a partition, or returns `undefined` when no files are configured.
 *
 * @param events Hear of each seed read, and of every later file that could not be used.
 * @throws TRELLIS_NATS_CREDENTIALS_INVALID, naming the file and never its contents.
 */
export function openCredentials(files: CredentialFiles, events: CredentialEvents): Credentials | undefined {
  const { credsFile, jwtFile, seedFile, jwt, seed } = files;
  if (credsFile === undefined && jwtFile === undefined && seedFile === undefined) {
    if (jwt === undefined && seed === undefined) return undefined;
    // Without files there is nothing to read again, and no text to keep.
    return new Credentials({}, parse([jwt, seed].join('\n'), { jwt, seed }, events), events);
  }
  if (credsFile !== undefined && (jwtFile !== undefined || seedFile !== undefined)) {
    throw invalid('set credsFile, or jwtFile and seedFile, not both');
  }
  if (credsFile === undefined && seedFile === undefined) throw invalid('jwtFile needs a seedFile beside it');
  const first = parse(readFiles(files), files, events);
  return new Credentials(files, first, events);
}

/** Names the configured secret files that other users of this machine may read. */
export function exposedFiles(files: CredentialFiles): readonly string[] {
  return [files.credsFile, files.seedFile].filter((file) => file !== undefined && isExposed(file)) as string[];
}

function isExposed(file: string): boolean {
  try {
    const { mode, uid } = statSync(file);
    return process.platform !== 'win32' && isExposedMode(mode, uid);
  } catch {
    return false;
  }
}

function invalid(message: string): TrellisError {
  return new TrellisError('TRELLIS_NATS_CREDENTIALS_INVALID', { message });
}

function readFiles(files: CredentialFiles): string {
  const parts = [files.credsFile, files.jwtFile, files.seedFile].filter((file) => file !== undefined);
  return parts.map(readText).join('\n');
}

function readText(file: string): string {
  try {
    if (statSync(file).size > MAX_FILE_BYTES) throw invalid(`${quote(file)} is too large for credentials`);
    return readFileSync(file, 'utf8').replaceAll('\r\n', '\n');
  } catch (error) {
    if (error instanceof TrellisError) throw error;
    throw invalid(`${quote(file)} cannot be read`);
  }
}

function parse(text: string, files: CredentialFiles, events: CredentialEvents): Snapshot {
  const where = quote(files.credsFile ?? files.seedFile ?? 'the environment');
  // In a credentials file the two are framed; in files of their own they stand bare. Their alphabets cannot be mixed up.
  const seed = /(?:^|\n)[ \t]*(SU[A-Z2-7]{56})[ \t]*(?:\n|$)/.exec(text)?.[1];
  const found = /(?:^|\n)[ \t]*(ey[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+)[ \t]*(?:\n|$)/.exec(text)?.[1];
  // A copy: the match is a window into the text, and would keep the seed beside it in memory.
  const jwt = found === undefined ? undefined : Buffer.from(found, 'latin1').toString('latin1');
  const digest = digestOf(text);
  if (seed === undefined) throw invalid(`${where} holds no user seed`);
  if (jwt === undefined && (files.credsFile ?? files.jwtFile ?? files.jwt) !== undefined)
    throw invalid(`${where} holds no user JWT`);
  events.secret(seed);
  let keys: KeyPair;
  let userKey: string;
  try {
    keys = fromSeed(Buffer.from(seed, 'utf8'));
    userKey = keys.getPublicKey();
  } catch {
    throw invalid(`the user seed in ${where} is damaged`);
  }
  if (jwt === undefined) return { digest, jwt, keys, userKey, account: undefined, expiresMs: undefined };
  const claims = readClaims(jwt);
  if (claims === undefined) throw invalid(`the JWT in ${where} is not a user JWT`);
  if (claims.subject !== userKey) throw invalid(`the JWT in ${where} is for another user than the seed`);
  return { digest, jwt, keys, userKey, account: claims.account, expiresMs: claims.expiresMs };
}

function digestOf(text: string): string {
  return createHash('sha256').update(text).digest('base64');
}

/** Reads what this side needs of a user JWT. The server verifies it; here it only has to fit its seed and its predecessor. */
function readClaims(jwt: string): { subject: string; account: string; expiresMs: number | undefined } | undefined {
  try {
    const claims = JSON.parse(Buffer.from(jwt.split('.')[1] ?? '', 'base64url').toString('utf8')) as Record<string, unknown>;
    const nats = claims['nats'] as Record<string, unknown> | undefined;
    // The issuer is the account itself or one of its signing keys; the account's identity stands apart in the second case.
    const account = nats?.['issuer_account'] ?? claims['iss'];
    const { sub, exp } = claims;
    if (typeof sub !== 'string' || typeof account !== 'string' || nats?.['type'] !== 'user') return undefined;
    return { subject: sub, account, expiresMs: typeof exp === 'number' && exp > 0 ? exp * 1000 : undefined };
  } catch {
    return undefined;
  }
}
