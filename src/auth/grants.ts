import { TrellisError } from '../errors.ts';
import { componentId, quote } from '../ids.ts';
import type { ScopedKey, UserTemplate } from './claims-shape.ts';
import { memberOf, userName, type MemberKind } from './members.ts';
import { scopedKeysOf } from './roles.ts';
import type { AuthStore } from './store.ts';
import { type Tenant, tenantOf } from './tenant.ts';

/** What a host or provider may do with a component: answer calls to it, or call it. */
export type ComponentRight = 'serve' | 'call';

/** What {@link grantComponent} takes. */
export interface ComponentGrant {
  readonly tenant: string;
  readonly component: string;
  /** Name of a host, caller or operator, or id of a provider. */
  readonly to: string;
  /** `serve` for a host and `call` for others, when left out. */
  readonly right?: ComponentRight | undefined;
  /** Takes the right away instead. */
  readonly remove?: boolean | undefined;
}

/** What became of a grant. */
export interface GrantOutcome {
  readonly tenant: Tenant;
  readonly account: string;
  readonly role: string;
  readonly right: ComponentRight;
  readonly subject: string;
  /** False if the account was so already. */
  readonly changed: boolean;
}

/**
 * Lets one member serve or call one component more, or no longer: the subject `{lattice}.{component}.wrpc.>` in the scoped key
 * that is the member's own. Its credentials stay as they are; once the account has been pushed, the server ends its connection
 * and the next one has the new rights. Must run inside {@link AuthStore.change}.
 *
 * @throws TRELLIS_AUTH_UNKNOWN, TRELLIS_ID_INVALID, TRELLIS_USAGE where all of a kind share what the grant would change
 */
export function grantComponent(store: AuthStore, options: ComponentGrant): GrantOutcome {
  const tenant = tenantOf(store, options.tenant);
  const account = tenant.accounts.rpc;
  const { kind, scope } = memberRole(store, account, options.to);
  const right = options.right ?? (kind === 'host' ? 'serve' : 'call');
  if (right === 'serve' && kind !== 'host') {
    throw new TrellisError('TRELLIS_USAGE', {
      message: `${options.to} is of kind ${kind}, and only hosts serve components`,
    });
  }
  const any = `${tenant.lattice}.*.wrpc.>`;
  const subject = `${tenant.lattice}.${componentId(options.component)}.wrpc.>`;
  const allowed = allowedBy(scope.template, right);
  const outcome = { tenant, account, role: scope.role, right, subject };
  const remove = options.remove === true;
  const all = allowed.includes(any);
  if (!(remove && all) && (all || allowed.includes(subject) !== remove)) return { ...outcome, changed: false };
  if (all || !scope.role.endsWith(`@${options.to}`)) {
    throw new TrellisError('TRELLIS_USAGE', {
      message: `${options.to} has the rights of its kind, which ${right} any component; one alone cannot be taken away`,
      remedy: `Add it again under another name with a list of its own: --${right === 'serve' ? 'components' : 'calls'} ID,ID`,
    });
  }
  const subjects = remove ? allowed.filter((each) => each !== subject) : [subject, ...allowed];
  const claims = store.account(account);
  const keys = (claims.nats.signing_keys ?? []).map((key) =>
    // While a key is being replaced there are two of one role.
    typeof key !== 'string' && key.role === scope.role ? { ...key, template: withAllowed(key.template, right, subjects) } : key,
  );
  store.writeAccount({ ...claims, nats: { ...claims.nats, signing_keys: keys } });
  return { ...outcome, changed: true };
}

function memberRole(store: AuthStore, account: string, name: string): { kind: string; scope: ScopedKey } {
  const scopes = scopedKeysOf(store.account(account));
  const kinds: readonly MemberKind[] = ['host', 'provider'];
  for (const user of kinds.map((kind) => userName(name, kind, 'rpc'))) {
    if (!store.hasUser(account, user)) continue;
    const found = store.user(account, user);
    const member = memberOf(found);
    const scope = scopes.find(({ key }) => key === found.iss);
    if (member?.name === name && scope !== undefined) return { kind: member.kind, scope };
  }
  throw new TrellisError('TRELLIS_AUTH_UNKNOWN', {
    message: `Account ${quote(account)} has no host, caller or provider ${quote(name)}`,
  });
}

const sideOf = { serve: 'sub', call: 'pub' } as const;

function allowedBy(template: UserTemplate, right: ComponentRight): readonly string[] {
  return template[sideOf[right]]?.allow ?? [];
}

function withAllowed(template: UserTemplate, right: ComponentRight, subjects: readonly string[]): UserTemplate {
  const side = sideOf[right];
  return { ...template, [side]: { ...template[side], allow: [...subjects] } };
}
