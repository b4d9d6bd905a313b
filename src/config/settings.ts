import { z } from 'zod';
import { hostConfigSchema } from './schema.ts';
import { type SettingExtra, settingExtras } from './schema/values.ts';

/** How a setting's text form (flag, environment) becomes a value. */
export type SettingKind = 'text' | 'path' | 'integer' | 'boolean' | 'choice' | 'list' | 'map' | 'structure' | 'text-or-false';

/** One setting, as flags, environment and documents see it. */
export interface Setting {
  /** Dotted path, e.g. `rpc.tls.caFile`; `components[].id` inside lists. */
  readonly name: string;
  readonly path: readonly string[];
  readonly kind: SettingKind;
  /** True for a path and for a list of paths. */
  readonly holdsPaths: boolean;
  readonly description: string;
  /** For `choice`. */
  readonly choices: readonly string[];
  /** Inclusive limits, for `integer`. */
  readonly range: readonly [min: number, max: number] | undefined;
  /** The default as documents show it, or `undefined` if there is none. */
  readonly defaultText: string | undefined;
  /** True if a file must give it (inside `components` and `links` only). */
  readonly required: boolean;
  /** True for settings inside a list of structures: they have no flag and no environment name of their own. */
  readonly nested: boolean;
  /** Environment names, the first one set wins. */
  readonly env: readonly string[];
  readonly flags: readonly string[];
  readonly secret: boolean;
}

const words = (key: string): string[] => key.split(/(?=[A-Z])/).map((word) => word.toLowerCase());

interface Unwrapped {
  readonly inner: z.core.$ZodType;
  readonly description: string;
  readonly format: unknown;
  readonly extra: SettingExtra;
  readonly optional: boolean;
  readonly hasDefault: boolean;
  readonly defaultValue: unknown;
}

function unwrap(schema: z.core.$ZodType): Unwrapped {
  let inner = schema;
  let optional = false;
  let hasDefault = false;
  let defaultValue: unknown;
  for (;;) {
    const def = (inner as z.ZodType).def as { type: string; innerType?: z.core.$ZodType; defaultValue?: unknown };
    if (def.innerType === undefined) break;
    if (def.type === 'optional') optional = true;
    if (def.type === 'default' || def.type === 'prefault') {
      hasDefault = true;
      defaultValue = def.defaultValue;
    }
    inner = def.innerType;
  }
  return {
    inner,
    description: z.globalRegistry.get(schema)?.description ?? '',
    format: z.globalRegistry.get(inner)?.['format'],
    extra: settingExtras.get(schema) ?? {},
    optional,
    hasDefault,
    defaultValue,
  };
}

/** A group of settings, for documents. */
export interface SettingGroup {
  readonly name: string;
  readonly description: string;
  readonly nested: boolean;
  readonly settings: readonly Setting[];
}

function walk(
  schema: z.core.$ZodType,
  path: readonly string[],
  name: string,
  nested: boolean,
  groups: SettingGroup[],
  description: string,
): void {
  const settings: Setting[] = [];
  groups.push({ name, description, nested, settings });
  const { shape } = schema as z.ZodObject;
  for (const [key, field] of Object.entries(shape)) {
    const found = unwrap(field);
    const fieldPath = [...path, key];
    const fieldName = name === '' ? key : `${name}.${key}`;
    if (found.inner instanceof z.ZodObject) {
      walk(found.inner, fieldPath, fieldName, nested, groups, found.description);
      continue;
    }
    settings.push(describe(found, fieldPath, fieldName, nested));
    const element = found.inner instanceof z.ZodArray ? found.inner.element : undefined;
    if (element instanceof z.ZodObject) walk(element, [], `${fieldName}[]`, true, groups, found.description);
  }
}

function describe(found: Unwrapped, path: readonly string[], name: string, nested: boolean): Setting {
  const { inner, extra } = found;
  const kind = kindOf(inner, found.format);
  const flagged = !nested && extra.secret !== true && kind !== 'structure';
  return {
    name,
    path,
    kind,
    holdsPaths: kind === 'path' || (inner instanceof z.ZodArray && unwrap(inner.element).format === 'path'),
    description: found.description,
    choices: inner instanceof z.ZodEnum ? inner.options.map(String) : [],
    range: inner instanceof z.ZodNumber ? [inner.minValue ?? 0, inner.maxValue ?? Number.MAX_SAFE_INTEGER] : undefined,
    defaultText: extra.defaultText ?? (found.hasDefault ? JSON.stringify(found.defaultValue) : undefined),
    required: !found.optional && !found.hasDefault,
    nested,
    env: nested ? [] : [`TRELLIS_${path.flatMap(words).join('_').toUpperCase()}`, ...(extra.env ?? [])],
    flags: flagged ? [`--${path.flatMap(words).join('-')}`, ...(extra.flags ?? [])] : [],
    secret: extra.secret === true,
  };
}

function kindOf(schema: z.core.$ZodType, format: unknown): SettingKind {
  if (schema instanceof z.ZodNumber) return 'integer';
  if (schema instanceof z.ZodBoolean) return 'boolean';
  if (schema instanceof z.ZodEnum) return 'choice';
  if (schema instanceof z.ZodRecord) return 'map';
  if (schema instanceof z.ZodUnion) return 'text-or-false';
  if (schema instanceof z.ZodArray) return schema.element instanceof z.ZodObject ? 'structure' : 'list';
  return format === 'path' ? 'path' : 'text';
}

let cached: readonly SettingGroup[] | undefined;

/** Returns every setting of the schema, grouped as a file nests them; the first group has no name. */
export function settingGroups(): readonly SettingGroup[] {
  if (cached === undefined) {
    const groups: SettingGroup[] = [];
    walk(hostConfigSchema, [], '', false, groups, '');
    cached = groups;
  }
  return cached;
}

/** Returns every setting, in the order of the schema. */
export function listSettings(): readonly Setting[] {
  return settingGroups().flatMap((group) => group.settings);
}
