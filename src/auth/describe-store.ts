import { existsSync } from 'node:fs';
import type { Partition } from '../nats/partition.ts';
import { memberOf } from './members.ts';
import { scopedKeysOf } from './roles.ts';
import { type AuthStore, signersOf, type StoreEntry } from './store.ts';
import type { AccountClaims, AccountImport, AccountLimits, UserClaims } from './claims-shape.ts';
import { readNatsJwt } from './nats-jwt.ts';
import { grantsIn } from './activations.ts';
import { listTenants, type Tenant } from './tenant.ts';

/** A key, and whether its private half is in the store. */
export interface KeyFacts {
  readonly key: string;
  readonly inStore: boolean;
}

/** `expires soon`: less than a third of the lifetime is left. */
export type UserState = 'valid' | 'expires soon' | 'expired' | 'revoked' | 'unsound';

/** A user, as `trellis auth show` has it. Times are wall-clock milliseconds. */
export interface UserFacts {
  readonly name: string;
  readonly state: UserState;
  /** Why it does not count, when it is not sound. */
  readonly reason?: string;
  readonly publicKey?: string;
  /** Kind of member: host, provider, … */
  readonly kind?: string;
  readonly member?: string;
  /** Role of the scoped key that signed it. */
  readonly role?: string;
  readonly issuedMs?: number;
  readonly expiresMs?: number;
  readonly credsFile?: string;
}

/** What an account offers to others. */
export interface ExportFacts {
  readonly type: 'service' | 'stream';
  readonly subject: string;
  /** True if only accounts that were given an activation may import it. */
  readonly isPrivate: boolean;
  /** Account, or `*` → until when activations for it do not count. */
  readonly revocations: readonly { readonly account: string; readonly atMs: number }[];
  /** Accounts that `trellis auth share` gave an activation which was not taken back, for all of it or for functions. */
  readonly givenTo: readonly {
    readonly account: string;
    readonly functions: readonly string[];
    readonly expiresMs?: number;
  }[];
}

/** What an account takes from another one. */
export interface ImportFacts {
  readonly type: 'service' | 'stream';
  readonly subject: string;
  /** Public key of the exporting account. */
  readonly from: string;
  /** Under which subject it appears here. */
  readonly localSubject: string;
  /** When its activation ends; a service import that runs goes on all the same. */
  readonly expiresMs?: number;
}

/** An account, as `trellis auth show` has it. */
export interface AccountFacts {
  readonly name: string;
  readonly state: 'valid' | 'expired' | 'unsound';
  readonly reason?: string;
  readonly publicKey?: string;
  readonly identity?: KeyFacts;
  readonly tenant?: string;
  readonly lattice?: string;
  readonly partitions?: readonly Partition[];
  /** Extensions of permission templates that are on. */
  readonly extensions?: readonly string[];
  readonly jetstream?: boolean;
  readonly issuedMs?: number;
  readonly expiresMs?: number;
  readonly roles?: readonly (KeyFacts & { readonly role: string; readonly users: number })[];
  readonly signingKeys?: readonly KeyFacts[];
  /** User, or `*` → until when JWTs of it do not count. */
  readonly revocations?: readonly { readonly user: string; readonly atMs: number }[];
  readonly exports?: readonly ExportFacts[];
  readonly imports?: readonly ImportFacts[];
  readonly users: readonly UserFacts[];
}

/** A store, as `trellis auth show` has it. No secret is in it. */
export interface StoreFacts {
  readonly store: string;
  readonly operator: {
    readonly name: string;
    readonly identity: KeyFacts;
    readonly strictSigningKeys: boolean;
    readonly signingKeys: readonly KeyFacts[];
    readonly systemAccount: string | undefined;
  };
  readonly accounts: readonly AccountFacts[];
}

/** What is in a store at a time, with what is wrong in it. @throws TRELLIS_AUTH_JWT_INVALID for the operator alone */
export function describeStore(store: AuthStore, nowMs: number): StoreFacts {
  const { name = store.operatorName, sub, nats } = store.operator();
  const tenants = listTenants(store);
  const keyFacts = (key: string): KeyFacts => ({ key, inStore: store.keys.has(key) });
  return {
    store: store.dir,
    operator: {
      name,
      identity: keyFacts(sub),
      strictSigningKeys: nats.strict_signing_key_usage === true,
      signingKeys: (nats.signing_keys ?? []).map(keyFacts),
      systemAccount: nats.system_account,
    },
    accounts: store.accounts().map((account) => describeAccount(store, account, tenants, nowMs)),
  };
}

function describeAccount(
  store: AuthStore,
  account: StoreEntry<AccountClaims>,
  tenants: readonly Tenant[],
  nowMs: number,
): AccountFacts {
  const { name } = account;
  if (!account.ok) return { name, state: 'unsound', reason: account.reason, users: [] };
  const { sub, iat, exp, nats } = account.claims;
  const users = store.users(name).map((user) => describeUser(store, account.claims, name, user, nowMs));
  const scopes = scopedKeysOf(account.claims);
  const tenant = tenants.find(({ accounts }) => accounts.ctl === name || accounts.rpc === name);
  const scoped = new Set(scopes.map(({ key }) => key));
  const keyFacts = (key: string): KeyFacts => ({ key, inStore: store.keys.has(key) });
  return {
    name,
    state: isOver(exp, nowMs) ? 'expired' : 'valid',
    publicKey: sub,
    identity: keyFacts(sub),
    ...(tenant === undefined
      ? {}
      : {
          tenant: tenant.name,
          lattice: tenant.lattice,
          extensions: tenant.extensions,
          partitions: (['ctl', 'rpc'] as const).filter((partition) => tenant.accounts[partition] === name),
        }),
    jetstream: hasJetStream(nats.limits),
    issuedMs: iat * 1_000,
    ...expiry(exp),
    roles: scopes.map(({ role, key }) => ({ role, ...keyFacts(key), users: users.filter((user) => user.role === role).length })),
    signingKeys: signersOf(nats.signing_keys)
      .filter((key) => !scoped.has(key))
      .map(keyFacts),
    revocations: Object.entries(nats.revocations ?? {}).map(([user, at]) => ({ user, atMs: at * 1_000 })),
    exports: (nats.exports ?? []).map(({ type, subject, token_req: isPrivate = false, revocations = {} }) => ({
      type,
      subject,
      isPrivate,
      revocations: Object.entries(revocations).map(([importer, at]) => ({ account: importer, atMs: at * 1_000 })),
      givenTo: givenBelow(account.claims, subject),
    })),
    imports: (nats.imports ?? []).map(describeImport),
    users,
  };
}

function givenBelow(claims: AccountClaims, exported: string): ExportFacts['givenTo'] {
  const below = exported.replace(/>$/, '').toLowerCase();
  const grants = grantsIn(claims).filter(({ subject }) => subject.startsWith(below));
  return [...Map.groupBy(grants, ({ importer }) => importer)].map(([importer, given]) => ({
    account: importer,
    functions: given.map(({ subject }) => subject.slice(below.length)).filter((name) => name !== '>'),
    ...(given[0]!.expiresMs === undefined ? {} : { expiresMs: given[0]!.expiresMs }),
  }));
}

function describeImport({ type, subject, account: from, local_subject: localSubject, token }: AccountImport): ImportFacts {
  const read = token === undefined ? undefined : readNatsJwt(token, 'activation');
  const exp = read?.ok === true ? read.claims.exp : undefined;
  return { type, subject, from, localSubject: localSubject ?? subject, ...expiry(exp) };
}

function describeUser(
  store: AuthStore,
  account: AccountClaims,
  accountName: string,
  user: StoreEntry<UserClaims>,
  nowMs: number,
): UserFacts {
  const { name } = user;
  if (!user.ok) return { name, state: 'unsound', reason: user.reason };
  const { sub, iss, iat, exp } = user.claims;
  const member = memberOf(user.claims);
  const role = scopedKeysOf(account).find(({ key }) => key === iss)?.role;
  const credsFile = store.credsFile(accountName, name);
  return {
    name,
    state: userState(user.claims, account, nowMs),
    publicKey: sub,
    ...(member === undefined ? {} : { kind: member.kind, member: member.name }),
    ...(role === undefined ? {} : { role }),
    issuedMs: iat * 1_000,
    ...expiry(exp),
    ...(existsSync(credsFile) ? { credsFile } : {}),
  };
}

/** Whether a user counts at a time. */
export function userState({ sub, iat, exp = 0 }: UserClaims, { nats }: AccountClaims, nowMs: number): UserState {
  const { revocations = {} } = nats;
  if (iat <= Math.max(revocations[sub] ?? 0, revocations['*'] ?? 0)) return 'revoked';
  if (isOver(exp, nowMs)) return 'expired';
  return exp !== 0 && exp * 1_000 - nowMs < ((exp - iat) * 1_000) / 3 ? 'expires soon' : 'valid';
}

/** Other tools may write limits by tier instead. */
function hasJetStream({ mem_storage = 0, disk_storage = 0, tiered_limits = {} }: AccountLimits = {}): boolean {
  return mem_storage !== 0 || disk_storage !== 0 || Object.keys(tiered_limits as object).length > 0;
}

const isOver = (exp: number | undefined, nowMs: number): boolean => exp !== undefined && exp !== 0 && exp * 1_000 <= nowMs;
const expiry = (exp: number | undefined): { expiresMs?: number } =>
  exp === undefined || exp === 0 ? {} : { expiresMs: exp * 1_000 };
