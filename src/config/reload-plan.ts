import { isDeepStrictEqual } from 'node:util';
import { isTree, type Tree } from './layers.ts';
import type { HostConfig } from './schema.ts';

/** Where a connection leads and as whom; its manner (pings, inbox root) is made once. */
const CONNECTION = ['servers', 'credsFile', 'jwtFile', 'seedFile', 'tls'] as const;

/**
 * Settings that a running host takes over when its configuration is read again; a name stands for all below it. Everything else is
 * part of what the host is made of, and waits for a restart.
 */
export const RELOADABLE: readonly string[] = [
  'artifacts.allowFiles',
  'artifacts.issuers',
  'components',
  ...CONNECTION.map((name) => `ctl.${name}`),
  'drainTimeoutMs',
  'labels',
  'lameDuckMs',
  'limits.maxCallDepth',
  'limits.maxComponentSizeBytes',
  'limits.maxComponents',
  'limits.maxExecutionTimeMs',
  'limits.maxInFlight',
  'limits.maxInFlightPerOrigin',
  'limits.maxInstances',
  'limits.maxLinearMemoryBytes',
  'limits.maxParamsBytes',
  'links',
  'log.level',
  ...CONNECTION.map((name) => `rpc.${name}`),
  'trust.clusterIssuers',
  'trust.foreign',
  'trust.unlinkedOrigins',
  'trust.unsigned',
];

/** What a new configuration means for a host that runs. */
export interface ReloadPlan {
  /** Settings that differ and count from now on, by dotted name, sorted. */
  readonly applied: readonly string[];
  /** Settings that differ and count at the next start. */
  readonly needsRestart: readonly string[];
  /** The configuration in force afterwards: the new one with the old values of what needs a restart. */
  readonly config: HostConfig;
}

/** Compares two complete configurations, setting by setting; lists are one setting. */
export function planReload(before: HostConfig, after: HostConfig): ReloadPlan {
  const applied: string[] = [];
  const needsRestart: string[] = [];
  const compare = (old: Tree, next: Tree, path: readonly string[]): Tree => {
    const kept: Tree = {};
    for (const key of new Set([...Object.keys(old), ...Object.keys(next)])) {
      const name = [...path, key].join('.');
      const [was, is] = [old[key], next[key]];
      let value: unknown = is;
      if (!RELOADABLE.includes(name) && (isTree(was) || isTree(is)) && isTree(was ?? {}) && isTree(is ?? {})) {
        const inner = compare((was ?? {}) as Tree, (is ?? {}) as Tree, [...path, key]);
        // A group that the old configuration does not have counts only with something in it.
        value = was === undefined && Object.keys(inner).length === 0 ? undefined : inner;
      } else if (!isDeepStrictEqual(was, is)) {
        (RELOADABLE.includes(name) ? applied : needsRestart).push(name);
        if (!RELOADABLE.includes(name)) value = was;
      }
      if (value !== undefined) kept[key] = value;
    }
    return kept;
  };
  const config = compare(before, after, []) as unknown as HostConfig;
  return { applied: applied.toSorted(), needsRestart: needsRestart.toSorted(), config };
}
