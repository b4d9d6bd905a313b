import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { z } from 'zod';
import { TrellisError } from '../errors.ts';

/** A value that a template takes. */
export interface TemplateParameter {
  readonly description: string;
  /** `token`: one subject token. `subject`: several, joined by dots. */
  readonly form: 'token' | 'subject';
  /** True if it takes several values; an entry that names it is repeated for each. */
  readonly list: boolean;
  /** What stands for it when no value is given; without one the value is required. */
  readonly fallback: readonly string[] | undefined;
}

/** Subjects as a file writes them: `{name}` stands for a value, `{{subject()}}` for the user's own public key. */
export interface TemplateRights {
  readonly publish: readonly string[];
  readonly subscribe: readonly string[];
  /** For each prefix of a publish subject, the prefix under which the rest is granted as well. */
  readonly also: Readonly<Record<string, string>>;
  readonly parameters: Readonly<Record<string, TemplateParameter>>;
}

/** What can be switched on in addition. */
export interface TemplateExtension extends TemplateRights {
  readonly description: string;
}

/** A kind of user: what it may do, as data. */
export interface PermissionTemplate extends TemplateRights {
  /** Name of the file without its ending. */
  readonly name: string;
  readonly description: string;
  readonly partition: 'ctl' | 'rpc' | 'system';
  /** True for users with which a leaf node logs in. */
  readonly leaf: boolean;
  /** What this kind of user cannot protect against, in words for whoever chooses it. */
  readonly weakness: string | undefined;
  readonly responses: { readonly max: number; readonly ttlMs: number } | undefined;
  readonly extensions: Readonly<Record<string, TemplateExtension>>;
}

const here = (path: string): string => fileURLToPath(new URL(`../../config/${path}`, import.meta.url));
/** The folder with the templates that come with Trellis. */
export const TEMPLATES_DIR: string = here('permissions');
const BUCKET_RIGHTS_FILE = here('bucket-rights.yaml');

const OWN_KEY = '{{subject()}}';
const NAME = /^[a-z][A-Za-z0-9-]*$/;
const name = z.string().regex(NAME);
const subjects = z.array(z.string()).default([]);
const parameters = z
  .record(
    name,
    z.strictObject({
      description: z.string(),
      form: z.enum(['token', 'subject']).default('token'),
      list: z.boolean().default(false),
      default: z.union([z.string(), z.array(z.string())]).optional(),
      absent: z.literal('*').optional(),
    }),
  )
  .default({});
const buckets = z.array(z.strictObject({ bucket: z.string(), rights: z.array(name).min(1) })).default([]);
const rights = {
  parameters,
  publish: subjects,
  subscribe: subjects,
  buckets,
  also: z.record(z.string(), z.string()).default({}),
};
const templateSchema = z.strictObject({
  description: z.string(),
  partition: z.enum(['ctl', 'rpc', 'system']),
  leaf: z.boolean().default(false),
  weakness: z.string().optional(),
  responses: z.strictObject({ max: z.int().min(1).max(1_000), ttlMs: z.int().min(100).max(3_600_000) }).optional(),
  ...rights,
  extensions: z.record(name, z.strictObject({ description: z.string(), ...rights })).default({}),
});
const bucketRightsSchema = z.record(name, z.strictObject({ publish: subjects, subscribe: subjects }));
type BucketRights = z.infer<typeof bucketRightsSchema>;
type WrittenRights = Pick<z.infer<typeof templateSchema>, 'publish' | 'subscribe' | 'buckets' | 'also' | 'parameters'>;

/**
 * Reads all templates of a folder, by name. What could grant more than it says is refused: any placeholder of the server but
 * `{{subject()}}` (whoever signs users chooses their names and tags), a wildcard within a token, rights to change streams.
 *
 * @throws TRELLIS_PERMISSION_TEMPLATE naming the file and the entry
 */
export function readTemplates(dir: string): Map<string, PermissionTemplate> {
  const bucketRights = readYaml(BUCKET_RIGHTS_FILE, bucketRightsSchema);
  const files = readdirSync(dir).filter((file) => file.endsWith('.yaml'));
  return new Map(
    files.toSorted().map((file) => {
      const template = readTemplate(join(dir, file), bucketRights);
      return [template.name, template];
    }),
  );
}

function readTemplate(file: string, bucketRights: BucketRights): PermissionTemplate {
  const written = readYaml(file, templateSchema);
  const resolve = (part: WrittenRights, outer: TemplateRights['parameters']): TemplateRights => {
    const own = Object.fromEntries(Object.entries(part.parameters).map(([key, value]) => [key, parameterOf(file, key, value)]));
    const all = { ...outer, ...own };
    const granted = { publish: [...part.publish], subscribe: [...part.subscribe] };
    for (const { bucket, rights: words } of part.buckets) {
      for (const word of words) {
        const entry =
          (Object.hasOwn(bucketRights, word) ? bucketRights[word] : undefined) ??
          refuse(file, `"${word}" is no right to a bucket`);
        const fill = (subject: string): string => subject.replaceAll('{bucket}', bucket);
        granted.publish.push(...entry.publish.map(fill));
        granted.subscribe.push(...entry.subscribe.map(fill));
      }
    }
    for (const subject of [...granted.publish, ...granted.subscribe]) checkEntry(file, subject, all);
    for (const subject of granted.publish) checkPublish(file, subject);
    for (const subject of granted.subscribe) checkSubscribe(file, subject, all);
    for (const [from, to] of Object.entries(part.also)) {
      if (!from.endsWith('.') || !to.endsWith('.')) refuse(file, `"${from}" and "${to}" must end with a dot`);
      checkEntry(file, `${from}x`, all);
      checkEntry(file, `${to}x`, all);
    }
    const used = JSON.stringify([granted, part.also]);
    for (const key of Object.keys(own)) if (!used.includes(`{${key}}`)) refuse(file, `parameter ${key} is used nowhere`);
    return { ...granted, also: part.also, parameters: own };
  };
  const base = resolve(written, {});
  const extensions = Object.fromEntries(
    Object.entries(written.extensions).map(([key, part]) => [
      key,
      { ...resolve(part, base.parameters), description: part.description },
    ]),
  );
  const { description, partition, leaf, weakness, responses } = written;
  return { name: basename(file, '.yaml'), description, partition, leaf, weakness, responses, ...base, extensions };
}

function parameterOf(file: string, key: string, written: z.infer<typeof parameters>[string]): TemplateParameter {
  const { description, form, list, absent } = written;
  if (!list && (absent !== undefined || Array.isArray(written.default))) refuse(file, `parameter ${key} is no list`);
  const fallback = absent ?? written.default;
  return { description, form, list, fallback: fallback === undefined ? undefined : [fallback].flat() };
}

/** An entry is dotted tokens: `*`, `>` at the end, the user's own key, or plain characters with parameters between. */
function checkEntry(file: string, subject: string, known: TemplateRights['parameters']): void {
  const tokens = subject.split('.');
  for (const [i, token] of tokens.entries()) {
    if (token === OWN_KEY || (token === '*' && i > 0) || (token === '>' && i > 0 && i === tokens.length - 1)) continue;
    for (const [, parameter] of token.matchAll(/\{([A-Za-z0-9-]+)\}/g)) {
      if (!Object.hasOwn(known, parameter!)) refuse(file, `"${subject}" names ${parameter}, which is no parameter`);
      if (known[parameter!]!.form === 'subject' && (i > 0 || token !== `{${parameter}}`)) {
        refuse(file, `"${subject}": ${parameter} is several tokens and stands at the beginning only`);
      }
    }
    if (!/^(?:[A-Za-z0-9_$-]|\{[A-Za-z0-9-]+\})+$/.test(token)) refuse(file, `"${subject}": "${token}" cannot be a token`);
  }
}

/** The verbs of the JetStream API below `STREAM.` that a template may hold; none changes or removes a stream. */
const STREAM_VERBS = new Set(['INFO', 'NAMES', 'LIST', 'CREATE', 'MSG.GET', 'PURGE']);

function checkPublish(file: string, subject: string): void {
  const rest = /^\$JS\.API\.(.*)$/.exec(subject)?.[1];
  const stream = rest === undefined ? undefined : /^STREAM\.(MSG\.[A-Z]+|[A-Z]+)(?:\.|$)/.exec(rest)?.[1];
  const isChange = rest !== undefined && /^(?:\*|>|STREAM)/.test(rest) && !STREAM_VERBS.has(stream ?? '');
  if (isChange || subject === '$JS.>' || subject.startsWith('$JS.*')) refuse(file, `"${subject}" would allow to change streams`);
  if (/^\$SYS\.(?:>|\*|REQ\.(?:>|\*))/.test(subject)) refuse(file, `"${subject}" would allow to ask the server for anything`);
}

/** Servers let a user who may subscribe to `a.*` subscribe to `a.>`: what is granted is what is written. */
function checkSubscribe(file: string, subject: string, known: TemplateRights['parameters']): void {
  const last = subject.slice(subject.lastIndexOf('.') + 1);
  const parameter = /^\{([A-Za-z0-9-]+)\}$/.exec(last)?.[1];
  const isStar = last === '*' || (parameter !== undefined && known[parameter]!.fallback?.includes('*') === true);
  if (isStar) refuse(file, `"${subject}" would allow more than one token at its end: write > there`);
}

function readYaml<T>(file: string, schema: z.ZodType<T>): T {
  try {
    return schema.parse(parse(readFileSync(file, 'utf8'), { uniqueKeys: true }));
  } catch (error) {
    const issue = error instanceof z.ZodError ? error.issues[0] : undefined;
    const why = issue === undefined ? (error as Error).message.split('\n')[0]! : `${issue.path.join('.')}: ${issue.message}`;
    return refuse(file, why);
  }
}

function refuse(file: string, why: string): never {
  throw new TrellisError('TRELLIS_PERMISSION_TEMPLATE', { message: `${basename(file)}: ${why}` });
}
