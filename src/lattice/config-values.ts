import { parseJsonObject } from '../json-object.ts';

/** A named configuration. */
export type ConfigValues = Readonly<Record<string, string>>;

const NAME = /^[-/_=a-zA-Z0-9]{1,256}$/;

/** True if a configuration may be called so: one token of a subject, and a key of a bucket. */
export function isConfigName(name: string): boolean {
  return NAME.test(name);
}

/** True if it names a reference to a secret instead of a configuration. */
export function isSecretName(name: string): boolean {
  return name.startsWith('SECRET');
}

/** Reads a map of strings, or `undefined` if it is none. Never throws. */
export function readConfigValues(text: string): ConfigValues | undefined {
  const value = parseJsonObject(text);
  if (value === undefined) return undefined;
  return Object.values(value).every((each) => typeof each === 'string') ? (value as Record<string, string>) : undefined;
}

/** All of them as one: of equal keys the later one counts. */
export function mergedValues(parts: Iterable<ConfigValues>): ConfigValues {
  const merged = new Map<string, string>();
  for (const part of parts) for (const [key, value] of Object.entries(part)) merged.set(key, value);
  // Not by assignment: `__proto__` is a key like any other.
  return Object.fromEntries(merged);
}
