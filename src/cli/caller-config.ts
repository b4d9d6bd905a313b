import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { loadConfig } from '../config/load.ts';
import { formatProblems } from '../config/problems.ts';
import type { HostConfig } from '../config/schema.ts';
import { TrellisError } from '../errors.ts';
import { packageDir } from './package-dir.ts';

/**
 * The configuration of a command that joins a lattice: the file named, or environment and defaults over the development lattice
 * that `trellis up` left word of. @throws TRELLIS_CONFIG_INVALID
 */
export function callerConfig(file: string | undefined): HostConfig {
  const development = join(packageDir, '.trellis', 'dev', 'caller.yaml');
  const chosen = file ?? process.env['TRELLIS_CONFIG'] ?? (existsSync(development) ? development : undefined);
  const { config, problems } = loadConfig({ env: process.env, ...(chosen === undefined ? {} : { file: chosen }) });
  if (config !== undefined) return config;
  throw new TrellisError('TRELLIS_CONFIG_INVALID', { message: formatProblems(problems).trim() });
}
