import { type ComponentId, componentId, instanceName, linkKey, linkName } from '../ids.ts';
import type { LatticeLink } from '../lattice/links.ts';

/** What became of the links of one source. */
export interface TakenLinks {
  /** Imports that the configuration file links elsewhere: `name instance`, the file's target and the lattice's. */
  readonly overruled: readonly { readonly link: LatticeLink; readonly instance: string; readonly target: string }[];
  /** Links that cannot be followed: a name in them could be no part of a subject, or they stand with another source than their own. */
  readonly unusable: readonly LatticeLink[];
}

const NONE: ReadonlySet<string> = new Set();

/**
 * The links of the lattice by source, import and name. A source's links are taken as a whole, so that a change costs what that source
 * has, however many links the lattice has. Other people wrote them: nothing in them throws, and of two that contradict each other the
 * last one counts, as in wasmCloud 1.x.
 */
export class LatticeRoutes {
  readonly #targets = new Map<string, ReadonlyMap<string, ComponentId>>();
  readonly #names = new Map<string, ReadonlySet<string>>();

  /** Takes these in place of the links that `source` had; `fileTarget` is what the file says of an import. */
  take(source: string, links: readonly LatticeLink[], fileTarget: (key: string) => string | undefined): TakenLinks {
    const overruled: TakenLinks['overruled'][number][] = [];
    const unusable: LatticeLink[] = [];
    const targets = new Map<string, ComponentId>();
    const names = new Set<string>();
    for (const link of links) {
      const routes = link.source_id === source ? routesOf(link) : undefined;
      if (routes === undefined) {
        unusable.push(link);
        continue;
      }
      names.add(link.name);
      for (const instance of routes.instances) {
        const ofFile = fileTarget(`${source} ${link.name} ${instance}`);
        if (ofFile !== undefined && ofFile !== link.target) overruled.push({ link, instance, target: ofFile });
        targets.set(`${link.name} ${instance}`, routes.target);
      }
    }
    if (targets.size === 0) {
      this.#targets.delete(source);
      this.#names.delete(source);
    } else {
      this.#targets.set(source, targets);
      this.#names.set(source, names);
    }
    return { overruled, unusable };
  }

  /** The names of a source's links. */
  namesOf(source: string): ReadonlySet<string> {
    return this.#names.get(source) ?? NONE;
  }

  /** Whom the links of a source lead to, each once. */
  targetsOf(source: string): ReadonlySet<string> {
    return new Set(this.#targets.get(source)?.values());
  }

  /** The target of an import, by the key under which links name its interface. */
  resolve(source: string, name: string, instance: string): ComponentId | undefined {
    return this.#targets.get(source)?.get(`${name} ${instance}`);
  }
}

function routesOf(link: LatticeLink): { readonly target: ComponentId; readonly instances: readonly string[] } | undefined {
  try {
    componentId(link.source_id);
    linkName(link.name);
    // Links name no versions, though some writers leave them in.
    const prefix = `${link.wit_namespace}:${bare(link.wit_package)}/`;
    const instances = link.interfaces.map((wit) => linkKey(instanceName(prefix + bare(wit))));
    return { target: componentId(link.target), instances };
  } catch {
    return undefined;
  }
}

const bare = (name: string): string => name.split('@', 1)[0]!;
