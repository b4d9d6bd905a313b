import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** JSON as it is on the wire. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json };

/** A request and everything that answered it. Bodies are JSON where they are, else text. */
export interface GoldenExchange {
  readonly subject: string;
  readonly request: Json;
  readonly replies: readonly Json[];
}

/** What one command, or one message, made happen on a lattice. Events have no id and no time; those were looked at when it was recorded. */
export interface GoldenStep {
  readonly name: string;
  /** What was run, e.g. `wash get hosts`. */
  readonly command?: readonly string[];
  readonly exitCode?: number;
  /** What it printed on standard output, as JSON. */
  readonly output?: Json;
  readonly exchanges: readonly GoldenExchange[];
  readonly events: readonly { readonly subject: string; readonly data: Json }[];
  /** Other messages without a reply subject: links to providers. */
  readonly published: readonly { readonly subject: string; readonly body: Json }[];
  /** Keys that changed, `BUCKET/key`, with their value then; null: purged. */
  readonly kv: { readonly [key: string]: Json };
}

/** One file of golden traffic. */
export interface GoldenFile {
  /** Which program drove, which answered, in which versions. */
  readonly driver: string;
  readonly answeredBy: string;
  /** How to record it again. */
  readonly recordedWith: string;
  readonly server: string;
  readonly steps: readonly GoldenStep[];
  /** Settings of the streams of both buckets, as the answering host made them. */
  readonly streams?: { readonly [name: string]: Json };
}

const FOLDER = fileURLToPath(new URL('../fixtures/golden/', import.meta.url));

/** The golden traffic of `peer`, e.g. `wash-0.43.0`, by file name without `.json`. */
export function goldenFiles(peer: string): ReadonlyMap<string, GoldenFile> {
  const folder = join(FOLDER, peer);
  const names = readdirSync(folder).filter((name) => name.endsWith('.json'));
  return new Map(
    names.map((name) => [name.slice(0, -5), JSON.parse(readFileSync(join(folder, name), 'utf8')) as GoldenFile] as const),
  );
}

/**
 * Names for what differs from run to run: `{host}` for a host's id, `{components}` for a folder. The longest text is looked for
 * first, and what is learned later is put in everywhere.
 */
export class Placeholders {
  readonly #names = new Map<string, string>();

  /** From now on `text` is written `{name}`. */
  set(name: string, text: string): void {
    if (text !== '') this.#names.set(text, `{${name}}`);
  }

  /** Wire → golden. */
  hide(value: Json): Json {
    return mapTexts(value, (text) => this.hideText(text));
  }
  hideText(text: string): string {
    const texts = [...this.#names.keys()].toSorted((a, b) => b.length - a.length);
    return texts.reduce((hidden, each) => hidden.replaceAll(each, this.#names.get(each)!), text);
  }

  /** Golden → wire. */
  fill(value: Json): Json {
    return mapTexts(value, (text) => this.fillText(text));
  }
  fillText(text: string): string {
    return [...this.#names].reduce((filled, [real, name]) => filled.replaceAll(name, real), text);
  }
}

/** Fields whose values are of the moment; what kind of value they must have is looked at by {@link momentary}. */
const MOMENTARY: ReadonlyMap<string, RegExp> = new Map([
  ['uptime_seconds', /^\d+$/],
  ['uptime_human', /^\d+(?:s|m|h|day|days)(?: \d+(?:s|m|h))*$/],
  ['hostcore.arch', /^(?:x86_64|aarch64|arm|riscv64|s390x|powerpc64)$/],
  ['hostcore.os', /^(?:linux|macos|windows)$/],
  ['hostcore.osfamily', /^(?:unix|windows)$/],
]);

/**
 * The same value with `{uptime_human}` and the like for what is of the moment, and with lists of objects, which have no order on a
 * lattice, in an order that is always the same. @throws if a value of the moment is not of its kind
 */
export function momentary(value: Json): Json {
  if (isList(value)) {
    const list = value.map(momentary);
    return ordered(list);
  }
  if (!isObject(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, each]) => {
      const kind = MOMENTARY.get(name);
      if (kind === undefined || each === null) return [name, momentary(each)];
      if (!kind.test(typeof each === 'number' ? String(each) : JSON.stringify(each).slice(1, -1)))
        throw new Error(`${name} is ${JSON.stringify(each)}`);
      return [name, typeof each === 'number' ? 0 : `{${name}}`];
    }),
  );
}

/** Bytes as JSON where they are JSON, else as text. */
export function bodyOf(data: Uint8Array): Json {
  const text = Buffer.from(data).toString('utf8');
  if (text === '') return null;
  try {
    return JSON.parse(text) as Json;
  } catch {
    return text;
  }
}

function mapTexts(value: Json, change: (text: string) => string): Json {
  if (typeof value === 'string') return change(value);
  if (isList(value)) return value.map((each) => mapTexts(each, change));
  if (!isObject(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [change(name), mapTexts(each, change)]));
}

export const isList = (value: Json | undefined): value is readonly Json[] => Array.isArray(value);
export const isObject = (value: Json | undefined): value is { readonly [name: string]: Json } =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** The same text for the same value, whatever the order of its fields. */
export function canonical(value: Json | undefined): string {
  if (isList(value)) return `[${value.map(canonical).join()}]`;
  if (!isObject(value)) return JSON.stringify(value) ?? 'nothing';
  const fields = Object.keys(value).toSorted();
  return `{${fields.map((name) => `${JSON.stringify(name)}:${canonical(value[name])}`).join()}}`;
}

/** Lists of components, hosts, links in an order that is always the same: what has an id goes by it. */
export function ordered(list: readonly Json[]): readonly Json[] {
  const key = (value: Json): string => (isObject(value) ? canonical(value['id'] ?? value) : '');
  return list.every(isObject) ? list.toSorted((a, b) => (key(a) < key(b) ? -1 : 1)) : list;
}
