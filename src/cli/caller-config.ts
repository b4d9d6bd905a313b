import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { loadConfig, type LoadedConfig } from '../config/load.ts';
import { formatProblems } from '../config/problems.ts';
import type { HostConfig } from '../config/schema.ts';
import { TrellisError } from '../errors.ts';
import { packageDir } from './package-dir.ts';

/** What the development lattice that was started last left for callers; both forms may run. */
function runningLattice(): string | undefined {
  const files = ['dev', 'dev-secure'].map((name) => join(packageDir, '.trellis', name, 'caller.yaml'));
  const startedMs = (path: string): number => statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  const [last] = files.filter((path) => existsSync(path)).sort((a, b) => startedMs(b) - startedMs(a));
  return last;
}

/**
 * What a command that joins a lattice goes by: the file named, or environment and defaults over the development lattice that
 * `trellis up` left word of; with everything that is wrong with it.
 */
export function loadCallerConfig(file: string | undefined): LoadedConfig {
  const chosen = file ?? process.env['TRELLIS_CONFIG'] ?? runningLattice();
  return loadConfig({ env: process.env, ...(chosen === undefined ? {} : { file: chosen }) });
}

/** The same, where nothing may be wrong with it. @throws TRELLIS_CONFIG_INVALID */
export function callerConfig(file: string | undefined): HostConfig {
  const { config, problems } = loadCallerConfig(file);
  if (config !== undefined) return config;
  throw new TrellisError('TRELLIS_CONFIG_INVALID', { message: formatProblems(problems).trim() });
}
