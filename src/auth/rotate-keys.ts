import { TrellisError } from '../errors.ts';
import { quote } from '../ids.ts';
import { SigningKey } from '../trust/nkey.ts';
import type { AccountClaims, OperatorClaims, ScopedKey, Unsigned } from './claims-shape.ts';
import { userState } from './describe-store.ts';
import { usersOf } from './find-users.ts';
import { renewUser, type RenewedUser } from './renew.ts';
import { setRevocation } from './revoke.ts';
import { holdersOf } from './activations.ts';
import type { AuthStore } from './store.ts';

/**
 * Replacing the keys that sign, in steps that can be taken again after an interruption: the new key is added in front of the old
 * one, everything is signed again with it, and the old one is dropped once nobody needs it. How far it is stands in the JWTs: a tag
 * of the account or operator names a key that is on its way out, and servers go by both until then.
 */
const RETIRING = 'trellis-retiring:';

/** A signing key of an account that is being replaced. */
export interface KeyReplacement {
  /** Role of a scoped key. */
  readonly role?: string;
  readonly formerKey: string;
  readonly newKey: string;
}

const tagsOf = ({ nats }: { nats: { tags?: readonly string[] | undefined } }): readonly string[] => nats.tags ?? [];
const retiringIn = (claims: AccountClaims | OperatorClaims): string[] =>
  tagsOf(claims)
    .filter((tag) => tag.startsWith(RETIRING))
    // Tags are lower-case for other tools, and keys have one case only.
    .map((tag) => tag.slice(RETIRING.length).toUpperCase());
const tagOf = (key: string): string => RETIRING + key.toLowerCase();
const keyOf = (key: string | ScopedKey): string => (typeof key === 'string' ? key : key.key);

/** The keys of an account that are being replaced. @throws TRELLIS_AUTH_UNKNOWN */
export function replacementsIn(store: AuthStore, account: string): KeyReplacement[] {
  const claims = store.account(account);
  const keys = claims.nats.signing_keys ?? [];
  return retiringIn(claims).flatMap((formerKey) => {
    const at = keys.findIndex((key) => keyOf(key) === formerKey);
    const [former, next] = [keys[at], keys[at - 1]];
    if (former === undefined || next === undefined) return [];
    return [{ ...(typeof former === 'string' ? {} : { role: former.role }), formerKey, newKey: keyOf(next) }];
  });
}

/**
 * Adds a new key in front of each that is to be replaced: the scoped key of a role, or without one all of the account's keys that
 * are not being replaced yet. Rights stay as they are. Returns the replacements under way. Must run inside {@link AuthStore.change}.
 *
 * @throws TRELLIS_AUTH_UNKNOWN if there is no such role
 */
export function addKeys(store: AuthStore, account: string, role: string | undefined, nowMs: number): KeyReplacement[] {
  const claims: AccountClaims = store.account(account);
  const retiring = new Set(retiringIn(claims));
  const keys = claims.nats.signing_keys ?? [];
  const newer = new Set(replacementsIn(store, account).map(({ newKey }) => newKey));
  const isMeant = (key: string | ScopedKey): boolean =>
    !retiring.has(keyOf(key)) && !newer.has(keyOf(key)) && (role === undefined || (typeof key !== 'string' && key.role === role));
  if (role !== undefined && !keys.some((key) => typeof key !== 'string' && key.role === role)) {
    const roles = keys.flatMap((key) => (typeof key === 'string' ? [] : [key.role]));
    throw new TrellisError('TRELLIS_AUTH_UNKNOWN', {
      message: `Account ${quote(account)} has no role ${quote(role)}`,
      remedy: `Roles are: ${[...new Set(roles)].join(', ')}.`,
    });
  }
  const added: SigningKey[] = [];
  const tags = [...tagsOf(claims)];
  const next = keys.flatMap((key) => {
    if (!isMeant(key)) return [key];
    const fresh = SigningKey.generate('account');
    added.push(fresh);
    tags.push(tagOf(keyOf(key)));
    // A changed role or template would end the connections of everybody whom the old key signed.
    return [typeof key === 'string' ? fresh.publicKey : { ...key, key: fresh.publicKey }, key];
  });
  if (added.length > 0) {
    for (const key of added) store.keys.write(key);
    writeKeys(store, claims, next, tags, nowMs);
  }
  return replacementsIn(store, account).filter((each) => role === undefined || each.role === role);
}

/** Signs all users again that a key on its way out has signed; the rest of their lives stays as it is. Must run inside {@link AuthStore.change}. */
export function moveUsers(
  store: AuthStore,
  account: string,
  replacements: readonly KeyReplacement[],
  nowMs: number,
): RenewedUser[] {
  const former = new Set(replacements.map(({ formerKey }) => formerKey));
  const users = usersOf(store, { account }).filter(({ claims }) => former.has(claims.iss));
  return users.map((found) => {
    const { exp = 0 } = found.claims;
    const wasRevoked = userState(found.claims, found.accountClaims, nowMs) === 'revoked';
    const renewed = renewUser(store, found, { nowMs, expiresMs: exp === 0 ? 'never' : exp * 1_000, reinstate: wasRevoked });
    // What is issued later counts again, and a new signature is no pardon.
    if (wasRevoked) setRevocation(store, account, found.claims.sub, store.user(account, found.user).iat, nowMs);
    return renewed;
  });
}

/**
 * Drops the keys that were replaced. Whoever still uses credentials that they signed is disconnected when a server hears of it.
 * Must run inside {@link AuthStore.change}.
 *
 * @throws TRELLIS_AUTH_ROTATION if a user of the store is still signed by one of them
 */
export function dropKeys(store: AuthStore, account: string, replacements: readonly KeyReplacement[], nowMs: number): void {
  const former = new Set(replacements.map(({ formerKey }) => formerKey));
  const left = usersOf(store, { account }).filter(({ claims }) => former.has(claims.iss));
  if (left.length > 0) {
    throw new TrellisError('TRELLIS_AUTH_ROTATION', {
      message: `The key on its way out of account ${quote(account)} has signed ${left.map(({ user }) => quote(user)).join(', ')}`,
      remedy: 'Run the same command without --finish: it signs them again.',
    });
  }
  const { here } = holdersOf(store, account, former);
  if (here.length > 0) {
    throw new TrellisError('TRELLIS_AUTH_ROTATION', {
      message: `The key on its way out of account ${quote(account)} has signed what it shares with ${here.map(quote).join(', ')}`,
      remedy: 'Run the same command without --finish: it signs that again.',
    });
  }
  const claims: AccountClaims = store.account(account);
  const keys = (claims.nats.signing_keys ?? []).filter((key) => !former.has(keyOf(key)));
  const tags = tagsOf(claims).filter((tag) => ![...former].some((key) => tag === tagOf(key)));
  writeKeys(store, claims, keys, tags, nowMs);
  for (const key of former) store.keys.remove(key);
}

function writeKeys(
  store: AuthStore,
  claims: Unsigned<AccountClaims>,
  keys: readonly (string | ScopedKey)[],
  tags: readonly string[],
  nowMs: number,
): void {
  const { tags: _tags, ...nats } = claims.nats;
  const next = { ...nats, signing_keys: [...keys], ...(tags.length === 0 ? {} : { tags: [...tags] }) };
  store.writeAccount({ ...claims, iat: Math.floor(nowMs / 1_000), nats: next });
}

/** The signing key of the operator that is being replaced. */
export function operatorReplacement(store: AuthStore): KeyReplacement | undefined {
  const claims = store.operator();
  const [formerKey] = retiringIn(claims);
  const newKey = (claims.nats.signing_keys ?? []).find((key) => key !== formerKey);
  return formerKey === undefined || newKey === undefined ? undefined : { formerKey, newKey };
}

/**
 * Adds a signing key to the operator, behind the one in use: accounts are signed with the old one until servers know the new one.
 * Must run inside {@link AuthStore.change}. @throws TRELLIS_AUTH_KEY_MISSING for the operator's identity key
 */
export function addOperatorKey(store: AuthStore, nowMs: number): KeyReplacement {
  const under = operatorReplacement(store);
  if (under !== undefined) return under;
  const claims = store.operator();
  const keys = claims.nats.signing_keys ?? [];
  const formerKey = keys.find((key) => store.keys.has(key)) ?? keys[0] ?? claims.sub;
  const fresh = SigningKey.generate('operator');
  const others = keys.filter((key) => key !== formerKey);
  // Read first: without the identity key nothing is to be changed.
  store.keys.read(claims.sub);
  store.keys.write(fresh);
  writeOperatorKeys(
    store,
    claims,
    [...(keys.includes(formerKey) ? [formerKey] : []), ...others, fresh.publicKey],
    [tagOf(formerKey)],
    nowMs,
  );
  return { formerKey, newKey: fresh.publicKey };
}

/** Signs all accounts with the operator's new key. Must run inside {@link AuthStore.change}. @returns names of the accounts */
export function resignAccounts(store: AuthStore, { formerKey, newKey }: KeyReplacement, nowMs: number): string[] {
  const claims = store.operator();
  const keys = (claims.nats.signing_keys ?? []).filter((key) => key !== newKey && key !== formerKey);
  writeOperatorKeys(store, claims, [newKey, ...keys, formerKey], tagsOf(claims), nowMs);
  return store.accounts().flatMap((account) => {
    if (!account.ok || account.claims.iss === newKey) return [];
    store.writeAccount({ ...(account.claims as Unsigned<AccountClaims>), iat: Math.floor(nowMs / 1_000) });
    return [account.name];
  });
}

/** Drops the operator's former key. Must run inside {@link AuthStore.change}. @throws TRELLIS_AUTH_ROTATION */
export function dropOperatorKey(store: AuthStore, { formerKey }: KeyReplacement, nowMs: number): void {
  const left = store.accounts().filter((account) => account.ok && account.claims.iss === formerKey);
  if (left.length > 0) {
    throw new TrellisError('TRELLIS_AUTH_ROTATION', { message: 'The former operator key has still signed accounts' });
  }
  const claims = store.operator();
  const keys = (claims.nats.signing_keys ?? []).filter((key) => key !== formerKey);
  writeOperatorKeys(
    store,
    claims,
    keys,
    tagsOf(claims).filter((tag) => tag !== tagOf(formerKey)),
    nowMs,
  );
  if (formerKey !== claims.sub) store.keys.remove(formerKey);
}

function writeOperatorKeys(
  store: AuthStore,
  claims: Unsigned<OperatorClaims>,
  keys: readonly string[],
  tags: readonly string[],
  nowMs: number,
): void {
  const { tags: _tags, ...nats } = claims.nats;
  const others = tagsOf(claims).filter((tag) => !tag.startsWith(RETIRING));
  const all = [...new Set([...others, ...tags])];
  const next = { ...nats, signing_keys: [...keys], ...(all.length === 0 ? {} : { tags: all }) };
  store.writeOperator({ ...claims, iat: Math.floor(nowMs / 1_000), nats: next });
}
