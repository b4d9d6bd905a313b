import type { LatticeData } from '../control/lattice-data.ts';
import type { LinkTable } from '../invocation/link-table.ts';
import type { LatticeLink } from '../lattice/links.ts';
import type { Logger } from '../telemetry/log.ts';

/** The links of the configuration as others read them, by source. Where they lead out of the lattice is not part of that. */
export function fileLinks(table: LinkTable): ReadonlyMap<string, readonly LatticeLink[]> {
  const links = table.list().map((link) => ({
    source_id: link.source,
    target: link.target,
    name: link.name,
    wit_namespace: link.namespace,
    wit_package: link.package,
    interfaces: link.interfaces,
    source_config: [],
    target_config: [],
  }));
  return Map.groupBy(links, ({ source_id }) => source_id);
}

/** Bounds what links that cannot be followed cost in memory and log lines; beyond it they are still not followed. */
const MAX_SAID = 1_000;

/**
 * Hands the links of the lattice to the table by which calls go, now and whenever they change, source by source. Each link that cannot
 * be followed, or that the configuration file overrules, is said once. Whoever misses one there has the lattice asked for it. The returned function ends it.
 */
export function followLatticeLinks(data: LatticeData, table: LinkTable, log: Logger): () => void {
  const said = new Set<string>();
  const say = (link: LatticeLink, more: object, message: string): void => {
    const { source_id, target, name, wit_namespace, wit_package } = link;
    const fields = { link: { source_id, target, name, wit_namespace, wit_package }, ...more };
    const key = JSON.stringify(fields);
    if (said.has(key) || said.size >= MAX_SAID) return;
    said.add(key);
    log.warn(fields, message);
  };
  const take = (sources: Iterable<string>): void => {
    for (const source of sources) {
      const { overruled, unusable } = table.takeLattice(source, data.linksOf(source));
      for (const { link, instance, target } of overruled)
        say(
          link,
          { instance, fileTarget: target },
          'a link of the lattice does not count here: the configuration file links elsewhere',
        );
      for (const link of unusable)
        say(
          link,
          { code: 'TRELLIS_ID_INVALID' },
          'a link of the lattice cannot be followed: a name in it is not allowed, or it is filed under another source',
        );
    }
  };
  const end = data.onLinks(take);
  take(data.linksBySource().keys());
  table.lookups.askBy((source) => data.lookUpLinks(source));
  return () => {
    table.lookups.askBy(undefined);
    end();
  };
}
