import type { CheckContext } from '../config/check-context.ts';
import { loadConfig, type LoadedConfig, type LoadOptions } from '../config/load.ts';
import type { Problem } from '../config/problems.ts';
import { checkStart } from '../config/start-checks.ts';
import { keyFacts } from './key-facts.ts';
import { processFacts } from './process-facts.ts';

/** A configuration with everything that is wrong or unwise about it. */
export interface CheckedConfig extends LoadedConfig {
  /** True if nothing may run with it: some problem is refused, or a value could not be read. */
  readonly refused: boolean;
}

/** Reads flags, environment and file, and the files they name, and judges all of it. Never throws for what a user wrote. */
export function checkedConfig(options: LoadOptions): CheckedConfig {
  const loaded = loadConfig(options);
  const problems = [...loaded.problems, ...startProblems(loaded)];
  const refused = loaded.config === undefined || problems.some(({ severity }) => severity === 'refused');
  return { ...loaded, problems, refused };
}

function startProblems(loaded: LoadedConfig): Problem[] {
  if (loaded.readable === undefined) return [];
  const context: CheckContext = {
    config: loaded.readable,
    sourceOf: (setting) => loaded.sourceOf(setting),
    keys: keyFacts,
    process: processFacts(),
  };
  return checkStart(context);
}
