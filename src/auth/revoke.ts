import { TrellisError } from '../errors.ts';
import { publicKeyKind } from '../trust/nkey.ts';
import type { AccountClaims, Unsigned } from './claims-shape.ts';
import { accountsOf, type FoundUser, type UserPlace, usersNamed } from './find-users.ts';
import { formerKeysOf, type RenewedUser, renewUser } from './renew.ts';
import type { AuthStore } from './store.ts';

/** A revocation as an account has it now. */
export interface Revocation {
  readonly account: string;
  /** Name in the store; absent for a key that the store does not know. */
  readonly user?: string;
  readonly publicKey: string;
  /** JWTs issued until then do not count, wall-clock milliseconds; absent once it is lifted. */
  readonly untilMs?: number;
}

/**
 * Makes everything invalid that was issued to a member so far (or to a user, or to a public key that may no longer be in the
 * store); to the keys that it had before as well. Its account says so in its JWT, and a server ends the connections when it hears of it. Must run inside
 * {@link AuthStore.change}.
 *
 * @param who name of a host, provider, person or user; or a public key `U…`
 * @throws TRELLIS_AUTH_UNKNOWN, TRELLIS_USAGE, TRELLIS_AUTH_KEY_MISSING
 */
export function revokeUsers(store: AuthStore, who: string, place: UserPlace, nowMs: number): Revocation[] {
  return withFormerKeys(store, targetsOf(store, who, place)).map(({ account, user, publicKey, issuedAt }) => {
    // A user that was signed by a clock ahead of this one is meant as well.
    const at = Math.max(Math.floor(nowMs / 1_000), issuedAt);
    setRevocation(store, account, publicKey, at, nowMs);
    return { account, ...(user === undefined ? {} : { user }), publicKey, untilMs: at * 1_000 };
  });
}

/**
 * Gives the users of a revoked member new credentials, issued later than the revocation says: those count, and what was handed
 * out before stays invalid. Must run inside {@link AuthStore.change}.
 *
 * @throws TRELLIS_AUTH_UNKNOWN, TRELLIS_USAGE, TRELLIS_AUTH_KEY_MISSING
 */
export function reinstateUsers(store: AuthStore, who: string, place: UserPlace, nowMs: number): RenewedUser[] {
  return usersNamed(store, who, place).map((found) => renewUser(store, found, { nowMs, reinstate: true }));
}

/** Takes revocations back, so that what was handed out before counts again. Otherwise as {@link revokeUsers}. */
export function liftRevocations(store: AuthStore, who: string, place: UserPlace, nowMs: number): Revocation[] {
  const revoked = targetsOf(store, who, place).filter(
    ({ account, publicKey }) => revocationOf(store, account, publicKey) !== undefined,
  );
  if (revoked.length === 0) {
    throw new TrellisError('TRELLIS_AUTH_UNKNOWN', {
      message: `Nothing of ${who} was revoked`,
      remedy: 'trellis auth show lists what is.',
    });
  }
  return revoked.map(({ account, user, publicKey }) => {
    setRevocation(store, account, publicKey, undefined, nowMs);
    return { account, ...(user === undefined ? {} : { user }), publicKey };
  });
}

interface Target {
  readonly account: string;
  readonly user?: string;
  readonly publicKey: string;
  readonly issuedAt: number;
}

function targetsOf(store: AuthStore, who: string, place: UserPlace): Target[] {
  if (publicKeyKind(who) !== 'user') return usersNamed(store, who, place).map(targetOf);
  if (place.tenant === undefined && place.account === undefined) {
    throw new TrellisError('TRELLIS_USAGE', {
      message: 'A public key alone does not tell its account',
      remedy: 'Add --tenant NAME, or --account NAME.',
    });
  }
  return accountsOf(store, place).map((account) => ({ account, publicKey: who, issuedAt: 0 }));
}

const targetOf = ({ account, user, claims }: FoundUser): Target => ({
  account,
  user,
  publicKey: claims.sub,
  issuedAt: claims.iat,
});

/** Whoever took the credentials that a member had before has them still. */
function withFormerKeys(store: AuthStore, targets: readonly Target[]): Target[] {
  return targets.flatMap((target) => {
    const { account, user } = target;
    if (user === undefined) return [target];
    const former = formerKeysOf(store.user(account, user)).map((publicKey) => ({ account, user, publicKey, issuedAt: 0 }));
    return [target, ...former];
  });
}

const revocationOf = (store: AuthStore, account: string, key: string): number | undefined =>
  store.account(account).nats.revocations?.[key];

/**
 * Writes until when JWTs of a user do not count, or takes that out, and signs the account again. Must run inside
 * {@link AuthStore.change}. @param at Unix seconds
 */
export function setRevocation(store: AuthStore, account: string, key: string, at: number | undefined, nowMs: number): void {
  const claims: Unsigned<AccountClaims> = store.account(account);
  const { [key]: _former, ...others } = claims.nats.revocations ?? {};
  const revocations = at === undefined ? others : { ...others, [key]: at };
  store.writeAccount({ ...claims, iat: Math.floor(nowMs / 1_000), nats: { ...claims.nats, revocations } });
}
