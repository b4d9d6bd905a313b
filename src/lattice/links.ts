import { isJsonObject } from '../json-object.ts';

/**
 * A link as it stands in the lattice's data and in control messages: a binding of a source's imports to a target. All its parts are
 * strings that others chose; what becomes part of a subject is validated in `src/ids.ts` where that happens.
 */
export interface LatticeLink {
  /** Component or provider that imports. */
  readonly source_id: string;
  /** Component or provider that serves. */
  readonly target: string;
  /** `default` unless it has a name of its own. */
  readonly name: string;
  readonly wit_namespace: string;
  readonly wit_package: string;
  /** Interfaces without namespace and package; some writers leave the version in. */
  readonly interfaces: readonly string[];
  /** Names of configurations that the source gets with it, merged in order. */
  readonly source_config: readonly string[];
  /** Names of configurations that the target gets with it, merged in order. */
  readonly target_config: readonly string[];
}

/** By what a link is deleted: neither its target nor its interfaces are part of it. */
export type LinkKey = Pick<LatticeLink, 'source_id' | 'name' | 'wit_namespace' | 'wit_package'>;

/** The name of a link that was given none. */
export const DEFAULT_LINK_NAME = 'default';

/**
 * Reads a link as wasmCloud 1.x does: unknown fields are ignored, `name` and the lists of configurations may be left out. `undefined`
 * for anything else. Never throws.
 */
export function readLink(value: unknown): LatticeLink | undefined {
  if (!isJsonObject(value)) return undefined;
  const { source_id, target, name = DEFAULT_LINK_NAME, wit_namespace, wit_package, interfaces } = value;
  const { source_config = [], target_config = [] } = value;
  if (typeof source_id !== 'string' || typeof target !== 'string' || typeof name !== 'string') return undefined;
  if (typeof wit_namespace !== 'string' || typeof wit_package !== 'string') return undefined;
  if (!isTexts(interfaces) || !isTexts(source_config) || !isTexts(target_config)) return undefined;
  return { source_id, target, name, wit_namespace, wit_package, interfaces, source_config, target_config };
}

/** Reads what names a link to delete; `name` may be left out. `undefined` for anything else. Never throws. */
export function readLinkKey(value: unknown): LinkKey | undefined {
  if (!isJsonObject(value)) return undefined;
  const { source_id, name = DEFAULT_LINK_NAME, wit_namespace, wit_package } = value;
  if (typeof source_id !== 'string' || typeof name !== 'string') return undefined;
  if (typeof wit_namespace !== 'string' || typeof wit_package !== 'string') return undefined;
  return { source_id, name, wit_namespace, wit_package };
}

/** True if both are found by the same {@link LinkKey}. */
export function hasSameKey(a: LinkKey, b: LinkKey): boolean {
  return (
    a.source_id === b.source_id && a.name === b.name && a.wit_namespace === b.wit_namespace && a.wit_package === b.wit_package
  );
}

/** True if the two cannot stand beside each other: one import of one source would lead to two targets. */
export function conflicts(a: LatticeLink, b: LatticeLink): boolean {
  return hasSameKey(a, b) && a.target !== b.target && a.interfaces.some((each) => b.interfaces.includes(each));
}

/** True if every part is the same, in the same order. */
export function isSameLink(a: LatticeLink, b: LatticeLink): boolean {
  return (
    hasSameKey(a, b) &&
    a.target === b.target &&
    isSameList(a.interfaces, b.interfaces) &&
    isSameList(a.source_config, b.source_config) &&
    isSameList(a.target_config, b.target_config)
  );
}

function isSameList(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((each, at) => each === b[at]);
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((each) => typeof each === 'string');
}
