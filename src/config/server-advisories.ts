import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { z } from 'zod';

const version = z.string().regex(/^\d+\.\d+\.\d+$/);
const advisorySchema = z.strictObject({
  id: z.string(),
  aliases: z.array(z.string()),
  what: z.string(),
  critical: z.boolean(),
  since: version,
  fixed: z.array(version).min(1),
});
const fileSchema = z.strictObject({
  asOf: z.iso.date(),
  source: z.url(),
  advisories: z.array(advisorySchema),
});

/** One published fault of nats-server. */
export type ServerAdvisory = z.infer<typeof advisorySchema>;

/** The published faults that this version of Trellis knows of. */
export interface ServerAdvisories {
  /** Day of the newest that could be known, `2026-06-29`. */
  readonly asOf: string;
  readonly advisories: readonly ServerAdvisory[];
}

let cached: ServerAdvisories | undefined;

/** Reads `config/nats-advisories.yaml` of this package. @throws Error when the package is damaged */
export function serverAdvisories(): ServerAdvisories {
  cached ??= parseAdvisories(readFileSync(new URL('../../config/nats-advisories.yaml', import.meta.url), 'utf8'));
  return cached;
}

/** Reads the text of such a file. @throws z.ZodError, Error */
export function parseAdvisories(text: string): ServerAdvisories {
  // YAML takes 2.14.0 for a text, and a date for a text too in its core schema.
  return fileSchema.parse(parse(text));
}

/** The advisories that a server of this version (`2.14.0`, `2.12.0-RC.1`) is open to; all of them when it cannot be read. */
export function advisoriesFor(serverVersion: string, { advisories }: ServerAdvisories): readonly ServerAdvisory[] {
  const found = readVersion(serverVersion);
  if (found === undefined) return advisories;
  return advisories.filter(({ since, fixed }) => compare(found, readVersion(since)!) >= 0 && !isFixed(found, fixed));
}

type Version = readonly [major: number, minor: number, patch: number];

function readVersion(text: string): Version | undefined {
  const [, major, minor, patch] = /^v?(\d{1,6})\.(\d{1,6})\.(\d{1,6})/.exec(text) ?? [];
  return patch === undefined ? undefined : [Number(major), Number(minor), Number(patch)];
}

function compare(a: Version, b: Version): number {
  return a[0] - b[0] || a[1] - b[1] || a[2] - b[2];
}

/** A line of releases is good from its own fix on, and a line above all of them was begun with it. */
function isFixed(found: Version, fixed: readonly string[]): boolean {
  const fixes = fixed.map((text) => readVersion(text)!).toSorted(compare);
  const own = fixes.find(([major, minor]) => major === found[0] && minor === found[1]);
  return own === undefined ? compare(found, fixes.at(-1)!) > 0 : compare(found, own) >= 0;
}
