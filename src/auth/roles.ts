import { TrellisError } from '../errors.ts';
import { quote } from '../ids.ts';
import type { Partition } from '../nats/partition.ts';
import { SigningKey } from '../trust/nkey.ts';
import { scopedKey } from './claims.ts';
import type { AccountClaims, ScopedKey, Unsigned } from './claims-shape.ts';
import { fillTemplate, loadPermissionTemplates, type TemplateValues } from './permission-templates.ts';
import type { AuthStore } from './store.ts';
import type { Layout, Tenant } from './tenant.ts';

/** Users of one kind in one account: a scoped signing key, whose template is the filled permission template. */
export interface Role {
  /** Name of the permission template. */
  readonly template: string;
  readonly partition: Partition;
  /** Whom alone the role is for; all of the kind share it when left out. */
  readonly member?: string | undefined;
  /** Values for the template beside the lattice's and the tenant's. */
  readonly values?: TemplateValues | undefined;
  /** For users of leaf nodes: clients may log in as them, too. */
  readonly alsoClients?: boolean | undefined;
  /** Extensions beside the tenant's. */
  readonly extensions?: readonly string[] | undefined;
}

const shared = (partition: Partition, ...templates: readonly string[]): Role[] =>
  templates.map((template) => ({ template, partition }));

/** Roles that a tenant has from the start: adding a user of them changes no account, so that nothing has to be pushed. */
export const SHARED_ROLES: Readonly<Record<Layout, readonly Role[]>> = {
  'two-accounts': [
    ...shared('ctl', 'host-ctl', 'host-ctl-leaf', 'operator-ctl', 'issuer-ctl', 'caller-ctl', 'provisioning'),
    ...shared('rpc', 'host-rpc', 'host-rpc-leaf', 'caller-rpc'),
  ],
  'one-account': [
    ...shared('ctl', 'one-account-ctl', 'operator-ctl', 'issuer-ctl', 'caller-ctl', 'provisioning'),
    ...shared('rpc', 'one-account-rpc', 'caller-rpc'),
  ],
};

/** The name under which the scoped key of a role is found: `host-rpc`, or `host-rpc@web-1` for one member alone. */
export function roleName({ template, member }: Role): string {
  return member === undefined ? template : `${template}@${member}`;
}

/** The scoped keys of an account. */
export function scopedKeysOf(claims: Unsigned<AccountClaims>): ScopedKey[] {
  return (claims.nats.signing_keys ?? []).filter((key): key is ScopedKey => typeof key !== 'string');
}

/** The scoped key of a role, or `undefined`. */
export function scopedKeyOf(claims: Unsigned<AccountClaims>, role: string): ScopedKey | undefined {
  return scopedKeysOf(claims).find((key) => key.role === role);
}

/** Refuses extensions, and names of values, that no permission template has. @throws TRELLIS_PERMISSION_VALUE */
export function checkExtensions({ extensions, values }: Tenant): void {
  const templates = [...loadPermissionTemplates().values()];
  const offered = templates.flatMap((template) => Object.entries(template.extensions));
  const known = new Set(offered.map(([name]) => name));
  const parameters = new Set(
    [...templates, ...offered.map(([, extension]) => extension)].flatMap((part) => Object.keys(part.parameters)),
  );
  refuseUnknown('has an extension', extensions, known);
  refuseUnknown('takes a value', Object.keys(values), parameters);
}

function refuseUnknown(what: string, names: readonly string[], known: ReadonlySet<string>): void {
  const unknown = names.find((name) => !known.has(name));
  if (unknown === undefined) return;
  throw new TrellisError('TRELLIS_PERMISSION_VALUE', {
    message: `No permission template ${what} ${quote(unknown)}`,
    remedy: `Known are: ${[...known].sort().join(', ')}.`,
  });
}

/** The scoped key of a role with what it grants now. @throws TRELLIS_PERMISSION_VALUE */
export function scopedKeyFor(tenant: Tenant, role: Role, key: string): ScopedKey {
  const template = loadPermissionTemplates().get(role.template);
  const offered = template?.extensions ?? {};
  const extensions = [...tenant.extensions, ...(role.extensions ?? [])].filter((name) => Object.hasOwn(offered, name));
  const parts = template === undefined ? [] : [template, ...extensions.map((name) => offered[name]!)];
  const parameters = new Set(parts.flatMap((part) => Object.keys(part.parameters)));
  const ofTenant = Object.entries({ ...tenant.values, lattice: tenant.lattice }).filter(([name]) => parameters.has(name));
  const values = { ...Object.fromEntries(ofTenant), ...role.values };
  const permissions = fillTemplate(role.template, values, extensions);
  const leaf = role.alsoClients === true ? (['LEAFNODE', 'STANDARD'] as const) : (['LEAFNODE'] as const);
  const connectionTypes = template?.leaf === true ? leaf : (['STANDARD'] as const);
  return scopedKey(key, roleName(role), { ...permissions, connectionTypes }, template?.description);
}

/**
 * The account with a scoped key for each of these roles; a role that it has keeps its key, and its grant becomes what the role
 * says. New private keys go into the store at once.
 */
export function withRoles(
  store: AuthStore,
  tenant: Tenant,
  claims: Unsigned<AccountClaims>,
  roles: readonly Role[],
): Unsigned<AccountClaims> {
  const keys = [...(claims.nats.signing_keys ?? [])];
  for (const role of roles) {
    // While a key is being replaced there are two of one role.
    const known = [...keys.entries()].filter(([, key]) => typeof key !== 'string' && key.role === roleName(role));
    for (const [at, key] of known) keys[at] = scopedKeyFor(tenant, role, (key as ScopedKey).key);
    if (known.length > 0) continue;
    const key = SigningKey.generate('account');
    keys.push(scopedKeyFor(tenant, role, key.publicKey));
    store.keys.write(key);
  }
  return { ...claims, nats: { ...claims.nats, signing_keys: keys } };
}
