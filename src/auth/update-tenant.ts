import { isDeepStrictEqual } from 'node:util';
import type { Partition } from '../nats/partition.ts';
import { JETSTREAM_LIMITS } from './claims.ts';
import type { AccountClaims, ScopedKey, UserTemplate } from './claims-shape.ts';
import { loadPermissionTemplates } from './permission-templates.ts';
import { checkExtensions, roleName, type Role, scopedKeyFor, SHARED_ROLES, withRoles } from './roles.ts';
import type { AuthStore } from './store.ts';
import { type Tenant, tenantOf, tenantTags } from './tenant.ts';

/** What {@link updateTenant} takes. */
export interface TenantUpdate {
  readonly name: string;
  /** Extensions from now on; those it has when left out. */
  readonly extensions?: readonly string[] | undefined;
  /** Values from now on; those it has when left out. */
  readonly values?: Readonly<Record<string, string>> | undefined;
}

/** What an update changed. */
export interface UpdatedTenant {
  readonly tenant: Tenant;
  /** For each account that changed the roles that grant something else now, or are new. */
  readonly changed: readonly { readonly account: string; readonly roles: readonly string[] }[];
}

/**
 * Fills the permission templates again: with other extensions, or because Trellis came with newer templates. Narrowed members keep
 * their components and calls, users keep their credentials, and keys stay. Must run inside {@link AuthStore.change}.
 *
 * @throws TRELLIS_AUTH_UNKNOWN, TRELLIS_PERMISSION_VALUE, TRELLIS_AUTH_KEY_MISSING
 */
export function updateTenant(store: AuthStore, options: TenantUpdate): UpdatedTenant {
  const before = tenantOf(store, options.name);
  const tenant: Tenant = {
    ...before,
    extensions: options.extensions ?? before.extensions,
    values: options.values ?? before.values,
  };
  checkExtensions(tenant);
  const changed: { account: string; roles: string[] }[] = [];
  for (const account of new Set(Object.values(tenant.accounts))) {
    const claims = store.account(account);
    const next = updated(store, tenant, account, claims);
    const roles = changedRoles(claims, next);
    if (roles.length === 0 && isDeepStrictEqual(claims.nats, next.nats)) continue;
    store.writeAccount(next);
    changed.push({ account, roles });
  }
  return { tenant, changed };
}

function updated(store: AuthStore, tenant: Tenant, account: string, claims: AccountClaims): AccountClaims {
  const partitions = (['ctl', 'rpc'] as const).filter((partition) => tenant.accounts[partition] === account);
  const roles = SHARED_ROLES[tenant.layout].filter(({ partition }) => partitions.includes(partition));
  const refilled = (claims.nats.signing_keys ?? []).map((key) => {
    const fresh = typeof key === 'string' ? undefined : refill(tenant, key);
    return fresh === undefined || isSameGrant(fresh, key as ScopedKey) ? key : fresh;
  });
  const isNew = (role: Role): boolean => !refilled.some((key) => typeof key !== 'string' && key.role === roleName(role));
  const withKeys = withRoles(store, tenant, { ...claims, nats: { ...claims.nats, signing_keys: refilled } }, roles.filter(isNew));
  const jetstream = partitions.includes('ctl') || tenant.extensions.includes('wasmbus-payloads');
  return {
    ...claims,
    nats: {
      ...withKeys.nats,
      limits: partitions.includes('ctl') ? claims.nats.limits : withStorage(claims, jetstream),
      tags: tenantTags(tenant, account, claims.nats.tags),
    },
  };
}

/** Limits that somebody set stay; JetStream is turned on or off. */
function withStorage({ nats }: AccountClaims, jetstream: boolean): AccountClaims['nats']['limits'] {
  const limits = nats.limits ?? {};
  const has = (limits.mem_storage ?? 0) !== 0 || (limits.disk_storage ?? 0) !== 0;
  if (has === jetstream) return nats.limits;
  if (jetstream) return { ...limits, ...JETSTREAM_LIMITS };
  return Object.fromEntries(Object.entries(limits).filter(([name]) => !Object.hasOwn(JETSTREAM_LIMITS, name)));
}

/** The key with what its role grants now, or `undefined` for a role that no permission template is behind. */
function refill(tenant: Tenant, scope: ScopedKey): ScopedKey | undefined {
  const [name, member] = scope.role.split('@', 2) as [string, string | undefined];
  const template = loadPermissionTemplates().get(name);
  if (template === undefined || template.partition === 'system') return undefined;
  const xkey = linkKeyIn(scope.template, tenant.lattice);
  const role: Role = {
    template: name,
    partition: template.partition satisfies Partition,
    member,
    values: member === undefined ? {} : ownValues(name, member, scope.template, tenant.lattice, xkey),
    alsoClients: scope.template.allowed_connection_types?.includes('STANDARD') === true,
    extensions: [...(xkey === undefined ? [] : ['sealed-links']), ...(member === undefined ? [] : ownExtensions(tenant, scope))],
  };
  return scopedKeyFor(tenant, role, scope.key);
}

/** What may be given to one member alone stands in its subjects, as the rest does; its template knows which of it can have been meant. */
function ownExtensions({ lattice }: Tenant, { template: { sub } }: ScopedKey): string[] {
  const signs = { spy: `${lattice}.*.wrpc.>`, 'wasmcloud-host': '_INBOX.>' };
  return Object.entries(signs).flatMap(([extension, subject]) => (sub?.allow?.includes(subject) === true ? [extension] : []));
}

/** What a role of one member alone was narrowed to: it stands in its subjects. */
function ownValues(
  name: string,
  member: string,
  { pub, sub }: UserTemplate,
  lattice: string,
  xkey: string | undefined,
): Record<string, string | string[]> {
  const parameters = loadPermissionTemplates().get(name)?.parameters ?? {};
  const found = {
    targets: idsIn(pub?.allow, lattice),
    components: idsIn(sub?.allow, lattice),
    provider: member,
    xkey,
  };
  const isTaken = (parameter: string): boolean =>
    // The key for links belongs to an extension of the template.
    parameter === 'xkey' || Object.hasOwn(parameters, parameter);
  return Object.fromEntries(
    Object.entries(found).filter((entry): entry is [string, string | string[]] => isTaken(entry[0]) && entry[1] !== undefined),
  );
}

/** Ids of which the subjects `{lattice}.{id}.wrpc.>` are allowed; `undefined` if those of all are. */
function idsIn(allowed: readonly string[] = [], lattice: string): string[] | undefined {
  const ids = allowed.map((subject) => subject.split('.')).filter((tokens) => isCall(tokens, lattice));
  return ids.some(([, id]) => id === '*') ? undefined : ids.map(([, id]) => id!);
}

const isCall = (tokens: readonly string[], lattice: string): boolean =>
  tokens.length === 4 && tokens[0] === lattice && tokens[2] === 'wrpc' && tokens[3] === '>';

function linkKeyIn({ sub }: UserTemplate, lattice: string): string | undefined {
  const prefix = `wasmbus.rpc.${lattice}.`;
  const subject = sub?.allow?.find((each) => each.startsWith(`${prefix}X`) && each.endsWith('.linkdefs.put'));
  return subject?.slice(prefix.length).split('.')[0];
}

/** The order of subjects says nothing, and a change ends connections. */
function isSameGrant(a: ScopedKey, b: ScopedKey): boolean {
  return isDeepStrictEqual(inOrder(a), inOrder(b));
}

function inOrder({ template: { pub, sub, ...others }, ...key }: ScopedKey): object {
  const sorted = (list: readonly string[] = []): string[] => [...list].sort();
  return {
    ...key,
    ...others,
    lists: [pub, sub].map((side) => [sorted(side?.allow), sorted(side?.deny)]),
  };
}

function changedRoles(before: AccountClaims, after: AccountClaims): string[] {
  const known = new Map(keysByName(before));
  const roles = keysByName(after)
    .filter(([key, scope]) => !isDeepStrictEqual(known.get(key), scope))
    .map(([, { role }]) => role);
  return [...new Set(roles)];
}

const keysByName = ({ nats }: AccountClaims): [string, ScopedKey][] =>
  (nats.signing_keys ?? []).flatMap((key) => (typeof key === 'string' ? [] : [[key.key, key] as [string, ScopedKey]]));
