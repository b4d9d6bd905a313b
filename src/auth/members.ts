import { TrellisError } from '../errors.ts';
import { componentId, isToken, quote } from '../ids.ts';
import type { Partition } from '../nats/partition.ts';
import { publicKeyKind, SigningKey } from '../trust/nkey.ts';
import { userClaims } from './claims.ts';
import type { UserClaims } from './claims-shape.ts';
import { type Role, roleName, scopedKeyOf, withRoles } from './roles.ts';
import type { AuthStore } from './store.ts';
import { type Tenant, tenantOf } from './tenant.ts';

/** Who joins a lattice. A caller calls, an operator controls and calls, an issuer signs delegations, provisioning makes buckets. */
export type MemberKind = 'host' | 'provider' | 'caller' | 'operator' | 'issuer' | 'provisioning' | 'wadm';

/** What {@link addMember} takes. */
export interface NewMember {
  readonly tenant: string;
  readonly kind: MemberKind;
  /** Of a provider its id, of others any name of their own. */
  readonly name: string;
  readonly nowMs: number;
  /** When its credentials end; never when left out. */
  readonly expiresMs?: number | undefined;
  /** A host: components it may serve; any when left out. */
  readonly components?: readonly string[] | undefined;
  /** A host or caller: ids it may call, any when left out. A provider: the components it is linked to, none when left out. */
  readonly calls?: readonly string[] | undefined;
  /** A caller or operator: may overhear all calls of the lattice. */
  readonly spies?: boolean | undefined;
  /** A host: one of wasmCloud 1.x, which knows no inbox but the default one. */
  readonly wasmcloud?: boolean | undefined;
  /** A host: its users are for the leaf node beside it; with `and-host` the host logs in at the leaf node as the same users. */
  readonly leaf?: boolean | 'and-host' | undefined;
  /** A provider: public curve key for which secrets in its links are sealed. */
  readonly xkey?: string | undefined;
}

/** One user of a member. */
export interface MemberUser {
  readonly partition: Partition;
  readonly account: string;
  readonly user: string;
  readonly publicKey: string;
  readonly role: string;
  readonly credsFile: string;
}

/** A member that was added. */
export interface AddedMember {
  readonly tenant: Tenant;
  readonly users: readonly MemberUser[];
  /** Names of accounts whose JWT changed: a running resolver has to be told (`trellis auth push`). */
  readonly changedAccounts: readonly string[];
}

const TAG = { kind: 'trellis-kind:', member: 'trellis-member:' } as const;

/** What kind of member a user belongs to and its name, or `undefined` for users that another tool made. */
export function memberOf({ nats }: UserClaims): { readonly kind: string; readonly name: string } | undefined {
  const find = (mark: string): string | undefined => (nats.tags ?? []).find((tag) => tag.startsWith(mark))?.slice(mark.length);
  const [kind, name] = [find(TAG.kind), find(TAG.member)];
  return kind === undefined || name === undefined ? undefined : { kind, name };
}

/** The name of a member's user: with the partition, for in the one-account layout both are in one account. */
export function userName(member: string, kind: MemberKind, partition: Partition): string {
  return kind === 'provider' ? member : `${member}-${partition}`;
}

/**
 * Makes the users of a member, each with a key and a creds file of its own. What is narrower than its kind gets a scoped key of
 * its own. Must run inside {@link AuthStore.change}.
 *
 * @throws TRELLIS_AUTH_UNKNOWN, TRELLIS_AUTH_EXISTS, TRELLIS_ID_INVALID, TRELLIS_USAGE, TRELLIS_KEY_INVALID, TRELLIS_AUTH_KEY_MISSING
 */
export function addMember(store: AuthStore, options: NewMember): AddedMember {
  const { kind, name, nowMs } = options;
  const what = kind === 'provider' ? 'provider id' : 'name';
  if (!isToken(name, 64)) throw new TrellisError('TRELLIS_ID_INVALID', { message: `${what} ${quote(name)} is not allowed` });
  const tenant = tenantOf(store, options.tenant);
  const roles = rolesOf(tenant, options);
  for (const { partition } of roles) {
    const account = tenant.accounts[partition];
    const user = userName(name, kind, partition);
    if (!store.hasUser(account, user)) continue;
    throw new TrellisError('TRELLIS_AUTH_EXISTS', {
      message: `Account ${quote(account)} has a user ${quote(user)} already`,
      remedy: `Choose another name; new credentials for what exists: trellis auth rotate ${name} --tenant ${tenant.name}`,
    });
  }
  const changedAccounts = prepareRoles(store, tenant, roles);
  const users = roles.map((role) => addUser(store, tenant, role, options));
  return { tenant, users, changedAccounts };

  function addUser(into: AuthStore, of: Tenant, role: Role, { expiresMs }: NewMember): MemberUser {
    const account = of.accounts[role.partition];
    const claims = into.account(account);
    const key = SigningKey.generate('user');
    const user = userName(name, kind, role.partition);
    const signer = scopedKeyOf(claims, roleName(role))!.key;
    into.keys.write(key);
    const tags = [`${TAG.kind}${kind}`, `${TAG.member}${name}`];
    into.writeUser(
      account,
      userClaims({ user: key.publicKey, name: user, issuerAccount: claims.sub, expiresMs, tags, nowMs }),
      signer,
    );
    const credsFile = into.credsFile(account, user);
    return { partition: role.partition, account, user, publicKey: key.publicKey, role: roleName(role), credsFile };
  }
}

/** Gives the accounts the roles they lack, and own roles what they say now; returns the names of the accounts that changed. */
function prepareRoles(store: AuthStore, tenant: Tenant, roles: readonly Role[]): string[] {
  const changed: string[] = [];
  for (const account of new Set(roles.map(({ partition }) => tenant.accounts[partition]))) {
    const claims = store.account(account);
    const missing = roles.filter(
      (role) =>
        tenant.accounts[role.partition] === account &&
        (role.member !== undefined || scopedKeyOf(claims, roleName(role)) === undefined),
    );
    if (missing.length === 0) continue;
    store.writeAccount(withRoles(store, tenant, claims, missing));
    changed.push(account);
  }
  return changed;
}

function rolesOf(tenant: Tenant, { kind, name, components, calls, spies, wasmcloud, leaf, xkey }: NewMember): Role[] {
  const one = tenant.layout === 'one-account';
  const values = {
    ...(components === undefined ? {} : { components: components.map(componentId) }),
    ...(calls === undefined ? {} : { targets: calls.map(componentId) }),
  };
  const narrowed = Object.keys(values).length > 0 ? { member: name, values } : {};
  const more = spies === true ? ['spy'] : wasmcloud === true ? ['wasmcloud-host'] : [];
  const own = more.length > 0 ? { ...narrowed, member: name, extensions: more } : narrowed;
  switch (kind) {
    case 'host': {
      const isLeaf = leaf === true || leaf === 'and-host';
      if (wasmcloud === true && (one || isLeaf)) {
        throw new TrellisError('TRELLIS_USAGE', {
          message: `There are no users for a wasmCloud host ${isLeaf ? 'behind a leaf node of its own' : `in tenant ${tenant.name}, which has one account`}`,
          remedy: isLeaf
            ? 'Leave out --leaf and --leaf-and-host'
            : 'Make a tenant with two accounts: trellis auth tenant add NAME --lattice LATTICE',
        });
      }
      if (one && isLeaf) {
        throw new TrellisError('TRELLIS_USAGE', {
          message: `Tenant ${tenant.name} has one account, and leaf nodes need one for each partition`,
          remedy: 'Make a tenant with two accounts: trellis auth tenant add NAME --lattice LATTICE',
        });
      }
      const end = isLeaf ? '-leaf' : '';
      const alone =
        leaf === 'and-host' ? { member: name, alsoClients: true } : wasmcloud === true ? { member: name, extensions: more } : {};
      return [
        { template: one ? 'one-account-ctl' : `host-ctl${end}`, partition: 'ctl', ...alone },
        { template: one ? 'one-account-rpc' : `host-rpc${end}`, partition: 'rpc', ...alone, ...own },
      ];
    }
    case 'provider': {
      if (xkey !== undefined && publicKeyKind(xkey) !== 'curve') {
        throw new TrellisError('TRELLIS_KEY_INVALID', {
          message: 'The key of a provider for sealed secrets is a public curve key (56 characters, beginning with X)',
        });
      }
      const linked = { provider: componentId(name), ...values, ...(xkey === undefined ? {} : { xkey }) };
      const extensions = xkey === undefined ? [] : ['sealed-links'];
      return [{ template: 'provider', partition: 'rpc', member: name, values: linked, extensions }];
    }
    case 'caller':
    case 'operator':
      return [
        { template: `${kind}-ctl`, partition: 'ctl' },
        { template: 'caller-rpc', partition: 'rpc', ...own },
      ];
    case 'issuer':
      return [{ template: 'issuer-ctl', partition: 'ctl' }];
    case 'provisioning':
    case 'wadm':
      return [{ template: kind, partition: 'ctl' }];
  }
}
