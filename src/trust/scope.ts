import { isToken } from '../ids.ts';

/**
 * A scope as delegations spell it: `*` for every component, or component ids in ascending order, each once, separated by
 * commas. An empty text is a scope too: nobody.
 */

/** The scope that covers every component. */
export const EVERYBODY = '*';

/** True if `text` is a scope in its one spelling. */
export function isScope(text: string): boolean {
  if (text === EVERYBODY || text === '') return true;
  const ids = text.split(',');
  return ids.every((id, at) => isToken(id) && (at === 0 || ids[at - 1]! < id));
}

/** The scope of these component ids, in any order; `*` among them covers everybody. */
export function scopeOf(ids: readonly string[]): string {
  return ids.includes(EVERYBODY) ? EVERYBODY : [...new Set(ids)].toSorted((a, b) => (a < b ? -1 : 1)).join(',');
}

/** What two scopes have in common. */
export function commonScope(a: string, b: string): string {
  if (a === EVERYBODY) return b;
  if (b === EVERYBODY) return a;
  const ids = new Set(b.split(','));
  return a
    .split(',')
    .filter((id) => id !== '' && ids.has(id))
    .join(',');
}

/** A scope as a question: is this id in it? */
export function scopeTest(scope: string): (id: string) => boolean {
  if (scope === EVERYBODY) return () => true;
  const ids = new Set(scope === '' ? [] : scope.split(','));
  return (id) => ids.has(id);
}

/** True if everything in `inner` is in `outer`. */
export function isWithinScope(inner: string, outer: string): boolean {
  return inner === '' || outer === EVERYBODY || inner.split(',').every(scopeTest(outer));
}

/** The ids of a scope, or `*`. */
export function scopeIds(scope: string): readonly string[] | typeof EVERYBODY {
  if (scope === EVERYBODY) return EVERYBODY;
  return scope === '' ? [] : scope.split(',');
}
