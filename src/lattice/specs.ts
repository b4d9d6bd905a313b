import { parseJsonObject } from '../json-object.ts';
import { conflicts, hasSameKey, type LatticeLink, type LinkKey, readLink } from './links.ts';

/** The start of the keys that hold specs. */
export const SPEC_PREFIX = 'COMPONENT_';

/** What the lattice remembers of a component or provider: where it came from, and the links whose source it is. */
export interface LatticeSpec {
  /** The reference it was first started with; `''` if a link came before that. */
  readonly url: string;
  readonly links: readonly LatticeLink[];
  /** What else writers of other versions put there; kept when the spec is written again. */
  readonly rest: Readonly<Record<string, unknown>>;
}

/** The spec of an id that nothing is known of. */
export const EMPTY_SPEC: LatticeSpec = { url: '', links: [], rest: {} };

/** The key below which the spec of `id` stands. */
export function specKey(id: string): string {
  return `${SPEC_PREFIX}${id}`;
}

/** Reads a spec, or `undefined` if it is none: then no host can tell which of its links count. Never throws. */
export function readSpec(text: string): LatticeSpec | undefined {
  const value = parseJsonObject(text);
  if (value === undefined) return undefined;
  const { url, links: given = [], ...rest } = value;
  if (typeof url !== 'string' || !Array.isArray(given)) return undefined;
  const links = given.map(readLink);
  return links.every((link) => link !== undefined) ? { url, links, rest } : undefined;
}

/** The text of a spec as other hosts read it. */
export function writeSpec({ url, links, rest }: LatticeSpec): string {
  return JSON.stringify({ url, links, ...rest });
}

/**
 * A spec with one more link: in place of the one of the same source, target, namespace, package and name, else at the end. `undefined`
 * if another link already leads one of its interfaces to another target.
 */
export function withLink(spec: LatticeSpec, link: LatticeLink): LatticeSpec | undefined {
  if (spec.links.some((each) => conflicts(each, link))) return undefined;
  const links = [...spec.links];
  const at = links.findIndex((each) => each.target === link.target && hasSameKey(each, link));
  links.splice(at < 0 ? links.length : at, at < 0 ? 0 : 1, link);
  return { ...spec, links };
}

/** A spec without the first link of this key, and that link; `deleted` is left out if there is none. */
export function withoutLink(spec: LatticeSpec, key: LinkKey): { readonly spec: LatticeSpec; readonly deleted?: LatticeLink } {
  const at = spec.links.findIndex((each) => hasSameKey(each, key));
  if (at < 0) return { spec };
  return { spec: { ...spec, links: spec.links.toSpliced(at, 1) }, deleted: spec.links[at]! };
}
