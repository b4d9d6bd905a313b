import { TrellisError } from '../errors.ts';
import { quote } from '../ids.ts';
import type { AccountClaims, UserClaims } from './claims-shape.ts';
import { memberOf } from './members.ts';
import type { AuthStore } from './store.ts';
import { listTenants, tenantOf } from './tenant.ts';

/** A user of a store. */
export interface FoundUser {
  readonly account: string;
  readonly user: string;
  readonly claims: UserClaims;
  readonly accountClaims: AccountClaims;
}

/** Where users are looked for: the accounts of a tenant, one account, or all. */
export interface UserPlace {
  readonly tenant?: string | undefined;
  readonly account?: string | undefined;
}

/** Names of the accounts of a place. @throws TRELLIS_AUTH_UNKNOWN */
export function accountsOf(store: AuthStore, { tenant, account }: UserPlace): string[] {
  if (account !== undefined) return [store.account(account).name ?? account];
  if (tenant !== undefined) return [...new Set(Object.values(tenantOf(store, tenant).accounts))];
  return store.accounts().flatMap((each) => (each.ok ? [each.name] : []));
}

/** All sound users of a place. @throws TRELLIS_AUTH_UNKNOWN */
export function usersOf(store: AuthStore, place: UserPlace): FoundUser[] {
  return accountsOf(store, place).flatMap((account) => {
    const accountClaims = store.account(account);
    const users = store.users(account);
    return users.flatMap((user) => (user.ok ? [{ account, user: user.name, claims: user.claims, accountClaims }] : []));
  });
}

function ownerOf(store: AuthStore, account: string): string {
  const tenant = listTenants(store).find(({ accounts }) => accounts.ctl === account || accounts.rpc === account);
  return tenant === undefined ? `account ${account}` : `tenant ${tenant.name}`;
}

/**
 * The users of a member (a host, a provider, a person), or the one of that name. @throws TRELLIS_AUTH_UNKNOWN, TRELLIS_USAGE if the
 * name is that of members of several kinds
 */
export function usersNamed(store: AuthStore, name: string, place: UserPlace): FoundUser[] {
  const all = usersOf(store, place);
  const ofMember = all.filter(({ claims }) => memberOf(claims)?.name === name);
  const kinds = [...new Set(ofMember.map(({ claims }) => memberOf(claims)?.kind))];
  if (kinds.length > 1) {
    throw new TrellisError('TRELLIS_USAGE', {
      message: `${quote(name)} is the name of a ${kinds.join(' and of a ')}`,
      remedy: `Name the user itself: ${ofMember.map(({ user }) => user).join(', ')}.`,
    });
  }
  const found = ofMember.length > 0 ? ofMember : all.filter(({ user }) => user === name);
  const owners = new Set(found.map(({ account }) => ownerOf(store, account)));
  if (owners.size > 1) {
    throw new TrellisError('TRELLIS_USAGE', {
      message: `${quote(name)} is known to ${[...owners].join(' and to ')}`,
      remedy: 'Say which one is meant: --tenant NAME, or --account NAME.',
    });
  }
  if (found.length > 0) return found;
  throw new TrellisError('TRELLIS_AUTH_UNKNOWN', { message: `There is no host, provider or user ${quote(name)} in that place` });
}
