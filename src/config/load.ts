import { layEnvironment } from './environment.ts';
import type { Environment } from './environment.ts';
import { layFile } from './config-file.ts';
import { layCredentials } from './credential-paths.ts';
import { isTree, Layers, pathName, type Tree } from './layers.ts';
import { isPlainLogin, plainLogin } from './plain-logins.ts';
import { showValue } from './problems.ts';
import type { Problem } from './problems.ts';
import { hostConfigSchema } from './schema.ts';
import type { HostConfig } from './schema.ts';
import { settingGroups, listSettings } from './settings.ts';
import type { Setting } from './settings.ts';
import { nearest } from './suggest.ts';
import { textToValue } from './text-values.ts';

/** A flag as given: which setting, its text, and how it was spelled. */
export interface FlagValue {
  readonly flag: string;
  readonly setting: Setting;
  readonly text: string;
}

/** Where a configuration comes from, weakest last: flags, environment, file, defaults. */
export interface LoadOptions {
  readonly flags?: readonly FlagValue[];
  /** Values that stand outside a single setting's flag: `--label k=v`, `--component id=file`. */
  readonly extra?: readonly { readonly path: readonly string[]; readonly value: unknown; readonly flag: string }[];
  readonly env?: Environment;
  /** YAML or JSON file; `TRELLIS_CONFIG` if left out. */
  readonly file?: string;
  /** Settings that somebody keeps under a name: over environment and file if it was asked for, below both if it is only there. */
  readonly context?: { readonly settings: Tree; readonly source: string; readonly askedFor: boolean };
}

/** What {@link loadConfig} found. */
export interface LoadedConfig {
  /** The complete configuration, or `undefined` if some value could not be read. */
  readonly config: HostConfig | undefined;
  /** What could be read, with defaults in place of what could not: for judging the rest, never for running. */
  readonly readable: HostConfig | undefined;
  /** Everything that is wrong with names, shapes and values; what is unwise is the matter of `checkStart`. */
  readonly problems: readonly Problem[];
  /** Where a setting's value came from, by dotted path. */
  readonly sourceOf: (setting: string) => string;
}

/**
 * Returns the configuration that flags, environment, file and defaults make together, and every problem at once.
 * Never throws for what a user wrote.
 */
export function loadConfig(options: LoadOptions = {}): LoadedConfig {
  const env = options.env ?? {};
  const layers = new Layers();
  const problems: Problem[] = [];
  const file = options.file ?? (env['TRELLIS_CONFIG'] || undefined);
  const { context } = options;
  if (context?.askedFor === false) layTree(layers, context.settings, [], context.source);
  if (file !== undefined) problems.push(...layFile(layers, file));
  problems.push(...secretsInFile(layers));
  problems.push(...layEnvironment(layers, env));
  if (context?.askedFor === true) layTree(layers, context.settings, [], context.source);
  for (const { flag, setting, text } of options.flags ?? []) {
    const value = textToValue(setting, text);
    const source = `the flag ${flag}`;
    // A flag for a list may be repeated.
    const before = setting.kind === 'list' && layers.sourceOf(setting.name) === source ? layers.get(setting.path) : undefined;
    layers.set(setting.path, Array.isArray(before) && Array.isArray(value) ? [...before, ...value] : value, source);
  }
  for (const { path, value, flag } of options.extra ?? []) {
    const before = layers.get(path);
    layers.set(
      path,
      Array.isArray(value) && Array.isArray(before) ? [...(before as unknown[]), ...value] : value,
      `the flag ${flag}`,
    );
  }
  problems.push(...layCredentials(layers, env));
  const parsed = hostConfigSchema.safeParse(layers.tree);
  if (!parsed.success) problems.push(...parsed.error.issues.flatMap((issue) => issueProblems(issue, layers)));
  const readable = parsed.success
    ? parsed.data
    : hostConfigSchema.safeParse(withoutFaults(layers.tree, parsed.error.issues)).data;
  return { config: parsed.data, readable, problems, sourceOf: (setting) => layers.sourceOf(setting) };
}

function layTree(layers: Layers, tree: Tree, path: readonly string[], source: string): void {
  for (const [key, value] of Object.entries(tree)) {
    if (isTree(value)) layTree(layers, value, [...path, key], source);
    else layers.set([...path, key], value, source);
  }
}

/** Secrets have no place in a file of settings, which is copied, committed and read by others. */
function secretsInFile(layers: Layers): Problem[] {
  const found = listSettings().filter((setting) => setting.secret && layers.get(setting.path) !== undefined);
  return found.map((setting) => ({
    code: 'START-14',
    severity: 'refused',
    summary: `${setting.name} must not stand in the configuration file.`,
    setting: setting.name,
    source: layers.sourceOf(setting.name),
    why: 'Configuration files are copied, committed and read by others.',
    fix: `Put it into a file of its own (mode 0600) and set ${setting.name}File to its path.`,
  }));
}

/** A copy of the settings without those that could not be read; of a list with a fault nothing is kept. */
function withoutFaults(tree: Tree, issues: readonly Issue[]): Tree {
  const copy = structuredClone(tree);
  for (const issue of issues) {
    const list = issue.path.findIndex((part) => typeof part === 'number');
    const path = (list < 0 ? issue.path : issue.path.slice(0, list)).map(String);
    const keys = issue.code === 'unrecognized_keys' && list < 0 ? issue.keys : [path.pop() ?? ''];
    const parent = path.reduce<unknown>((at, part) => (isTree(at) ? at[part] : undefined), copy);
    if (isTree(parent)) for (const key of keys) delete parent[key];
  }
  return copy;
}

type Issue = NonNullable<ReturnType<typeof hostConfigSchema.safeParse>['error']>['issues'][number];

function issueProblems(issue: Issue, layers: Layers): Problem[] {
  const name = pathName(issue.path);
  if (issue.code === 'unrecognized_keys') return issue.keys.map((key) => unknownSetting(name, key, layers));
  const value = valueAt(layers.tree, issue.path);
  const setting = listSettings().find((candidate) => candidate.name === name.replace(/\[\d+\]/g, '[]').replace(/\[\]$/, ''));
  const range = setting?.range === undefined ? '' : ` from ${setting.range[0]} to ${setting.range[1]}`;
  return [
    {
      code: isName(name) ? 'START-13' : 'START-14',
      severity: 'refused',
      summary:
        value === undefined ? `${name} is missing.` : `${name} ${reason(issue, setting)}${issue.code === 'custom' ? '' : range}.`,
      setting: name,
      source: layers.sourceOf(name),
      ...(value === undefined || setting?.secret === true || typeof value === 'object' ? {} : { value: shownValue(name, value) }),
      why: isName(name)
        ? 'Names become parts of NATS subjects, where other characters have a meaning.'
        : 'A host that guesses what was meant would run with something else.',
      fix: howToFix(setting, name, value),
    },
  ];
}

/** A malformed key may be a mistyped seed, so it is not shown at all. */
function shownValue(name: string, value: unknown): string {
  return name.startsWith('trust.clusterIssuers') ? '(not shown)' : showValue(value);
}

function isName(name: string): boolean {
  return (
    name === 'lattice' ||
    /^(?:components\[\d+\]\.id|links\[\d+\]\.(?:source|target|name)|trust\.unlinkedOrigins\[\d+\])$/.test(name)
  );
}

function reason(issue: Issue, setting: Setting | undefined): string {
  if (issue.code === 'invalid_value') return `must be one of ${(setting?.choices ?? []).join(', ')}`;
  if (issue.code === 'invalid_type') return `must be ${article(issue.expected)}`;
  if (issue.code === 'too_small' || issue.code === 'too_big') {
    return setting?.range === undefined ? 'is too short or too long' : 'must be a whole number';
  }
  return issue.message.startsWith('must') ? issue.message : 'is not allowed';
}

function article(type: string): string {
  const words: Readonly<Record<string, string>> = {
    int: 'a whole number',
    number: 'a whole number',
    boolean: 'true or false',
    string: 'text',
    array: 'a list',
    object: 'a group of settings',
    record: 'a group of names and texts',
  };
  return words[type] ?? 'something else';
}

function howToFix(setting: Setting | undefined, name: string, value: unknown): string {
  if (value === undefined) return `Set ${name}.`;
  if (typeof value === 'number' || typeof value === 'boolean') {
    if (setting === undefined || setting.kind === 'text' || setting.kind === 'path') return 'Put the value in quotes.';
  }
  switch (setting?.kind) {
    case 'choice':
      return `Set ${name} to ${setting.choices.join(' or ')}.`;
    case 'integer':
      return `Set ${name} to a number in that range, without quotes or units.`;
    case 'boolean':
      return `Set ${name} to true or false.`;
    default:
      return 'Correct the value; docs/config.md describes the setting.';
  }
}

function unknownSetting(group: string, key: string, layers: Layers): Problem {
  const name = group === '' ? key : `${group}.${key}`;
  if (isPlainLogin(group, key)) return plainLogin(name, layers.sourceOf(name));
  const groupName = group.replace(/\[\d+\]/g, '[]');
  const known = settingGroups();
  const siblings = [
    ...(known.find((candidate) => candidate.name === groupName)?.settings ?? []).map((setting) => setting.name),
    ...known.map((candidate) => candidate.name),
  ].filter((candidate) => candidate !== '');
  const last = (dotted: string): string => dotted.split('.').at(-1)!.replace('[]', '');
  const direct = siblings.filter(
    (candidate) => candidate === (groupName === '' ? last(candidate) : `${groupName}.${last(candidate)}`),
  );
  const meant = nearest(key, direct.map(last)) ?? listSettings().find((setting) => last(setting.name) === key)?.name;
  return {
    code: 'START-14',
    severity: 'refused',
    summary: `There is no setting ${showValue(name)}.`,
    setting: showValue(name),
    source: layers.sourceOf(name),
    why: 'A misspelt setting would silently keep its default.',
    fix:
      meant === undefined
        ? 'Remove it; docs/config.md lists all settings.'
        : `Did you mean ${meant.includes('.') || group === '' ? meant : `${group}.${meant}`}?`,
  };
}

function valueAt(tree: unknown, path: readonly PropertyKey[]): unknown {
  let node = tree;
  for (const key of path)
    node = typeof node === 'object' && node !== null ? (node as Record<PropertyKey, unknown>)[key] : undefined;
  return node;
}
