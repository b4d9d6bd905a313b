import { TrellisError } from '../errors.ts';
import { quote } from '../ids.ts';
import { publicKeyKind, SigningKey } from '../trust/nkey.ts';
import type { AccountClaims, UserClaims } from './claims-shape.ts';
import { userState } from './describe-store.ts';
import type { FoundUser } from './find-users.ts';
import { scopedKeyOf, scopedKeysOf } from './roles.ts';
import { type AuthStore, signersOf } from './store.ts';

/** What {@link renewUser} takes. Times are wall-clock milliseconds. */
export interface RenewOptions {
  readonly nowMs: number;
  /** When the new credentials end; `never`, or as long after now as the old ones counted when left out. */
  readonly expiresMs?: number | 'never' | undefined;
  /** Make a new key for the user as well. */
  readonly newKey?: boolean | undefined;
  /** Give a user new credentials whose old ones were revoked. */
  readonly reinstate?: boolean | undefined;
}

/** New credentials of a user. */
export interface RenewedUser {
  readonly account: string;
  readonly user: string;
  readonly publicKey: string;
  /** The key it had before, if it has a new one. */
  readonly formerKey?: string;
  readonly role?: string;
  readonly expiresMs: number | undefined;
  readonly credsFile: string;
}

/**
 * Signs a user again, later than it was signed before, and replaces its creds file; a role whose key is being replaced signs with the
 * new one. What was handed out before goes on counting until it ends. Must run inside {@link AuthStore.change}.
 *
 * @throws TRELLIS_AUTH_REVOKED unless `reinstate`; TRELLIS_AUTH_KEY_MISSING, TRELLIS_AUTH_UNKNOWN
 */
export function renewUser(store: AuthStore, found: FoundUser, options: RenewOptions): RenewedUser {
  const { account, user, claims, accountClaims } = found;
  const { nowMs, newKey = false, reinstate = false } = options;
  if (!reinstate && !newKey && userState(claims, accountClaims, nowMs) === 'revoked') {
    throw new TrellisError('TRELLIS_AUTH_REVOKED', {
      message: `The user ${quote(user)} of account ${quote(account)} was revoked`,
    });
  }
  const key = newKey ? SigningKey.generate('user') : undefined;
  if (key !== undefined) store.keys.write(key);
  else if (!store.keys.has(claims.sub)) {
    throw new TrellisError('TRELLIS_AUTH_KEY_MISSING', {
      message: `The private key of user ${quote(user)} is not in the store, so no creds file can be written`,
      remedy: `Give it a new one with --new-key, or put its seed back into ${store.keys.path(claims.sub)}, mode 0600.`,
    });
  }
  const { iss: _signer, jti: _id, exp: _end, ...kept } = claims;
  const exp = expiry(claims, options);
  const iat = Math.max(Math.floor(nowMs / 1_000), claims.iat + 1);
  const nats = key === undefined ? kept.nats : withFormer(withKey(kept.nats, claims.sub, key.publicKey), claims.sub);
  const next = { ...kept, nats, sub: key?.publicKey ?? claims.sub, iat, ...(exp === undefined ? {} : { exp }) };
  store.writeUser(account, next, signerFor(store, claims, accountClaims));
  if (key !== undefined) store.keys.remove(claims.sub);
  const role = scopedKeysOf(accountClaims).find((scope) => scope.key === claims.iss)?.role;
  return {
    account,
    user,
    publicKey: next.sub,
    ...(key === undefined ? {} : { formerKey: claims.sub }),
    ...(role === undefined ? {} : { role }),
    expiresMs: exp === undefined ? undefined : exp * 1_000,
    credsFile: store.credsFile(account, user),
  };
}

/** Rights that a user has of its own name its key, where those of a scoped key have a placeholder. */
function withKey(nats: UserClaims['nats'], former: string, next: string): UserClaims['nats'] {
  const rename = (list: string[] | undefined): string[] | undefined => list?.map((subject) => subject.replaceAll(former, next));
  const side = (rights: UserClaims['nats']['pub']): UserClaims['nats']['pub'] => {
    const { allow, deny } = rights ?? {};
    return {
      ...rights,
      ...(allow === undefined ? {} : { allow: rename(allow) }),
      ...(deny === undefined ? {} : { deny: rename(deny) }),
    };
  };
  return { ...nats, pub: side(nats.pub), sub: side(nats.sub) };
}

/** Keys that a user had before, by its tags: what was issued to them may still count. Tags are lower-case for other tools. */
const FORMER = 'trellis-former:';

function withFormer(nats: UserClaims['nats'], former: string): UserClaims['nats'] {
  return { ...nats, tags: [...(nats.tags ?? []), FORMER + former.toLowerCase()] };
}

/** Public keys that a user had before it was given the one it has. */
export function formerKeysOf({ nats }: UserClaims): string[] {
  const tags = (nats.tags ?? []).filter((tag) => tag.startsWith(FORMER));
  return tags.map((tag) => tag.slice(FORMER.length).toUpperCase()).filter((key) => publicKeyKind(key) === 'user');
}

function expiry({ iat, exp = 0 }: UserClaims, { nowMs, expiresMs }: RenewOptions): number | undefined {
  if (expiresMs === 'never') return undefined;
  if (expiresMs !== undefined) return Math.floor(expiresMs / 1_000);
  return exp === 0 ? undefined : Math.floor(nowMs / 1_000) + Math.max(exp - iat, 60);
}

/** The key of the role as it is now; of users without a role, the one that signed them, or the first whose seed is here. */
function signerFor(store: AuthStore, { iss }: UserClaims, account: AccountClaims): string {
  const role = scopedKeysOf(account).find(({ key }) => key === iss)?.role;
  if (role !== undefined) return scopedKeyOf(account, role)!.key;
  const plain = (account.nats.signing_keys ?? []).filter((key) => typeof key === 'string');
  // The first is the newest: a key that is being replaced stands behind the one that takes its place.
  return plain.find((key) => store.keys.has(key)) ?? signersOf(account.nats.signing_keys)[0] ?? iss;
}
