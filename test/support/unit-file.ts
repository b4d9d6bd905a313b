import { readFileSync } from 'node:fs';

/** A systemd unit: values of each key by section, in order. */
export type UnitFile = ReadonlyMap<string, ReadonlyMap<string, readonly string[]>>;

/** Reads a unit file: sections, `Key=value` lines, comments; no continuation lines (an error). */
export function readUnitFile(file: string): UnitFile {
  const sections = new Map<string, Map<string, string[]>>();
  let current: Map<string, string[]> | undefined;
  for (const line of readFileSync(file, 'utf8').split('\n')) {
    if (/^\s*(?:[#;].*)?$/.test(line)) continue;
    const header = /^\[(\w+)\]$/.exec(line);
    if (header !== null) {
      current = new Map();
      sections.set(header[1]!, current);
      continue;
    }
    const pair = /^([A-Za-z]+)=(.*[^\\]|)$/.exec(line);
    if (pair === null || current === undefined) throw new Error(`this reader does not understand the line: ${line}`);
    current.set(pair[1]!, [...(current.get(pair[1]!) ?? []), pair[2]!]);
  }
  return sections;
}

/** The values of one key, `[]` if it is not there. */
export function unitValues(unit: UnitFile, section: string, key: string): readonly string[] {
  return unit.get(section)?.get(key) ?? [];
}

/** The only value of a key. @throws if there is none, or several */
export function unitValue(unit: UnitFile, section: string, key: string): string {
  const [value, ...more] = unitValues(unit, section, key);
  if (value === undefined || more.length > 0)
    throw new Error(`${key} stands ${more.length + (value === undefined ? 0 : 1)} times in [${section}]`);
  return value;
}
