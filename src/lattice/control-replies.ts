/**
 * What hosts answer on the control interface, read by whoever asks. A lattice may hold hosts of other programs and versions: what is
 * missing gets a harmless default, what is odd makes a reply unreadable, and nothing here throws.
 */
import { isJsonObject, type JsonObject, parseJsonObject } from '../json-object.ts';
import type { ComponentDescription, HostInventory, ProviderDescription } from './inventory.ts';

/** A reply of the control interface. */
export interface ControlReply<T> {
  /** True if the host did, or will do, what was asked. */
  readonly success: boolean;
  /** The host's words; may be empty. */
  readonly message: string;
  /** What was asked for; absent if there is nothing, and whenever it could not be read. */
  readonly response?: T;
  /** Of a part: what the next one comes after, `null` if there is no other. Absent where all was answered at once. */
  readonly next?: string | null;
}

/** A host, as it answers to a ping. */
export interface HostReply {
  /** Public key (`N…`). */
  readonly id: string;
  readonly friendly_name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly lattice: string;
  readonly uptime_seconds: number;
  readonly uptime_human?: string;
  readonly version?: string;
  readonly ctl_host?: string;
  readonly rpc_host?: string;
  readonly js_domain?: string;
}

/** What runs on a host. */
export interface InventoryReply extends Omit<HostInventory, 'version' | 'uptime_human'> {
  readonly version?: string;
  readonly uptime_human?: string;
}

/** A host's offer to run a component. */
export interface AuctionReply {
  readonly host_id: string;
}

/** The reply in a message, with its `response` read by `read`; `undefined` for anything that is no reply. */
export function readReply<T>(payload: Uint8Array, read: (value: unknown) => T | undefined): ControlReply<T> | undefined {
  const value = parseJsonObject(Buffer.from(payload).toString('utf8'));
  if (typeof value?.['success'] !== 'boolean') return undefined;
  const message = text(value['message']) ?? '';
  if (value['response'] === undefined || value['response'] === null) return { success: value['success'], message };
  const response = read(value['response']);
  const { next } = value;
  const part = next === null || typeof next === 'string' ? { next } : {};
  if (response !== undefined) return { success: value['success'], message, response, ...part };
  return value['success'] ? undefined : { success: false, message };
}

/** A host out of the answer to a ping. */
export function readHost(value: unknown): HostReply | undefined {
  if (!isJsonObject(value)) return undefined;
  const id = text(value['id']);
  if (id === undefined || !isHostKey(id)) return undefined;
  return {
    id,
    friendly_name: text(value['friendly_name']) ?? '',
    labels: readTexts(value['labels']) ?? {},
    lattice: text(value['lattice']) ?? '',
    uptime_seconds: count(value['uptime_seconds']),
    ...texts(value, ['uptime_human', 'version', 'ctl_host', 'rpc_host', 'js_domain']),
  };
}

/** An inventory; entries without an id are left out. */
export function readInventory(value: unknown): InventoryReply | undefined {
  if (!isJsonObject(value)) return undefined;
  const host_id = text(value['host_id']);
  if (host_id === undefined || !isHostKey(host_id)) return undefined;
  // Hosts before 1.0 said `actors`.
  const components = value['components'] ?? value['actors'];
  return {
    host_id,
    friendly_name: text(value['friendly_name']) ?? '',
    labels: readTexts(value['labels']) ?? {},
    uptime_seconds: count(value['uptime_seconds']),
    ...texts(value, ['version', 'uptime_human']),
    components: readList(components, readComponent),
    providers: readList(value['providers'], readProvider),
  };
}

/** An offer; the one that runs the auction needs its host alone. */
export function readAuction(value: unknown): AuctionReply | undefined {
  const host_id = isJsonObject(value) ? text(value['host_id']) : undefined;
  return host_id !== undefined && isHostKey(host_id) ? { host_id } : undefined;
}

/** A list whose entries are read by `read`; those that cannot be are left out. `undefined` for what is no list. */
export function listOf<T>(read: (value: unknown) => T | undefined): (value: unknown) => readonly T[] | undefined {
  return (value) => (Array.isArray(value) ? readList(value, read) : undefined);
}

/** Names with texts; other values are left out. `undefined` for what is no object. */
export function readTexts(value: unknown): Readonly<Record<string, string>> | undefined {
  if (!isJsonObject(value)) return undefined;
  const entries = Object.entries(value).filter((entry): entry is [string, string] => typeof entry[1] === 'string');
  return Object.fromEntries(entries);
}

/** True for the form of a host's public key. */
export function isHostKey(value: string): boolean {
  return /^N[A-Z2-7]{55}$/.test(value);
}

function readComponent(value: unknown): ComponentDescription | undefined {
  const id = isJsonObject(value) ? text(value['id']) : undefined;
  if (!isJsonObject(value) || id === undefined) return undefined;
  return {
    id,
    image_ref: text(value['image_ref']) ?? '',
    ...texts(value, ['name']),
    annotations: readTexts(value['annotations']) ?? {},
    revision: count(value['revision']),
    max_instances: count(value['max_instances']),
    limits: readTexts(value['limits']) ?? null,
  };
}

function readProvider(value: unknown): ProviderDescription | undefined {
  const id = isJsonObject(value) ? text(value['id']) : undefined;
  if (!isJsonObject(value) || id === undefined) return undefined;
  return {
    id,
    ...texts(value, ['image_ref', 'name']),
    annotations: readTexts(value['annotations']) ?? {},
    revision: count(value['revision']),
  };
}

function readList<T>(value: unknown, read: (entry: unknown) => T | undefined): readonly T[] {
  return Array.isArray(value) ? value.map((entry) => read(entry)).filter((entry) => entry !== undefined) : [];
}

const text = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined);
const count = (value: unknown): number => (typeof value === 'number' && Number.isFinite(value) ? value : 0);

function texts<Name extends string>(from: JsonObject, names: readonly Name[]): Partial<Record<Name, string>> {
  const found = names.map((name) => [name, from[name]] as const).filter(([, value]) => typeof value === 'string');
  return Object.fromEntries(found) as Partial<Record<Name, string>>;
}
