import type { HostConfigInput } from '../config/schema.ts';
import type { Share } from './share-file.ts';

/** What the hosts of the two lattices need in their configuration; what the share does not say stands in angle brackets. */
type ForeignSetting = NonNullable<NonNullable<HostConfigInput['trust']>['foreign']>[number];
type LinkSetting = NonNullable<HostConfigInput['links']>[number];

const orUnknown = (values: readonly string[], unknown: string): string[] => (values.length > 0 ? [...values] : [`<${unknown}>`]);

/** For the hosts that run the component: whom to let in. */
export function foreignSetting(
  share: Share,
  callers: { readonly lattice: string | undefined; readonly issuers: readonly string[] },
): ForeignSetting {
  return {
    lattice: callers.lattice ?? '<their lattice>',
    issuers: orUnknown(callers.issuers, 'cluster issuers of their lattice, C…'),
    origins: orUnknown(share.callers, 'ids of their components that may call'),
    target: share.component,
    interface: share.interface.replace(/@.*$/, ''),
    ...(share.functions.length > 0 ? { functions: [...share.functions] } : {}),
    ...(share.until === undefined ? {} : { until: share.until }),
  };
}

/** For the hosts that run the callers: a link for each. `as` is the component's id in their lattice. */
export function linkSettings(share: Share, as: string): LinkSetting[] {
  const [, namespace = '', wit = '', face = ''] = /^([^:]+):([^/]+)\/([^@]+)/.exec(share.interface) ?? [];
  return orUnknown(share.callers, 'id of the component that calls').map((source) => ({
    source,
    target: as,
    namespace,
    package: wit,
    interfaces: [face],
    shared: {
      lattice: share.lattice,
      ...(as === share.component ? {} : { component: share.component }),
      issuers: orUnknown(share.issuers, 'cluster issuers of their lattice, C…'),
    },
  }));
}
