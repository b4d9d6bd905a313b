import type { Link } from '../../src/invocation/link-table.ts';

/** A link named `default` for `a:b/c`. */
export const link = (source: string, target: string): Link => ({
  source,
  target,
  name: 'default',
  namespace: 'a',
  package: 'b',
  interfaces: ['c'],
});
