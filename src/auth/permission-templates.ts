import { TrellisError } from '../errors.ts';
import { quote } from '../ids.ts';
import {
  readTemplates,
  TEMPLATES_DIR,
  type PermissionTemplate,
  type TemplateParameter,
  type TemplateRights,
} from './permission-template-file.ts';

/** Subjects a user may publish or subscribe to. Wildcards as in NATS; a refusal (`deny`) wins. */
export interface SubjectSet {
  readonly allow: readonly string[];
  readonly deny?: readonly string[];
}

/** What a user may do. `{{subject()}}` stands for its own public key, and is filled in by the server for scoped users only. */
export interface Permissions {
  readonly publish: SubjectSet;
  readonly subscribe: SubjectSet;
  /** Replies to whoever asked: how many to one request, and how long after it. Absent: none but what `publish` allows. */
  readonly responses?: { readonly max: number; readonly ttlMs: number };
}

/** Values for the parameters of a template; a parameter that is a list takes several. */
export type TemplateValues = Readonly<Record<string, string | readonly string[]>>;

/** The public key of whoever holds the user JWT, as the server's scoped templates write it. */
export const OWN_KEY = '{{subject()}}';

let shipped: ReadonlyMap<string, PermissionTemplate> | undefined;

/**
 * The templates by name, from `config/permissions` or another folder of the same form.
 * @throws TRELLIS_PERMISSION_TEMPLATE naming the file and the entry that is refused
 */
export function loadPermissionTemplates(dir: string = TEMPLATES_DIR): ReadonlyMap<string, PermissionTemplate> {
  if (dir !== TEMPLATES_DIR) return readTemplates(dir);
  shipped ??= readTemplates(dir);
  return shipped;
}

/**
 * The permissions of a kind of user. Every value is checked before it becomes part of a subject: it cannot hold a wildcard, a dot
 * (but for parameters that are subjects) or a placeholder.
 *
 * @param name name of a template, e.g. `host-ctl`
 * @param extensions names of its extensions to switch on
 * @throws TRELLIS_PERMISSION_VALUE for an unknown name, a missing or unknown value, or one that is not allowed
 */
export function fillTemplate(
  name: string,
  values: TemplateValues,
  extensions: readonly string[] = [],
  templates: ReadonlyMap<string, PermissionTemplate> = loadPermissionTemplates(),
): Permissions {
  const template = templates.get(name);
  if (template === undefined) throw wrong(`there is no permission template ${quote(name)}`, [...templates.keys()]);
  const parts: TemplateRights[] = [template];
  for (const extension of new Set(extensions)) {
    const part = Object.hasOwn(template.extensions, extension) ? template.extensions[extension] : undefined;
    if (part === undefined) throw wrong(`${name} has no extension ${quote(extension)}`, Object.keys(template.extensions));
    parts.push(part);
  }
  const parameters = new Map(parts.flatMap((part) => Object.entries(part.parameters)));
  for (const key of Object.keys(values)) {
    if (!parameters.has(key)) throw wrong(`${name} takes no value ${quote(key)}`, [...parameters.keys()]);
  }
  const filled = new Map([...parameters].map(([key, parameter]) => [key, checkedValues(name, key, parameter, values)]));
  const fill = (subjects: readonly string[]): string[] => subjects.flatMap((subject) => expand(subject, filled));

  const publish = fill(parts.flatMap((part) => part.publish));
  const also = parts
    .flatMap((part) => Object.entries(part.also))
    .map(([from, to]) => [fill([from])[0]!, fill([to])[0]!] as const);
  const more = publish.flatMap((subject) =>
    also.filter(([from]) => subject.startsWith(from)).map(([from, to]) => to + subject.slice(from.length)),
  );
  return {
    publish: { allow: [...new Set([...publish, ...more])] },
    subscribe: { allow: [...new Set(fill(parts.flatMap((part) => part.subscribe)))] },
    ...(template.responses === undefined ? {} : { responses: template.responses }),
  };
}

/** Permissions with the user's own public key written out: for a user that no scoped key signs. */
export function bindToUser(permissions: Permissions, userKey: string): Permissions {
  const bind = ({ allow, deny }: SubjectSet): SubjectSet => ({
    allow: allow.map((subject) => subject.replaceAll(OWN_KEY, userKey)),
    ...(deny === undefined ? {} : { deny: deny.map((subject) => subject.replaceAll(OWN_KEY, userKey)) }),
  });
  return { ...permissions, publish: bind(permissions.publish), subscribe: bind(permissions.subscribe) };
}

/** What a value must look like, by the form of its parameter. A subject of one's choice may not lie in a space of the lattice. */
const FORMS: Readonly<Record<TemplateParameter['form'], RegExp>> = {
  token: /^[A-Za-z0-9_-]{1,128}$/,
  subject: /^(?!(?:wasmbus|wadm)(?:\.|$))[A-Za-z0-9-][A-Za-z0-9_-]{0,63}(?:\.[A-Za-z0-9_-]{1,64}){0,7}$/,
};

function checkedValues(name: string, key: string, parameter: TemplateParameter, values: TemplateValues): readonly string[] {
  const given = Object.hasOwn(values, key) ? values[key] : undefined;
  if (given === undefined) {
    if (parameter.fallback !== undefined) return parameter.fallback;
    throw wrong(`${name} needs a value for ${key} (${parameter.description})`, []);
  }
  if (typeof given !== 'string' && !(parameter.list && Array.isArray(given)))
    throw wrong(`${key} of ${name} takes one value`, []);
  const list = typeof given === 'string' ? [given] : given;
  for (const value of list) {
    if (typeof value !== 'string' || !FORMS[parameter.form].test(value)) {
      throw wrong(`${quote(value)} cannot be ${key} of ${name}: it would change what the subjects mean`, []);
    }
  }
  return list;
}

/** One subject for each combination of the values it names. */
function expand(subject: string, values: ReadonlyMap<string, readonly string[]>): string[] {
  const parameter = /(?<!\{)\{([A-Za-z0-9-]+)\}/.exec(subject)?.[1];
  if (parameter === undefined) return [subject];
  // Values hold no braces, so that nothing that is put in is read as a parameter again.
  return (values.get(parameter) ?? []).flatMap((value) => expand(subject.replaceAll(`{${parameter}}`, value), values));
}

function wrong(message: string, known: readonly string[]): TrellisError {
  return new TrellisError('TRELLIS_PERMISSION_VALUE', {
    message,
    ...(known.length === 0 ? {} : { remedy: `Known are: ${known.join(', ')}.` }),
  });
}
