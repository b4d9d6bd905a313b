import { isJsonObject } from '../json-object.ts';

/** A plain tree of values as a file nests them. */
export type Tree = Record<string, unknown>;

/** True for a plain nested group of settings (not a list, not null). */
export function isTree(value: unknown): value is Tree {
  return isJsonObject(value);
}

/** Where a value came from when nobody set it. */
const DEFAULT_SOURCE = 'the default';

/**
 * Values from several sources laid over one another; each path remembers the source that won. Trees have no prototype, so
 * a setting called `__proto__` is an unknown setting and nothing else.
 */
export class Layers {
  readonly tree: Tree = Object.create(null) as Tree;
  readonly #sources = new Map<string, string>();

  /** Puts `value` at `path`, over what a lower layer put there. */
  set(path: readonly string[], value: unknown, source: string): void {
    let node = this.tree;
    for (const key of path.slice(0, -1)) {
      let next = node[key];
      if (!isTree(next)) node[key] = next = Object.create(null) as Tree;
      node = next as Tree;
    }
    node[path.at(-1)!] = value;
    this.mark(path.join('.'), source);
  }

  /** The value at `path`, or `undefined`. */
  get(path: readonly string[]): unknown {
    let node: unknown = this.tree;
    for (const key of path) node = isTree(node) ? node[key] : undefined;
    return node;
  }

  /** Remembers where the value at a dotted path came from; what lies below it is forgotten. */
  mark(name: string, source: string): void {
    for (const known of this.#sources.keys()) {
      if (known.startsWith(`${name}.`) || known.startsWith(`${name}[`)) this.#sources.delete(known);
    }
    this.#sources.set(name, source);
  }

  /** Where the value at a dotted path came from: its own mark, or that of the nearest group around it. */
  sourceOf(name: string): string {
    for (let at = name; at !== ''; at = at.replace(/(?:\.|^)[^.[\]]+$|\[\d+\]$/, '')) {
      const source = this.#sources.get(at);
      if (source !== undefined) return source;
    }
    return DEFAULT_SOURCE;
  }
}

/** Returns a dotted name for a path as zod reports it: `components[0].id`. */
export function pathName(path: readonly PropertyKey[]): string {
  let name = '';
  for (const key of path) {
    if (typeof key === 'number') name += `[${key}]`;
    else name += name === '' ? String(key) : `.${String(key)}`;
  }
  return name;
}
