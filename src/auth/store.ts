import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type Clock, systemClock } from '../clock.ts';
import { TrellisError } from '../errors.ts';
import { isToken, quote } from '../ids.ts';
import { replaceFile } from '../replace-file.ts';
import { SigningKey } from '../trust/nkey.ts';
import { accountClaims, operatorClaims, userClaims } from './claims.ts';
import type { AccountClaims, ClaimsKind, ClaimsOf, OperatorClaims, ScopedKey, Unsigned, UserClaims } from './claims-shape.ts';
import { credsText } from './creds-text.ts';
import { KeyFiles } from './key-files.ts';
import { readNatsJwt, signNatsJwt } from './nats-jwt.ts';
import { checkStoreDir, fileName, foldersIn, jwtNamesIn, layoutOf, operatorsIn } from './store-layout.ts';
import { lockStore } from './store-lock.ts';
import { SYSTEM_EXPORTS } from './system-account.ts';

/** Name of the system account, and of the user in it. */
export const SYSTEM_ACCOUNT = 'SYS';
export const SYSTEM_USER = 'sys';

/** An account or user of the store: what it says, or why that does not count. */
export type StoreEntry<Claims> =
  | { readonly name: string; readonly ok: true; readonly jwt: string; readonly claims: Claims }
  | { readonly name: string; readonly ok: false; readonly reason: string };

/**
 * An operator with its accounts, users and keys, in a folder laid out as `nsc` does it, so that either reads what the other wrote.
 * JWTs are read from their files each time, verified up to the operator; private keys only when something is to be signed.
 * The private identity keys (`operator().sub`, `account(name).sub`) are needed for nothing daily, and may be taken offline.
 */
export class AuthStore {
  /** The folder, as it was named. */
  readonly dir: string;
  readonly operatorName: string;
  readonly keys: KeyFiles;
  readonly #root: string;
  readonly #credsDir: string;
  readonly #clock: Clock;
  #locked = false;

  private constructor(dir: string, operatorName: string, clock: Clock) {
    const { operatorsDir, keysDir, credsDir } = layoutOf(dir);
    this.dir = dir;
    this.operatorName = operatorName;
    this.keys = new KeyFiles(keysDir);
    this.#root = join(operatorsDir, operatorName);
    this.#credsDir = join(credsDir, operatorName);
    this.#clock = clock;
  }

  /**
   * Makes a store: an operator that signs with a signing key alone, the system account, and a user in it with its creds file.
   *
   * @throws TRELLIS_AUTH_EXISTS if the folder has an operator, TRELLIS_AUTH_STORE, TRELLIS_ID_INVALID
   */
  static async create(
    dir: string,
    options: { readonly operator: string; readonly clock?: Clock | undefined },
  ): Promise<AuthStore> {
    const { operator: name, clock = systemClock } = options;
    if (!isToken(name, 64))
      throw new TrellisError('TRELLIS_ID_INVALID', { message: `operator name ${quote(name)} is not allowed` });
    makeDir(dir);
    checkStoreDir(dir);
    const unlock = await lockStore(dir);
    try {
      const [existing] = operatorsIn(layoutOf(dir));
      if (existing !== undefined) {
        throw new TrellisError('TRELLIS_AUTH_EXISTS', {
          message: `The store ${dir} has an operator already, ${quote(existing)}`,
          remedy: `Use it as it is (trellis auth show --store ${dir}), or name another folder with --store.`,
        });
      }
      const store = new AuthStore(dir, name, clock);
      store.#locked = true;
      store.#writeFirst();
      store.#locked = false;
      return store;
    } finally {
      unlock();
    }
  }

  #writeFirst(): void {
    const nowMs = this.#clock.wallMs();
    const operator = SigningKey.generate('operator');
    const operatorSigner = SigningKey.generate('operator');
    const account = SigningKey.generate('account');
    const accountSigner = SigningKey.generate('account');
    const user = SigningKey.generate('user');
    makeDir(join(this.#root, 'accounts'));
    for (const key of [operator, operatorSigner, account, accountSigner, user]) this.keys.write(key);
    const signingKeys = [operatorSigner.publicKey];
    const name = this.operatorName;
    this.writeOperator(
      operatorClaims({ operator: operator.publicKey, name, signingKeys, systemAccount: account.publicKey, nowMs }),
    );
    const system = accountClaims({
      account: account.publicKey,
      name: SYSTEM_ACCOUNT,
      jetstream: false,
      signingKeys: [accountSigner.publicKey],
      exports: SYSTEM_EXPORTS,
      nowMs,
    });
    this.writeAccount(system);
    const admin = userClaims({
      user: user.publicKey,
      name: SYSTEM_USER,
      issuerAccount: account.publicKey,
      rights: EVERYTHING,
      nowMs,
    });
    this.writeUser(SYSTEM_ACCOUNT, admin, accountSigner.publicKey);
    replaceFile(join(this.dir, '.gitignore'), '# Private keys belong into no repository.\n**/*.nk\n**/*.creds\n');
    // Last: with it the folder is a store.
    replaceFile(join(this.#root, '.nsc'), JSON.stringify({ managed: false, name, kind: 'operator', version: '1' }));
  }

  /**
   * Opens a store that Trellis or `nsc` made.
   *
   * @param options.operator needed only if the folder has several
   * @throws TRELLIS_AUTH_STORE, TRELLIS_AUTH_JWT_INVALID
   */
  static open(
    dir: string,
    options: { readonly operator?: string | undefined; readonly clock?: Clock | undefined } = {},
  ): AuthStore {
    checkStoreDir(dir);
    const names = operatorsIn(layoutOf(dir));
    const name = options.operator ?? names[0];
    if (name === undefined || !names.includes(name)) {
      throw new TrellisError('TRELLIS_AUTH_STORE', {
        message: name === undefined ? `There is no store at ${dir}` : `The store ${dir} has no operator ${quote(name)}`,
      });
    }
    if (options.operator === undefined && names.length > 1) {
      throw new TrellisError('TRELLIS_AUTH_STORE', {
        message: `The store ${dir} has several operators: ${names.map(quote).join(', ')}`,
        remedy: 'Say which one with --operator NAME.',
      });
    }
    const store = new AuthStore(dir, name, options.clock ?? systemClock);
    store.operator();
    return store;
  }

  /** The operator. @throws TRELLIS_AUTH_JWT_INVALID */
  operator(): OperatorClaims {
    const { claims } = this.#read('operator', this.#operatorFile);
    if (claims.iss === claims.sub) return claims;
    throw unsound(this.#operatorFile, 'is not signed by the operator itself');
  }

  /** The operator's JWT. @throws TRELLIS_AUTH_JWT_INVALID */
  operatorJwt(): string {
    return this.#read('operator', this.#operatorFile).jwt;
  }

  /** All accounts by name, sound or not. */
  accounts(): StoreEntry<AccountClaims>[] {
    return foldersIn(join(this.#root, 'accounts')).map((name) => entry(name, () => this.#account(name)));
  }

  /** True if there is an account of this name. */
  hasAccount(name: string): boolean {
    return existsSync(this.#accountFile(name));
  }

  /** An account that the operator signed. @throws TRELLIS_AUTH_UNKNOWN, TRELLIS_AUTH_JWT_INVALID */
  account(name: string): AccountClaims {
    return this.#account(name).claims;
  }

  /** The JWT of an account that the operator signed. @throws TRELLIS_AUTH_UNKNOWN, TRELLIS_AUTH_JWT_INVALID */
  accountJwt(name: string): string {
    return this.#account(name).jwt;
  }

  /** All users of an account by name, sound or not. @throws TRELLIS_AUTH_UNKNOWN, TRELLIS_AUTH_JWT_INVALID for the account */
  users(account: string): StoreEntry<UserClaims>[] {
    const claims = this.account(account);
    return jwtNamesIn(dirname(this.#userFile(account, 'any'))).map((name) =>
      entry(name, () => this.#user(account, name, claims)),
    );
  }

  /** True if the account has a user of this name. */
  hasUser(account: string, name: string): boolean {
    return existsSync(this.#userFile(account, name));
  }

  /** A user that its account signed. @throws TRELLIS_AUTH_UNKNOWN, TRELLIS_AUTH_JWT_INVALID */
  user(account: string, name: string): UserClaims {
    return this.#user(account, name, this.account(account)).claims;
  }

  /** Where the creds file of a user is, or would be. */
  credsFile(account: string, user: string): string {
    return join(this.#credsDir, fileName('account', account), `${fileName('user', user)}.creds`);
  }

  /**
   * Does `work` while no other process changes the store. All that writes must happen inside.
   * @throws TRELLIS_AUTH_STORE_BUSY, TRELLIS_AUTH_STORE, and what `work` throws
   */
  async change<Result>(work: () => Result | Promise<Result>): Promise<Result> {
    const unlock = await lockStore(this.dir);
    this.#locked = true;
    try {
      return await work();
    } finally {
      this.#locked = false;
      unlock();
    }
  }

  /**
   * Signs the operator's claims with its identity key and keeps them; returns the JWT.
   * @throws TRELLIS_AUTH_KEY_MISSING if that key is kept elsewhere, TRELLIS_AUTH_CLAIMS
   */
  writeOperator(claims: Unsigned<OperatorClaims>): string {
    return this.#write(this.#operatorFile, claims, this.keys.read(claims.sub));
  }

  /**
   * Signs an account with a signing key of the operator (with its identity key, where the operator allows that and has no other
   * here) and keeps it; returns the JWT. It is issued now, and always later than the one before.
   * @throws TRELLIS_AUTH_KEY_MISSING, TRELLIS_AUTH_CLAIMS
   */
  writeAccount(claims: Unsigned<AccountClaims>): string {
    const { name = '' } = claims;
    const file = this.#accountFile(name);
    const before = existsSync(file) ? readNatsJwt(readFileSync(file, 'utf8').trim(), 'account') : undefined;
    const after = before?.ok === true ? before.claims.iat + 1 : 0;
    const iat = Math.max(claims.iat, Math.floor(this.#clock.wallMs() / 1_000), after);
    return this.#write(file, { ...claims, iat }, this.#operatorSigner());
  }

  /** Signs what tells a resolver to delete accounts. @throws TRELLIS_AUTH_KEY_MISSING */
  signDeletion(accounts: readonly string[], nowMs: number): string {
    const key = this.#operatorSigner();
    const nats = { accounts: [...accounts], type: 'generic', version: 2 } as const;
    return signNatsJwt({ iat: Math.floor(nowMs / 1_000), name: 'delete accounts', sub: key.publicKey, nats }, key);
  }

  /**
   * Signs a user with a signing key of its account, keeps it, and writes its creds file if its key is here; returns the JWT. It
   * counts although the user was revoked before: it is issued later than that.
   * @throws TRELLIS_AUTH_UNKNOWN for the account or a key that is none of its own, TRELLIS_AUTH_KEY_MISSING, TRELLIS_AUTH_CLAIMS
   */
  writeUser(account: string, claims: Unsigned<UserClaims>, signingKey: string): string {
    const { name = '', sub } = claims;
    const { nats } = this.account(account);
    if (!signersOf(nats.signing_keys).includes(signingKey)) {
      throw new TrellisError('TRELLIS_AUTH_UNKNOWN', { message: `${signingKey} is no signing key of account ${quote(account)}` });
    }
    const revokedAt = Math.max(nats.revocations?.[sub] ?? 0, nats.revocations?.['*'] ?? 0);
    const issued = { ...claims, iat: Math.max(claims.iat, revokedAt + 1) };
    const jwt = signNatsJwt(issued, this.keys.read(signingKey));
    // The creds file first: without the JWT's file the user does not exist, and is simply made again.
    if (this.keys.has(sub)) {
      const creds = this.credsFile(account, name);
      makeDir(dirname(creds));
      this.#replace(creds, credsText(jwt, this.keys.read(sub)).reveal());
    }
    this.#replace(this.#userFile(account, name), jwt);
    return jwt;
  }

  /** Forgets a user, its creds file and its key. (What was handed out stays valid until it is revoked or expires.) */
  removeUser(account: string, name: string): void {
    const { sub } = this.user(account, name);
    rmSync(this.#userFile(account, name), { force: true });
    rmSync(this.credsFile(account, name), { force: true });
    this.keys.remove(sub);
  }

  get #operatorFile(): string {
    return join(this.#root, `${this.operatorName}.jwt`);
  }

  #accountFile(name: string): string {
    return join(this.#root, 'accounts', fileName('account', name), `${name}.jwt`);
  }

  #userFile(account: string, name: string): string {
    return join(dirname(this.#accountFile(account)), 'users', `${fileName('user', name)}.jwt`);
  }

  #account(name: string): { jwt: string; claims: AccountClaims } {
    const file = this.#accountFile(name);
    if (!existsSync(file)) throw new TrellisError('TRELLIS_AUTH_UNKNOWN', { message: `There is no account ${quote(name)}` });
    const read = this.#read('account', file);
    const { sub, nats } = this.operator();
    const signers = [...(nats.signing_keys ?? []), ...(nats.strict_signing_key_usage === true ? [] : [sub])];
    if (!signers.includes(read.claims.iss)) throw unsound(file, 'is not signed by a key that the operator lists');
    if (read.claims.name !== name) throw unsound(file, 'is for an account of another name');
    return read;
  }

  #user(account: string, name: string, { sub, nats }: AccountClaims): { jwt: string; claims: UserClaims } {
    const file = this.#userFile(account, name);
    if (!existsSync(file)) {
      throw new TrellisError('TRELLIS_AUTH_UNKNOWN', { message: `Account ${quote(account)} has no user ${quote(name)}` });
    }
    const read = this.#read('user', file);
    const { iss, nats: user } = read.claims;
    const strict = this.operator().nats.strict_signing_key_usage === true;
    const signed = signersOf(nats.signing_keys).includes(iss) ? user.issuer_account === sub : !strict && iss === sub;
    if (!signed) throw unsound(file, 'is not signed by a key that its account lists');
    if (read.claims.name !== name) throw unsound(file, 'is for a user of another name');
    return read;
  }

  #read<Kind extends ClaimsKind>(kind: Kind, file: string): { jwt: string; claims: ClaimsOf<Kind> } {
    let jwt: string;
    try {
      jwt = readFileSync(file, 'utf8').trim();
    } catch (cause) {
      throw new TrellisError('TRELLIS_AUTH_STORE', {
        message: `${file} cannot be read (${String((cause as NodeJS.ErrnoException).code)})`,
        cause,
      });
    }
    const read = readNatsJwt(jwt, kind);
    if (read.ok) return { jwt, claims: read.claims };
    throw unsound(file, read.reason);
  }

  #operatorSigner(): SigningKey {
    const { sub, nats } = this.operator();
    const signing = nats.signing_keys ?? [];
    const usable = [...signing, ...(nats.strict_signing_key_usage === true ? [] : [sub])];
    const here = usable.find((key) => this.keys.has(key));
    if (here !== undefined) return this.keys.read(here);
    throw new TrellisError('TRELLIS_AUTH_KEY_MISSING', {
      message: `None of the keys with which operator ${quote(this.operatorName)} signs accounts is in the store`,
      ...(usable[0] === undefined
        ? {}
        : { remedy: `Put the seed of one of them back: ${this.keys.path(usable[0])}, mode 0600.` }),
    });
  }

  #write(file: string, claims: Unsigned<OperatorClaims | AccountClaims>, key: SigningKey): string {
    const jwt = signNatsJwt(claims, key);
    this.#replace(file, jwt);
    return jwt;
  }

  #replace(file: string, text: string): void {
    if (!this.#locked) throw new TrellisError('TRELLIS_INTERNAL', { message: 'A store was to be written outside of change()' });
    makeDir(dirname(file));
    replaceFile(file, text);
  }
}

/** Public keys of the signing keys of an account, scoped or not. */
export function signersOf(signingKeys: readonly (string | ScopedKey)[] = []): string[] {
  return signingKeys.map((key) => (typeof key === 'string' ? key : key.key));
}

const EVERYTHING = { publish: { allow: ['>'] }, subscribe: { allow: ['>'] } };

const unsound = (file: string, reason: string): TrellisError =>
  new TrellisError('TRELLIS_AUTH_JWT_INVALID', { message: `The JWT in ${file} ${reason}` });

function entry<Claims>(name: string, read: () => { jwt: string; claims: Claims }): StoreEntry<Claims> {
  try {
    return { name, ok: true, ...read() };
  } catch (error) {
    if (error instanceof TrellisError) return { name, ok: false, reason: error.message };
    throw error;
  }
}

function makeDir(dir: string): void {
  try {
    mkdirSync(dir, { recursive: true, mode: 0o700 });
  } catch (cause) {
    throw new TrellisError('TRELLIS_AUTH_STORE', {
      message: `The folder ${dir} could not be made (${String((cause as NodeJS.ErrnoException).code)})`,
      cause,
    });
  }
}
