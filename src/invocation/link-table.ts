import { componentId, instanceName, isPeerKey, linkKey, linkName, type ComponentId } from '../ids.ts';
import { TrellisError } from '../errors.ts';
import type { LatticeLink } from '../lattice/links.ts';
import { LinkLookups } from './link-lookups.ts';
import { LatticeRoutes, type TakenLinks } from './lattice-routes.ts';

/** Where a link leads that goes through an import of this account: its target is the name of the import. */
export interface SharedTarget {
  /** The lattice of the component. */
  readonly lattice: string;
  /** The component's id there; that of the target if left out. */
  readonly component?: string | undefined;
  /** The cluster issuers of that lattice, whose hosts may answer. */
  readonly issuers: readonly string[];
}

/** One link as the configuration names it. */
export interface Link {
  /** The component that imports. */
  readonly source: string;
  /** The component or provider that serves. */
  readonly target: string;
  /** The link's name; `default` unless the source selects another. */
  readonly name: string;
  /** WIT namespace of the interfaces, e.g. `trellis-samples`. */
  readonly namespace: string;
  /** WIT package of the interfaces, e.g. `hello`. */
  readonly package: string;
  /** Interface names without namespace, package and version, e.g. `greeting`. */
  readonly interfaces: readonly string[];
  /** Present when the target is a component of another lattice, in another NATS account. */
  readonly shared?: SharedTarget | undefined;
  /** Present when the target is a peer of wasmCloud 0.82, by its public key. */
  readonly wasmbus?: { readonly contract?: string | undefined } | undefined;
}

/** Somebody who calls and somebody who is called. */
export type CallPair = Pick<Link, 'source' | 'target'>;

/** `ns:pkg/iface` of an instance name: links do not name versions (wasmCloud 1.x link semantics). */
export function withoutVersion(instance: string): string {
  const at = instance.indexOf('@');
  return at < 0 ? instance : instance.slice(0, at);
}

/**
 * Which component may call which, over which interface. The sending host finds its targets here, and the receiving
 * host refuses, before any cryptography, an origin that no link names. Links come from the configuration file and from the lattice; where
 * both serve an import, the file's counts.
 */
export class LinkTable {
  #routes: Routes;
  readonly #lattice = new LatticeRoutes();
  /** For who misses a link here. */
  readonly lookups = new LinkLookups();

  /** @throws TRELLIS_ID_INVALID for a name that could not be one, TRELLIS_LINK_CONFLICT for two targets of one link. */
  constructor(links: readonly Link[]) {
    this.#routes = routesOf(links);
  }

  /**
   * Takes these links in place of all before. Those of `kept` count as well, where none of `links` says otherwise: for components that
   * still finish what they began. @throws as the constructor; then nothing has changed
   */
  replace(links: readonly Link[], kept: readonly Link[] = []): void {
    this.#routes = routesOf(links, kept);
  }

  /** Takes these links of the lattice in place of those that it had for this source. Never throws. */
  takeLattice(source: string, links: readonly LatticeLink[]): TakenLinks {
    return this.#lattice.take(source, links, (key) => this.#routes.targets.get(key));
  }

  /** The target of an import, or `undefined` when no link serves it. `instance` may carry a version. */
  resolve(source: string, name: string, instance: string): ComponentId | undefined {
    const key = linkKey(instance);
    return this.#routes.targets.get(`${source} ${name} ${key}`) ?? this.#lattice.resolve(source, name, key);
  }

  /** True if a component has any link of that name. */
  hasName(source: string, name: string): boolean {
    return this.#routes.names.get(source)?.has(name) === true || this.#lattice.namesOf(source).has(name);
  }

  /** The link of a component's import to a peer of wasmCloud 0.82, or `undefined` when it leads elsewhere. */
  legacy(source: string, name: string, instance: string): Link | undefined {
    const link = this.#routes.abroad.get(`${source} ${name} ${linkKey(instance)}`);
    return link?.wasmbus === undefined ? undefined : link;
  }

  /** Where the link of a component's import leads in another account, or `undefined` when it stays in this one. */
  shared(source: string, name: string, instance: string): SharedTarget | undefined {
    return this.#routes.abroad.get(`${source} ${name} ${linkKey(instance)}`)?.shared;
  }

  /** True if a link lets `origin` call `instance` of `target`. Never throws. */
  allows(origin: string, link: string, instance: string, target: string): boolean {
    if (isPeerKey(origin) && this.#routes.peers.has(`${origin} ${link} ${linkKey(instance)} ${target}`)) return true;
    return this.resolve(origin, link, instance) === target;
  }

  /**
   * True if a link of any name lets `origin` call `instance` of `target`. Providers of wasmCloud 1.x do not say along which link they call, and
   * one that calls several components over one interface has a link of another name to each. Never throws.
   */
  leads(origin: string, instance: string, target: string): boolean {
    const names = [...(this.#routes.names.get(origin) ?? []), ...this.#lattice.namesOf(origin)];
    return names.some((name) => this.allows(origin, name, instance, target));
  }

  /** Who may call whom among these ids, by links of the configuration and of the lattice. */
  among(ids: readonly string[]): readonly CallPair[] {
    const wanted = new Set(ids);
    const ofLattice = [...wanted].flatMap((source) => [...this.#lattice.targetsOf(source)].map((target) => ({ source, target })));
    return [...this.#routes.links, ...ofLattice].filter(({ source, target }) => wanted.has(source) && wanted.has(target));
  }

  /** The links of the configuration as given. */
  list(): readonly Link[] {
    return this.#routes.links;
  }
}

interface Routes {
  readonly targets: ReadonlyMap<string, ComponentId>;
  /** Links that lead out of this lattice's wRPC: to peers of wasmCloud 0.82, or to other accounts. */
  readonly abroad: ReadonlyMap<string, Link>;
  /** What peers of wasmCloud 0.82 may call: they choose their targets by key, so one link of theirs can have several. */
  readonly peers: ReadonlySet<string>;
  /** Names of the links of each source. */
  readonly names: ReadonlyMap<string, ReadonlySet<string>>;
  readonly links: readonly Link[];
}

function routesOf(links: readonly Link[], kept: readonly Link[] = []): Routes {
  const targets = new Map<string, ComponentId>();
  const abroad = new Map<string, Link>();
  const peers = new Set<string>();
  const names = new Map<string, Set<string>>();
  for (const link of [...links, ...kept]) {
    const source = componentId(link.source);
    const target = componentId(link.target);
    const name = linkName(link.name);
    names.set(source, (names.get(source) ?? new Set()).add(name));
    for (const wit of link.interfaces) {
      const instance = linkKey(instanceName(`${link.namespace}:${link.package}/${wit}`));
      const key = `${source} ${name} ${instance}`;
      if (isPeerKey(source)) {
        peers.add(`${key} ${target}`);
        continue;
      }
      const known = targets.get(key);
      if (known !== undefined && kept.includes(link)) continue;
      if (known !== undefined && known !== target) {
        throw new TrellisError('TRELLIS_LINK_CONFLICT', {
          message: `link ${name} of ${source} for ${instance} names two targets, ${known} and ${target}`,
        });
      }
      targets.set(key, target);
      if (link.wasmbus !== undefined || link.shared !== undefined) abroad.set(key, link);
    }
  }
  return { targets, abroad, peers, names, links };
}
