import type { Denial } from './denial.ts';

/**
 * What the verifier asks about links. The receiving host answers from its own table; that the caller believes in a link is no
 * reason to run the call.
 */
export interface LinkTable {
  /** True if `origin` has a link called `link` to `target` that carries `instance` (interface with version); most tables let it call any `func` of that. */
  allows(origin: string, link: string, instance: string, target: string, func: string): boolean;
  /** Why not, where a table has words of its own for it. */
  refusal?(origin: string): Denial;
}
