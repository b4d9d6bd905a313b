import { isDeepStrictEqual } from 'node:util';
import { TrellisError } from '../errors.ts';
import { isToken, latticeName, quote, type LatticeName } from '../ids.ts';
import type { Partition } from '../nats/partition.ts';
import { SigningKey } from '../trust/nkey.ts';
import { accountClaims } from './claims.ts';
import { SHARED_ROLES, checkExtensions, withRoles } from './roles.ts';
import type { AuthStore } from './store.ts';

/** `two-accounts`: control and calls in an account each. `one-account`: both in one, kept apart by subjects alone. */
export type Layout = 'two-accounts' | 'one-account';

/** What the one-account layout cannot keep apart, for whoever chooses it. */
export const ONE_ACCOUNT_WEAKNESS =
  'One account holds control and calls, so that only lists of subjects keep them apart. Whoever may make or change a JetStream ' +
  'stream in it can record every call and answer it, and whoever may make a consumer can send messages to any component. ' +
  'Hosts of this tenant get neither right. Use two accounts unless something forces one.';

/** One lattice and the accounts it lives in. */
export interface Tenant {
  readonly name: string;
  readonly lattice: LatticeName;
  readonly layout: Layout;
  /** Name of the account of each partition; the same one twice in the one-account layout. */
  readonly accounts: Readonly<Record<Partition, string>>;
  /** Extensions of permission templates that are on for all users of the tenant, and values of parameters. */
  readonly extensions: readonly string[];
  readonly values: Readonly<Record<string, string>>;
}

/** What {@link addTenant} takes. */
export interface NewTenant {
  readonly name: string;
  readonly lattice: string;
  readonly layout?: Layout | undefined;
  /** Extensions of permission templates (`config/permissions`), such as `wasmbus`. `make-buckets` where left out, but not in one account. */
  readonly extensions?: readonly string[] | undefined;
  readonly values?: Readonly<Record<string, string>> | undefined;
  readonly nowMs: number;
}

// Tags of the account JWT: signed by the operator with the rest, and kept by every tool.
const TAG = {
  tenant: 'trellis-tenant:',
  lattice: 'trellis-lattice:',
  partition: 'trellis-partition:',
  extension: 'trellis-with:',
  value: 'trellis-value:',
} as const;

/** All tenants of a store by name. Accounts that another tool made belong to none. */
export function listTenants(store: AuthStore): Tenant[] {
  const found = new Map<string, Tenant>();
  for (const account of store.accounts()) {
    if (!account.ok) continue;
    const tags = account.claims.nats.tags ?? [];
    const [name] = tagged(tags, TAG.tenant);
    const [lattice] = tagged(tags, TAG.lattice);
    const partitions = tagged(tags, TAG.partition);
    if (name === undefined || lattice === undefined || !isToken(lattice, 64)) continue;
    const known = found.get(name);
    const accounts: Partial<Record<string, string>> = { ...known?.accounts };
    for (const partition of partitions) accounts[partition] = account.name;
    found.set(name, {
      name,
      lattice: latticeName(lattice),
      layout: partitions.length > 1 ? 'one-account' : 'two-accounts',
      accounts: accounts as Tenant['accounts'],
      extensions: tagged(tags, TAG.extension),
      values: Object.fromEntries(tagged(tags, TAG.value).map((entry) => entry.split('=', 2) as [string, string])),
    });
  }
  const whole = [...found.values()].filter(({ accounts }) => accounts.ctl !== undefined && accounts.rpc !== undefined);
  return whole.sort((a, b) => (a.name < b.name ? -1 : 1));
}

const tagged = (tags: readonly string[], mark: string): string[] =>
  tags.filter((tag) => tag.startsWith(mark)).map((tag) => tag.slice(mark.length));

/** The tenant of a name. @throws TRELLIS_AUTH_UNKNOWN */
export function tenantOf(store: AuthStore, name: string): Tenant {
  const tenants = listTenants(store);
  const tenant = tenants.find((each) => each.name === name);
  if (tenant !== undefined) return tenant;
  throw new TrellisError('TRELLIS_AUTH_UNKNOWN', {
    message: `There is no tenant ${quote(name)}`,
    remedy:
      tenants.length === 0
        ? 'Make one: trellis auth tenant add NAME --lattice LATTICE'
        : `Tenants are: ${tenants.map((each) => each.name).join(', ')}.`,
  });
}

/**
 * Makes the accounts of a tenant, with a scoped signing key for each kind of user that several members share. Must run inside
 * {@link AuthStore.change}.
 *
 * @throws TRELLIS_AUTH_EXISTS, TRELLIS_ID_INVALID, TRELLIS_PERMISSION_VALUE, TRELLIS_AUTH_KEY_MISSING
 */
export function addTenant(store: AuthStore, options: NewTenant): Tenant {
  const { name, layout = 'two-accounts', nowMs } = options;
  if (!isToken(name, 64)) throw new TrellisError('TRELLIS_ID_INVALID', { message: `tenant name ${quote(name)} is not allowed` });
  const one = layout === 'one-account';
  const tenant: Tenant = {
    name,
    lattice: latticeName(options.lattice),
    layout,
    accounts: one ? { ctl: name, rpc: name } : { ctl: `${name}-ctl`, rpc: `${name}-rpc` },
    extensions: options.extensions ?? (one ? [] : ['make-buckets']),
    values: options.values ?? {},
  };
  checkExtensions(tenant);
  const isWhole = listTenants(store).some((each) => each.name === name);
  const names = new Set(Object.values(tenant.accounts));
  const partitionsOf = (account: string): Partition[] =>
    (['ctl', 'rpc'] as const).filter((partition) => tenant.accounts[partition] === account);
  // An account of a tenant that was left half made is kept; anything else under these names is somebody's.
  const isOurs = (account: string): boolean =>
    !isWhole && isDeepStrictEqual(store.account(account).nats.tags, tagsOf(tenant, partitionsOf(account)));
  for (const account of names) {
    if (!store.hasAccount(account) || isOurs(account)) continue;
    throw new TrellisError('TRELLIS_AUTH_EXISTS', { message: `There is an account ${quote(account)} already` });
  }
  for (const account of names) {
    if (store.hasAccount(account)) continue;
    const partitions = partitionsOf(account);
    const key = SigningKey.generate('account');
    const claims = accountClaims({
      account: key.publicKey,
      name: account,
      // In an account for calls a stream could record and answer them; large payloads of 0.82 peers go through one.
      jetstream: partitions.includes('ctl') || tenant.extensions.includes('wasmbus-payloads'),
      signingKeys: [],
      tags: tagsOf(tenant, partitions),
      nowMs,
    });
    const roles = SHARED_ROLES[layout].filter(({ partition }) => partitions.includes(partition));
    const whole = withRoles(store, tenant, claims, roles);
    store.keys.write(key);
    store.writeAccount(whole);
  }
  return tenant;
}

/** The tags of an account of a tenant: what the tenant is, and whatever other tools wrote there. */
export function tenantTags(tenant: Tenant, account: string, before: readonly string[] = []): string[] {
  const partitions = (['ctl', 'rpc'] as const).filter((partition) => tenant.accounts[partition] === account);
  const own = Object.values(TAG);
  return [...tagsOf(tenant, partitions), ...before.filter((tag) => !own.some((mark) => tag.startsWith(mark)))];
}

function tagsOf({ name, lattice, extensions, values }: Tenant, partitions: readonly Partition[]): string[] {
  return [
    `${TAG.tenant}${name}`,
    `${TAG.lattice}${lattice}`,
    ...partitions.map((partition) => `${TAG.partition}${partition}`),
    ...extensions.map((extension) => `${TAG.extension}${extension}`),
    ...Object.entries(values).map(([key, value]) => `${TAG.value}${key}=${value}`),
  ];
}
