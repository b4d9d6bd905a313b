import type { ComponentChange, ComponentSet } from '../workloads/component-set.ts';
import { planReload, type ReloadPlan } from '../config/reload-plan.ts';
import type { HostConfig } from '../config/schema.ts';
import type { DelegatedScope } from '../workloads/delegated-scope.ts';
import { TrellisError } from '../errors.ts';
import { LinkTable, type Link } from '../invocation/link-table.ts';
import type { ServeOptions } from '../workloads/served-component.ts';
import type { Logger } from '../telemetry/log.ts';

/** What came of a reload: what changed, or every error, and then nothing did. */
export type ReloadOutcome = (ReloadPlan & ComponentChange) | { readonly errors: readonly TrellisError[] };

/** What {@link reloadHost} takes. */
export interface ReloadOptions {
  readonly before: HostConfig;
  readonly next: HostConfig;
  /** As of `before`. */
  readonly serving: ServeOptions;
  readonly components: ComponentSet;
  readonly delegated: DelegatedScope;
}

/** Takes over a configuration without a lost call: new components stand beside the old ones before any of those leaves. */
export async function reloadHost({ before, next, serving, components, delegated }: ReloadOptions): Promise<ReloadOutcome> {
  const { member, log, links, admission } = serving;
  const plan = forEpoch(planReload(before, next), member.trust.epoch);
  const { config } = plan;
  const change = await components.prepare({ ...serving, config });
  if ('errors' in change) return change;
  const { ending } = change;
  let newLinks: readonly Link[];
  try {
    if (serving.stopping()) throw new TrellisError('TRELLIS_HOST_BUSY');
    // Throws before anything has changed.
    newLinks = new LinkTable(config.links).list();
    await member.reconfigure(config);
  } catch (error) {
    await change.abandon();
    return { errors: [error instanceof TrellisError ? error : new TrellisError('TRELLIS_INTERNAL', { cause: error })] };
  }
  if (plan.applied.includes('log.level')) log.setLevel(config.log.level);
  admission.limit(config.limits);
  // Seeds and delegations lie in files as well; and whoever is new must be named before it answers.
  const ids = config.components.map(({ id }) => id);
  await Promise.all([delegated.add(ids), member.ctl.lookAtFiles(), member.rpc.lookAtFiles()]);
  for (const component of change.added.filter((id) => !delegated.covers(id)))
    log.warn({ component }, 'the delegation of this host does not name a component: its answers will not be believed');
  for (const { source, target, interface: wit } of plan.applied.includes('trust.unsigned') ? config.trust.unsigned : [])
    log.warn(
      { source, target, interface: wit },
      'this pair may stay UNSIGNED, streams included: whoever can publish may call or answer as it',
    );
  if (plan.applied.includes('trust.foreign')) sayShares(config.trust.foreign, log);
  const concernsEnding = ({ source, target }: { source: string; target: string }): boolean =>
    ending.includes(source) || ending.includes(target);
  links.replace(newLinks, before.links.filter(concernsEnding));
  change.begin();
  // Nobody leaves before the server has confirmed that somebody else is there. Without a server nobody is served either way.
  await Promise.allSettled([member.rpc.flush(), member.ctl.flush()]);
  await change.finish([...before.links, ...links.among(ending)], config.drainTimeoutMs);
  links.replace(newLinks);
  // One that the lattice had started before may still finish what it began; it leaves by itself.
  await delegated.drop(change.removed.filter((id) => !components.served.some((served) => served.id === id)));
  return { ...plan, added: change.added, changed: change.changed, removed: change.removed };
}

/** Who may call from other lattices: said at every start, and when it changes. */
export function sayShares(shares: HostConfig['trust']['foreign'], log: Logger): void {
  for (const { lattice, origins, target, interface: wit, functions, until } of shares)
    log.info({ lattice, origins, target, interface: wit, functions, until }, 'shared with another lattice');
}

/** Configured issuers are where a newcomer begins: once the lattice has rotated them, they mean nothing to a host that runs. */
function forEpoch(plan: ReloadPlan, epoch: number): ReloadPlan {
  const name = 'trust.clusterIssuers';
  if (epoch === 0 || !plan.applied.includes(name)) return plan;
  const applied = plan.applied.filter((each) => each !== name);
  return { ...plan, applied, needsRestart: [...plan.needsRestart, name].toSorted() };
}
