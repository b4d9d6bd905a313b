import { parseJsonObject } from '../json-object.ts';

/** The start of the keys that hold claims. */
export const CLAIMS_PREFIX = 'CLAIMS_';

/** What the lattice remembers of the claims of a component or provider; `''` and `[]` stand for what is not known. */
export type ClaimsEntry = ComponentClaimsEntry | ProviderClaimsEntry;

interface CommonClaims {
  /** Public key (`A…`) of who signed it. */
  readonly issuer: string;
  readonly name: string;
  readonly revision: string;
  /** Public key (`M…`, `V…`) that it was signed for; the end of its key. */
  readonly subject: string;
  readonly version: string;
}

/** Claims of a component. */
export interface ComponentClaimsEntry extends CommonClaims {
  readonly call_alias: string;
  readonly tags: readonly string[];
}

/** Claims of a provider. */
export interface ProviderClaimsEntry extends CommonClaims {
  /** JSON Schema of its configuration, as a text. */
  readonly config_schema?: string | undefined;
}

/** The key below which these claims stand. */
export function claimsKey(entry: ClaimsEntry): string {
  return `${CLAIMS_PREFIX}${entry.subject}`;
}

/** The text of claims with every field that hosts of wasmCloud 1.x insist on. */
export function writeClaims(entry: ClaimsEntry): string {
  const { issuer, name, revision, subject, version } = entry;
  if ('call_alias' in entry) {
    const { call_alias, tags } = entry;
    return JSON.stringify({ call_alias, issuer, name, revision, subject, tags, version });
  }
  const { config_schema } = entry;
  return JSON.stringify({ issuer, name, revision, subject, version, config_schema });
}

/** Reads claims with all the spellings that there are; only the subject must be there. `undefined` for anything else. Never throws. */
export function readClaims(text: string): ClaimsEntry | undefined {
  const value = parseJsonObject(text);
  const subject = value?.['subject'] ?? value?.['sub'];
  if (value === undefined || typeof subject !== 'string' || subject === '') return undefined;
  const common: CommonClaims = {
    issuer: textOf(value['issuer'] ?? value['iss']),
    name: textOf(value['name']),
    revision: textOf(value['revision'] ?? value['rev']),
    subject,
    version: textOf(value['version']),
  };
  const { call_alias, tags, config_schema } = value;
  if (call_alias !== undefined && tags !== undefined) return { ...common, call_alias: textOf(call_alias), tags: tagsOf(tags) };
  return typeof config_schema === 'string' ? { ...common, config_schema } : common;
}

/** Claims as `claims.get` answers them: a map of strings, some of them under two names. */
export function claimsAnswer(entry: ClaimsEntry): Readonly<Record<string, string>> {
  const { issuer, name, revision, subject, version } = entry;
  const common = { iss: issuer, issuer, name, rev: revision, revision, sub: subject, subject, version };
  if ('call_alias' in entry) return { call_alias: entry.call_alias, ...common, tags: entry.tags.join(',') };
  return entry.config_schema === undefined ? common : { ...common, config_schema: entry.config_schema };
}

function textOf(value: unknown): string {
  if (typeof value === 'string') return value;
  return typeof value === 'number' ? String(value) : '';
}

function tagsOf(value: unknown): readonly string[] {
  if (Array.isArray(value)) return value.filter((each): each is string => typeof each === 'string');
  return typeof value === 'string' && value !== '' ? value.split(',') : [];
}
