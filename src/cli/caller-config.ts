import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { type FlagValue, type LoadedConfig, loadConfig, type LoadOptions } from '../config/load.ts';
import type { HostConfig } from '../config/schema.ts';
import { listSettings } from '../config/settings.ts';
import { TrellisError } from '../errors.ts';
import { type CommandSigner, ContextStore } from './lattice/context-store.ts';
import { packageDir } from './package-dir.ts';

export type { CommandSigner };

/** Where a command that joins a lattice takes its settings from. */
export interface CallerSources {
  /** Configuration file, as of a host. */
  readonly file?: string | undefined;
  /** Name of a context; the one in use if left out, unless there is a file. */
  readonly context?: string | undefined;
  /** Settings by flags. */
  readonly flags?: readonly GivenSetting[];
}

/** A setting that a flag gives. */
export interface GivenSetting {
  /** Its dotted name. */
  readonly setting: string;
  readonly text: string;
  readonly flag: string;
}

/** What the development lattice that was started last left for callers; both forms may run. */
function runningLattice(): string | undefined {
  const files = ['dev', 'dev-secure'].map((name) => join(packageDir, '.trellis', name, 'caller.yaml'));
  const startedMs = (path: string): number => statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  const [last] = files.filter((path) => existsSync(path)).sort((a, b) => startedMs(b) - startedMs(a));
  return last;
}

/**
 * What a command that looks at this machine's host goes by: the file named, or environment and defaults over the development lattice
 * that `trellis up` left word of; with everything that is wrong with it.
 */
export function loadCallerConfig(file: string | undefined): LoadedConfig {
  const chosen = file ?? (process.env['TRELLIS_CONFIG'] || undefined) ?? runningLattice();
  return loadConfig({ env: process.env, ...(chosen === undefined ? {} : { file: chosen }) });
}

/**
 * What a command that joins a lattice goes by, strongest first: flags; the context that was asked for (`--context`, `TRELLIS_CONTEXT`);
 * environment; the file that was named; without one the context in use; without that the running development lattice, unless a flag
 * says which servers; defaults.
 *
 * @throws TRELLIS_CONFIG_INVALID, TRELLIS_CONTEXT_UNKNOWN, TRELLIS_CONTEXT_INVALID
 */
export function callerConfig(sources: CallerSources): HostConfig {
  return callerSettings(sources).config;
}

/** The same, and who signs commands if the context says so. */
export function callerSettings({ file, context, flags = [] }: CallerSources): {
  readonly config: HostConfig;
  readonly signer: CommandSigner | undefined;
} {
  const named = file ?? (process.env['TRELLIS_CONFIG'] || undefined);
  const askedFor = context ?? (process.env['TRELLIS_CONTEXT'] || undefined);
  const kept = keptContext(askedFor, named);
  const elsewhere = flags.some(({ setting }) => setting === 'ctl.servers');
  const chosen = named ?? (kept === undefined && !elsewhere ? runningLattice() : undefined);
  const { config, problems } = loadConfig({
    env: process.env,
    flags: flags.map(flagValue),
    ...(chosen === undefined ? {} : { file: chosen }),
    ...(kept === undefined ? {} : { context: kept.layer }),
  });
  const refused = problems.filter(({ severity }) => severity === 'refused');
  const [first] = refused;
  // What cannot be read would be a default: a command would go to another lattice than the one that was named.
  if (config !== undefined && first === undefined) return { config, signer: kept?.signer };
  const more = refused.length > 1 ? `; ${refused.length - 1} more: node host.js --check-config lists all` : '';
  const said = first === undefined ? {} : { message: `${first.summary} (${first.source})${more}`, remedy: first.fix };
  throw new TrellisError('TRELLIS_CONFIG_INVALID', said);
}

function flagValue({ setting: name, text, flag }: GivenSetting): FlagValue {
  return { setting: listSettings().find((setting) => setting.name === name)!, text, flag };
}

interface KeptContext {
  readonly layer: NonNullable<LoadOptions['context']>;
  readonly signer: CommandSigner | undefined;
}

function keptContext(askedFor: string | undefined, file: string | undefined): KeptContext | undefined {
  const store = new ContextStore();
  const name = askedFor ?? (file === undefined ? store.selected() : undefined);
  if (name === undefined) return undefined;
  if (askedFor === undefined && !store.names(name)) {
    throw new TrellisError('TRELLIS_CONTEXT_UNKNOWN', {
      message: `the context in use, ${name}, is gone`,
      remedy: 'Use another one with trellis ctx use NAME, or none with trellis ctx use --none.',
    });
  }
  const { settings, signer } = store.get(name);
  return { layer: { settings, source: `the context ${name}`, askedFor: askedFor !== undefined }, signer };
}
