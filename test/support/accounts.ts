import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { SigningKey } from '../../src/trust/nkey.ts';

/** What a user may do; a list left out allows everything. `{user}` in a subject stands for the user's public key. */
export interface UserPermissions {
  readonly publish?: readonly string[];
  readonly publishDeny?: readonly string[];
  readonly subscribe?: readonly string[];
  readonly subscribeDeny?: readonly string[];
  /** Replies allowed to whoever asked: how many, for how long. */
  readonly responses?: { readonly max: number; readonly ttlMs: number };
  readonly expiresInMs?: number;
  readonly notBeforeInMs?: number;
  /** Says in the JWT that the user belongs to this account, whoever signs it. */
  readonly claimsAccount?: string;
  /** Kinds of connections it may log in on, such as `LEAFNODE`; any if left out. */
  readonly connectionTypes?: readonly string[];
}

/** A NATS user: its public key, its JWT, its seed, and both in a `.creds` file. */
export interface NatsUser {
  readonly publicKey: string;
  readonly jwt: string;
  readonly seed: string;
  readonly credsFile: string;
  readonly jwtFile: string;
  readonly seedFile: string;
}

const BASE32 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
const NO_LIMITS = { subs: -1, data: -1, payload: -1 };

function base32(bytes: Uint8Array): string {
  let text = '';
  let buffer = 0;
  let held = 0;
  for (const byte of bytes) {
    buffer = ((buffer << 8) | byte) & 0xffff;
    for (held += 8; held >= 5; held -= 5) text += BASE32[(buffer >> (held - 5)) & 31];
  }
  return held > 0 ? text + BASE32[(buffer << (5 - held)) & 31] : text;
}

/** A NATS JWT, version 2: `ed25519-nkey` over `header.claims`, where `jti` is the digest of the claims without it. */
function encodeJwt(signer: SigningKey, subject: string, name: string, nats: object, times: Times = {}): string {
  const claims = {
    iat: Math.floor(Date.now() / 1000),
    iss: signer.publicKey,
    name,
    sub: subject,
    ...times,
    nats: { ...nats, version: 2 },
  };
  const jti = base32(createHash('sha256').update(JSON.stringify(claims)).digest());
  const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const signed = `${encode({ typ: 'JWT', alg: 'ed25519-nkey' })}.${encode({ ...claims, jti })}`;
  return `${signed}.${signer.sign(Buffer.from(signed)).toString('base64url')}`;
}

/** Rights as a user JWT and the template of a scoped key write them; `{user}` in a subject stands for `userKey`. */
function rights(allowed: UserPermissions, userKey = '{user}'): object {
  const named = (subject: string): string => subject.replaceAll('{user}', userKey);
  const permission = (allow: readonly string[] | undefined, deny: readonly string[] | undefined): object => ({
    ...(allow === undefined ? {} : { allow: allow.map(named) }),
    ...(deny === undefined ? {} : { deny: deny.map(named) }),
  });
  return {
    pub: permission(allowed.publish, allowed.publishDeny),
    sub: permission(allowed.subscribe, allowed.subscribeDeny),
    ...(allowed.responses ? { resp: { max: allowed.responses.max, ttl: allowed.responses.ttlMs * 1e6 } } : {}),
    ...(allowed.connectionTypes ? { allowed_connection_types: allowed.connectionTypes } : {}),
    ...NO_LIMITS,
  };
}

const seedOf = (key: SigningKey): string => key.exportSeed().reveal();

/** A service that an account offers to others. */
export interface ServiceExport {
  readonly subject: string;
  /** True: every importer needs an activation by this account. */
  readonly isPrivate: boolean;
}

/** A service of another account under a subject of one's own. */
export interface ServiceImport {
  /** Public key of the exporting account. */
  readonly account: string;
  /** The exported subject. */
  readonly subject: string;
  readonly localSubject: string;
  /** The activation, for a private export. */
  readonly token?: string;
}

interface Times {
  readonly exp?: number;
  readonly nbf?: number;
}

const secondsIn = (ms: number): number => Math.ceil((Date.now() + ms) / 1000);
const timesOf = ({ expiresInMs, notBeforeInMs }: Pick<UserPermissions, 'expiresInMs' | 'notBeforeInMs'>): Times => ({
  ...(expiresInMs === undefined ? {} : { exp: secondsIn(expiresInMs) }),
  ...(notBeforeInMs === undefined ? {} : { nbf: secondsIn(notBeforeInMs) }),
});

/** An account and the users in it. Changes reach a running server by `server.reload(operator.configText())`. */
export class TestAccount {
  readonly name: string;
  readonly publicKey: string;
  #keys = SigningKey.generate('account');
  #dir: string;
  #jetstream: boolean;
  #users = 0;
  #revocations: Record<string, number> = {};
  #exports: (ServiceExport & { readonly revoked: Record<string, number> })[] = [];
  #imports: ServiceImport[] = [];
  #scopes: object[] = [];

  constructor(name: string, jetstream: boolean, dir: string) {
    this.name = name;
    this.publicKey = this.#keys.publicKey;
    this.#jetstream = jetstream;
    this.#dir = dir;
  }

  /** Makes a user and writes its files. */
  addUser(name: string, allowed: UserPermissions = {}): NatsUser {
    const keys = SigningKey.generate('user');
    const claimed = allowed.claimsAccount === undefined ? {} : { issuer_account: allowed.claimsAccount };
    const nats = { type: 'user', ...rights(allowed, keys.publicKey), ...claimed };
    return this.#write(name, keys, this.#keys, nats, timesOf(allowed));
  }

  /** Makes another JWT for the key of a user, in files of its own. */
  renewUser(user: NatsUser, allowed: UserPermissions = {}): NatsUser {
    const keys = SigningKey.fromSeed(Buffer.from(user.seed), 'user');
    return this.#write('renewed', keys, this.#keys, { type: 'user', ...rights(allowed, keys.publicKey) }, timesOf(allowed));
  }

  /** Makes a signing key whose template these rights are, and a user that it signs: all the user may do stands in the account. */
  addScopedUser(name: string, allowed: UserPermissions): NatsUser {
    const signer = SigningKey.generate('account');
    this.#scopes.push({ kind: 'user_scope', key: signer.publicKey, role: name, template: rights(allowed) });
    return this.#write(
      name,
      SigningKey.generate('user'),
      signer,
      { type: 'user', issuer_account: this.publicKey },
      timesOf(allowed),
    );
  }

  /** Signing keys as they stand in the account's JWT. */
  addSigningKeys(keys: readonly object[]): void {
    this.#scopes.push(...keys);
  }

  #write(name: string, keys: SigningKey, signer: SigningKey, nats: object, times: Times): NatsUser {
    const jwt = encodeJwt(signer, keys.publicKey, name, nats, times);
    const seed = seedOf(keys);
    const base = join(this.#dir, `${this.name}-${name}-${++this.#users}`);
    const files = { credsFile: `${base}.creds`, jwtFile: `${base}.jwt`, seedFile: `${base}.nk` };
    const creds =
      `-----BEGIN NATS USER JWT-----\n${jwt}\n------END NATS USER JWT------\n\n` +
      `-----BEGIN USER NKEY SEED-----\n${seed}\n------END USER NKEY SEED------\n`;
    writeFileSync(files.credsFile, creds, { mode: 0o600 });
    writeFileSync(files.jwtFile, jwt, { mode: 0o600 });
    writeFileSync(files.seedFile, seed, { mode: 0o600 });
    return { publicKey: keys.publicKey, jwt, seed, ...files };
  }

  /** Makes every JWT of this user that exists now invalid, once the server has read the account again. */
  revoke(user: NatsUser): void {
    this.#revocations[user.publicKey] = Math.floor(Date.now() / 1000) + 1;
  }

  /** Takes back {@link revoke}. */
  reinstate(user: NatsUser): void {
    delete this.#revocations[user.publicKey];
  }

  /** Offers a service. */
  addExport(service: ServiceExport): void {
    this.#exports.push({ ...service, revoked: {} });
  }

  /** Takes a service of another account; whether it works is for the server to say. */
  addImport(service: ServiceImport): void {
    this.#imports.push(service);
  }

  /** Lets another account import `subject`, by this account's word. */
  activate(importer: string, subject: string, expiresInMs?: number): string {
    const times = expiresInMs === undefined ? {} : timesOf({ expiresInMs });
    return encodeJwt(this.#keys, importer, 'share', { subject, kind: 'service', type: 'activation' }, times);
  }

  /** Takes every activation of `subject` for `importer` back that exists now, once the server has read the account again. */
  revokeActivation(importer: string, subject: string): void {
    const service = this.#exports.find((each) => each.subject === subject);
    if (service !== undefined) service.revoked[importer] = Math.floor(Date.now() / 1000) + 1;
  }

  /** The account's JWT, signed by the operator. */
  jwt(operator: SigningKey): string {
    const jetstream = this.#jetstream ? -1 : 0;
    return encodeJwt(operator, this.publicKey, this.name, {
      type: 'account',
      limits: {
        ...NO_LIMITS,
        imports: -1,
        exports: -1,
        wildcards: true,
        conn: -1,
        leaf: -1,
        mem_storage: jetstream,
        disk_storage: jetstream,
        streams: jetstream,
        consumer: jetstream,
      },
      default_permissions: { pub: {}, sub: {} },
      exports: this.#exports.map(({ subject, isPrivate, revoked }, index) => ({
        name: `service-${index}`,
        subject,
        type: 'service',
        ...(isPrivate ? { token_req: true } : {}),
        ...(Object.keys(revoked).length > 0 ? { revocations: revoked } : {}),
      })),
      imports: this.#imports.map(({ account, subject, localSubject, token }, index) => ({
        name: `import-${index}`,
        account,
        subject,
        local_subject: localSubject,
        type: 'service',
        ...(token === undefined ? {} : { token }),
      })),
      ...(this.#scopes.length > 0 ? { signing_keys: this.#scopes } : {}),
      ...(Object.keys(this.#revocations).length > 0 ? { revocations: this.#revocations } : {}),
    });
  }
}

/** An operator, its system account and the accounts of a test, for a nats-server with a memory resolver. */
export class TestOperator {
  readonly system: TestAccount;
  #keys = SigningKey.generate('operator');
  // Made once: a running server takes new accounts, but no other operator JWT.
  #jwt = encodeJwt(this.#keys, this.#keys.publicKey, 'trellis-test', { type: 'operator' });
  #accounts: TestAccount[] = [];
  #dir: string;

  /** @param dir where the users' files go */
  constructor(dir: string) {
    this.#dir = dir;
    this.system = this.addAccount('SYS');
  }

  addAccount(name: string, options: { jetstream?: boolean } = {}): TestAccount {
    const account = new TestAccount(name, options.jetstream === true, this.#dir);
    this.#accounts.push(account);
    return account;
  }

  /** The operator's JWT. */
  get jwt(): string {
    return this.#jwt;
  }

  /** The JWT of one of its accounts, as of now. */
  accountJwt(account: TestAccount): string {
    return account.jwt(this.#keys);
  }

  /** An account with signing keys that somebody else holds. */
  addAccountWithKeys(name: string, signingKeys: readonly object[]): TestAccount {
    const account = this.addAccount(name);
    account.addSigningKeys(signingKeys);
    return account;
  }

  /** nats-server configuration that trusts this operator and knows its accounts. */
  configText(): string {
    const accounts = this.#accounts.map((account) => `  ${account.publicKey}: ${account.jwt(this.#keys)}`);
    return [
      // A busy machine takes longer to log in than the two seconds that a server gives it.
      'authorization { timeout: 30 }',
      `operator: ${this.#jwt}`,
      `system_account: ${this.system.publicKey}`,
      'resolver: MEMORY',
      'resolver_preload: {',
      ...accounts,
      '}',
      '',
    ].join('\n');
  }
}
