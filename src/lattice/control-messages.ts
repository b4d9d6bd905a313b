import { isJsonObject, type JsonObject } from '../json-object.ts';
import { type LatticeLink, type LinkKey, readLink, readLinkKey } from './links.ts';
import { tooMuch } from './request-size.ts';
import type { ScaleRequest, UpdateRequest } from './workloads.ts';

/**
 * The bodies of control requests. Each parser takes what came from the wire and never throws: it gives the request, or the text that a
 * wasmCloud 1.9 host answers. JsonObject that are not known are passed over.
 */

/** A request, or why it is none, in the words of the answer. */
export type Parsed<T> = { readonly value: T } | { readonly error: string };

type Strings = Readonly<Record<string, string>>;

/** What `component.auction` and `provider.auction` ask for. */
export interface AuctionRequest {
  /** Reference of the artifact; may be empty. */
  readonly ref: string;
  readonly id: string;
  /** Labels that the host must have, with exactly these values. */
  readonly constraints: Strings;
}

/** What `provider.start` asks for. */
export interface StartProviderRequest {
  readonly providerId: string;
  readonly providerRef: string;
  readonly hostId: string;
  readonly config: readonly string[];
  readonly annotations?: Strings;
}

/** What `provider.stop` asks for. */
export interface StopProviderRequest {
  readonly hostId: string;
  readonly providerId: string;
}

/** What `host.stop` asks for. */
export interface StopHostRequest {
  /** May be empty: then the subject alone says whom it means. */
  readonly hostId: string;
  /** Milliseconds; the host's own time if left out. */
  readonly timeoutMs?: number;
}

/** Credentials for one registry, as `registry.put` carries them. Secret: never to be logged. */
export interface RegistryCredentials {
  readonly username?: string;
  readonly password?: string;
  readonly token?: string;
  readonly registryType: string;
}

/** Deepest nesting of a body. Deeper ones take many times their size in memory. */
const MAX_DEPTH = 32;
const MAX_U32 = 4_294_967_295;
/** More registries than this in one request are nothing that anybody means. */
const MAX_REGISTRIES = 1_000;

/** Reads the body of `component.auction`. */
export function readComponentAuction(payload: Uint8Array): Parsed<AuctionRequest> {
  return readAuction(payload, 'component');
}

/** Reads the body of `provider.auction`. */
export function readProviderAuction(payload: Uint8Array): Parsed<AuctionRequest> {
  return readAuction(payload, 'provider');
}

/** Reads the body of `component.scale`. The instances at once are called `count` there; without it they are 0. */
export function readScale(payload: Uint8Array): Parsed<ScaleRequest> {
  const fields = objectOf(payload);
  const componentId = text(fields?.['component_id']);
  const componentRef = text(fields?.['component_ref'], '');
  const annotations = optional(fields?.['annotations'], strings);
  const count = whole(fields?.['count'], MAX_U32, 0);
  const limits = optional(fields?.['component_limits'], strings);
  const hostId = text(fields?.['host_id'], '');
  const config = fields?.['config'] === undefined ? null : texts(fields['config'], []);
  const allowUpdate = flag(fields?.['allow_update'], false);
  if (
    componentId === undefined ||
    componentRef === undefined ||
    annotations === undefined ||
    count === undefined ||
    limits === undefined ||
    hostId === undefined ||
    config === undefined ||
    allowUpdate === undefined
  ) {
    return malformed('component scale command');
  }
  const excess = tooMuch({ texts: [componentId, componentRef, hostId], maps: [annotations, limits], configs: config ?? [] });
  if (excess !== undefined) return { error: excess };
  return {
    value: {
      componentId,
      componentRef,
      count,
      hostId,
      allowUpdate,
      ...(config === null ? {} : { config }),
      ...(annotations === null ? {} : { annotations }),
      ...(limits === null ? {} : { limits }),
    },
  };
}

/** Reads the body of `component.update`. */
export function readUpdate(payload: Uint8Array): Parsed<UpdateRequest> {
  const fields = objectOf(payload);
  const componentId = text(fields?.['component_id'], '');
  const newComponentRef = text(fields?.['new_component_ref'], '');
  const annotations = optional(fields?.['annotations'], strings);
  const hostId = text(fields?.['host_id'], '');
  if (
    fields === undefined ||
    componentId === undefined ||
    newComponentRef === undefined ||
    annotations === undefined ||
    hostId === undefined
  ) {
    return malformed('component update command');
  }
  const excess = tooMuch({ texts: [componentId, newComponentRef, hostId], maps: [annotations] });
  if (excess !== undefined) return { error: excess };
  return { value: { componentId, newComponentRef, ...(annotations === null ? {} : { annotations }) } };
}

/** Reads the body of `provider.start`. */
export function readStartProvider(payload: Uint8Array): Parsed<StartProviderRequest> {
  const fields = objectOf(payload);
  const providerId = text(fields?.['provider_id']);
  const providerRef = text(fields?.['provider_ref'], '');
  const hostId = text(fields?.['host_id'], '');
  const config = texts(fields?.['config'], []);
  const annotations = optional(fields?.['annotations'], strings);
  if (
    providerId === undefined ||
    providerRef === undefined ||
    hostId === undefined ||
    config === undefined ||
    annotations === undefined
  ) {
    return malformed('provider start command');
  }
  return { value: { providerId, providerRef, hostId, config, ...(annotations === null ? {} : { annotations }) } };
}

/** Reads the body of `provider.stop`; `provider_ref` is another name of `provider_id` there. */
export function readStopProvider(payload: Uint8Array): Parsed<StopProviderRequest> {
  const fields = objectOf(payload);
  const hostId = text(fields?.['host_id'], '');
  const providerId = text(fields?.['provider_id'] ?? fields?.['provider_ref'], '');
  if (fields === undefined || hostId === undefined || providerId === undefined) return malformed('provider stop command');
  return { value: { hostId, providerId } };
}

/** Reads the body of `host.stop`, which may be empty. */
export function readStopHost(payload: Uint8Array): Parsed<StopHostRequest> {
  if (payload.length === 0) return { value: { hostId: '' } };
  const fields = objectOf(payload);
  const hostId = text(fields?.['host_id'], '');
  const timeoutMs = optional(fields?.['timeout'], (value) => whole(value, Number.MAX_VALUE));
  if (fields === undefined || hostId === undefined || timeoutMs === undefined) return malformed('stop command');
  return { value: { hostId, ...(timeoutMs === null ? {} : { timeoutMs }) } };
}

/** Reads the body of `label.put`. */
export function readPutLabel(payload: Uint8Array): Parsed<{ readonly key: string; readonly value: string }> {
  const fields = objectOf(payload);
  const key = text(fields?.['key']);
  const value = text(fields?.['value']);
  return key === undefined || value === undefined ? malformed('put label request') : { value: { key, value } };
}

/** Reads the body of `label.del`. */
export function readDeleteLabel(payload: Uint8Array): Parsed<{ readonly key: string }> {
  const key = text(objectOf(payload)?.['key']);
  return key === undefined ? malformed('delete label request') : { value: { key } };
}

/** Reads the body of `link.put`. */
export function readPutLink(payload: Uint8Array): Parsed<LatticeLink> {
  const link = readLink(objectOf(payload));
  if (link === undefined || !isWellFormed(link)) return malformed('wrpc link definition');
  const { source_id, target, name, wit_namespace, wit_package, interfaces, source_config, target_config } = link;
  const excess = tooMuch({
    texts: [source_id, target, name, wit_namespace, wit_package, ...interfaces],
    configs: [...source_config, ...target_config],
  });
  return excess === undefined ? { value: link } : { error: excess };
}

/** Reads the body of `link.del`. */
export function readDeleteLink(payload: Uint8Array): Parsed<LinkKey> {
  const key = readLinkKey(objectOf(payload));
  return key === undefined || !isWellFormed(key) ? malformed('wrpc link definition') : { value: key };
}

/** Reads the body of `config.put`. */
export function readConfig(payload: Uint8Array): Parsed<Strings> {
  const value = strings(objectOf(payload));
  return value === undefined ? { error: 'config data should be a map of string -> string' } : { value };
}

/** Reads the body of `registry.put`: credentials by registry. */
export function readRegistries(payload: Uint8Array): Parsed<Readonly<Record<string, RegistryCredentials>>> {
  const fields = objectOf(payload);
  if (fields === undefined) return malformed('registries put command');
  const entries = Object.entries(fields);
  const read: [string, RegistryCredentials][] = [];
  for (const [registry, value] of entries) {
    const credentials = readCredentials(value);
    if (credentials === undefined || text(registry) === undefined) return malformed('registries put command');
    read.push([registry, credentials]);
  }
  return read.length > MAX_REGISTRIES ? malformed('registries put command') : { value: Object.fromEntries(read) };
}

function readAuction(payload: Uint8Array, kind: 'component' | 'provider'): Parsed<AuctionRequest> {
  const fields = objectOf(payload);
  const ref = text(fields?.[`${kind}_ref`], '');
  const id = text(fields?.[`${kind}_id`]);
  const constraints = strings(fields?.['constraints']);
  if (ref === undefined || id === undefined || constraints === undefined) return malformed(`${kind} auction command`);
  return { value: { ref, id, constraints } };
}

function readCredentials(value: unknown): RegistryCredentials | undefined {
  if (!isJsonObject(value)) return undefined;
  const username = optional(value['username'], text);
  const password = optional(value['password'], text);
  const token = optional(value['token'], text);
  const registryType = text(value['registryType'], 'oci');
  if (username === undefined || password === undefined || token === undefined || registryType === undefined) return undefined;
  return {
    registryType,
    ...(username === null ? {} : { username }),
    ...(password === null ? {} : { password }),
    ...(token === null ? {} : { token }),
  };
}

const malformed = (what: string): { readonly error: string } => ({ error: `failed to deserialize ${what}` });

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** The object that a body is, or `undefined`. */
function objectOf(payload: Uint8Array): JsonObject | undefined {
  if (isTooDeep(payload)) return undefined;
  try {
    const value: unknown = JSON.parse(utf8.decode(payload));
    return isJsonObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

const QUOTE = 34;
const BACKSLASH = 92;
const OPENING: ReadonlySet<number> = new Set([91, 123]);
const CLOSING: ReadonlySet<number> = new Set([93, 125]);

function isTooDeep(bytes: Uint8Array): boolean {
  let depth = 0;
  let isInText = false;
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at]!;
    if (isInText) {
      if (byte === BACKSLASH) at++;
      else if (byte === QUOTE) isInText = false;
    } else if (byte === QUOTE) isInText = true;
    else if (OPENING.has(byte) && ++depth > MAX_DEPTH) return true;
    else if (CLOSING.has(byte)) depth--;
  }
  return false;
}

/** A text, or `absent` where there is none. Half a surrogate pair is none: peers cannot read what would be written of it. */
function text(value: unknown, absent?: string): string | undefined {
  if (value === undefined) return absent;
  return typeof value === 'string' && value.isWellFormed() ? value : undefined;
}

function texts(value: unknown, absent: readonly string[]): readonly string[] | undefined {
  if (value === undefined) return absent;
  return Array.isArray(value) && value.every((each) => text(each) !== undefined) ? (value as string[]) : undefined;
}

function strings(value: unknown): Strings | undefined {
  if (!isJsonObject(value)) return undefined;
  const entries = Object.entries(value);
  return entries.every(([key, each]) => text(key) !== undefined && text(each) !== undefined) ? (value as Strings) : undefined;
}

function flag(value: unknown, absent: boolean): boolean | undefined {
  if (value === undefined) return absent;
  return typeof value === 'boolean' ? value : undefined;
}

function whole(value: unknown, most: number, absent?: number): number | undefined {
  if (value === undefined) return absent;
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= most ? value : undefined;
}

/** What may be `null` or absent, both given as `null`; `undefined` if it is there and wrong. */
function optional<T>(value: unknown, read: (value: unknown) => T | undefined): T | null | undefined {
  return value === undefined || value === null ? null : read(value);
}

/** True if every text in a value of texts and lists of texts can be written for others to read. */
function isWellFormed(value: object): boolean {
  return Object.values(value).every((each) => texts(Array.isArray(each) ? each : [each], []) !== undefined);
}
