import type { Command } from 'commander';
import { DEFAULT_LIFETIME, parseLifetime } from '../../auth/lifetime.ts';
import { addMember, type AddedMember, type MemberKind, type MemberUser, type NewMember } from '../../auth/members.ts';
import { loadPermissionTemplates } from '../../auth/permission-templates.ts';
import type { Tenant } from '../../auth/tenant.ts';
import { tableLines } from '../output.ts';
import { outputOf } from '../program.ts';
import { idsOf, openStore, type StoreFlags, withStore } from './store-option.ts';

/** The flags that adding a host, a provider and any other member share. */
export interface MemberFlags extends StoreFlags {
  readonly tenant: string;
  readonly expires: string;
  readonly components?: string;
  readonly calls?: string;
  readonly leaf?: true;
  readonly leafAndHost?: true;
  readonly xkey?: string;
  readonly spies?: true;
  readonly wasmcloud?: true;
}

/** Adds the flags that every kind of member takes. */
export function withMemberFlags(command: Command): Command {
  return withStore(command)
    .requiredOption('--tenant <name>', 'tenant whose lattice it joins')
    .option('--expires <lifetime>', 'how long its credentials count, such as 12h or 30d, or never', DEFAULT_LIFETIME);
}

/** Adds a member and prints where its credentials are. @throws what {@link addMember} throws */
export async function runAddMember(kind: MemberKind, name: string, flags: MemberFlags, command: Command): Promise<void> {
  const store = openStore(flags);
  const lifetimeMs = parseLifetime(flags.expires);
  const nowMs = Date.now();
  const expiresMs = lifetimeMs === undefined ? undefined : nowMs + lifetimeMs;
  const { tenant, xkey } = flags;
  const wanted: NewMember = {
    tenant,
    kind,
    name,
    nowMs,
    expiresMs,
    leaf: flags.leafAndHost === true ? 'and-host' : flags.leaf,
    xkey,
    components: idsOf(flags.components),
    calls: idsOf(flags.calls),
    spies: flags.spies,
    wasmcloud: flags.wasmcloud,
  };
  const added = await store.change(() => addMember(store, wanted));
  const { users, changedAccounts } = added;
  const facts = {
    tenant,
    lattice: added.tenant.lattice,
    kind,
    name,
    expiresMs: expiresMs ?? null,
    users,
    changedAccounts,
  };
  outputOf(command).result(facts, (print) => {
    for (const line of memberLines(wanted, added)) print(line);
  });
}

function memberLines(wanted: NewMember, { tenant, users, changedAccounts }: AddedMember): string[] {
  const { kind, name, expiresMs } = wanted;
  const templates = loadPermissionTemplates();
  const weaknesses = users.map(({ role }) => templates.get(role.split('@')[0]!)?.weakness);
  const until = expiresMs === undefined ? 'never: replace them by hand' : new Date(expiresMs).toISOString();
  return [
    `${kind} ${name} of tenant ${tenant.name}, lattice ${tenant.lattice}; its credentials end ${until}`,
    '',
    ...tableLines(
      ['CONNECTION', 'ROLE', 'PUBLIC KEY', 'CREDENTIALS'],
      users.map(({ partition, role, publicKey, credsFile }) => [partition, role, publicKey, credsFile]),
    ),
    '',
    ...[...new Set(weaknesses)].flatMap((weakness) => (weakness === undefined ? [] : [`Weakness: ${weakness.trim()}`])),
    ...(changedAccounts.length === 0
      ? []
      : [`Changed: account ${changedAccounts.join(', ')}. A running server has to be told: trellis auth push`]),
    ...nextLines(wanted, tenant, users),
  ];
}

/** How these users are put to use. */
function nextLines(
  { kind, wasmcloud }: NewMember,
  { name, lattice, extensions }: Tenant,
  users: readonly MemberUser[],
): string[] {
  if (kind === 'provider') return [];
  if (wasmcloud !== true)
    return [`Set lattice: ${lattice} and ${users.map(({ partition }) => `${partition}.credsFile`).join(', ')}.`];
  return [
    `Start it with --lattice ${lattice} ${users.map(({ partition, credsFile }) => `--${partition}-creds ${credsFile}`).join(' ')}`,
    ...(extensions.includes('rust-peers')
      ? []
      : [
          `Hosts of Trellis cannot answer it yet: trellis auth tenant update ${name} --with ${[...extensions, 'rust-peers'].join(',')}`,
        ]),
  ];
}
