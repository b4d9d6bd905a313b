/**
 * Whose matter an error is:
 *
 * - `user`: the caller or operator can fix it (settings, arguments, a component that cannot be loaded).
 * - `denied`: refused on purpose (trust, permissions, policy).
 * - `peer`: another process or machine misbehaved or is away.
 * - `system`: this host could not do its part.
 */
export type ErrorCategory = 'user' | 'denied' | 'peer' | 'system';

/** Process exit codes the commands and the daemon use. */
export const EXIT = {
  ok: 0,
  unexpected: 1,
  usage: 2,
  notFound: 3,
  denied: 4,
  unreachable: 5,
  timeout: 6,
  componentFailed: 7,
  latticeLost: 69,
  config: 78,
} as const;

/** What the catalogue says of a code. */
export interface CatalogueEntry {
  readonly category: ErrorCategory;
  /** True if the same call may succeed later without anybody changing anything. */
  readonly retryable: boolean;
  readonly exitCode: number;
  /** One sentence: what happened. */
  readonly meaning: string;
  /** One sentence: the command or setting that fixes it. */
  readonly remedy: string;
}

/** An entry of the catalogue, a line a field. */
export const entry = (
  category: ErrorCategory,
  exitCode: number,
  retryable: boolean,
  meaning: string,
  remedy: string,
): CatalogueEntry => ({ category, retryable, exitCode, meaning, remedy });
