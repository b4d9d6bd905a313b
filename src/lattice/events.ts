import { TrellisError } from '../errors.ts';
import type { LatticeLink, LinkKey } from './links.ts';
import { randomBytes } from 'node:crypto';
import type { HostInventory } from './inventory.ts';

/** Events of a lattice, by the last token of their subject. */
export type LatticeEventName =
  | 'host_started'
  | 'host_heartbeat'
  | 'host_stopped'
  | 'labels_changed'
  | 'component_scaled'
  | 'component_scale_failed'
  | 'linkdef_set'
  | 'linkdef_set_failed'
  | 'linkdef_deleted'
  | 'config_set'
  | 'config_deleted'
  | 'provider_start_failed';

/** Something that happened, to be told to the lattice. */
export interface LatticeEvent {
  readonly name: LatticeEventName;
  readonly data: object;
}

/** What an event says of the signed claims inside an artifact. */
export interface EventClaims {
  /** Public key of the component (`M…`). */
  readonly subject: string;
  readonly issuer: string;
  readonly name?: string | undefined;
  readonly revision?: number | undefined;
  readonly version?: string | undefined;
  readonly tags?: readonly string[] | undefined;
  readonly callAlias?: string | undefined;
  /** Seconds since the Unix epoch. */
  readonly notBefore?: number | undefined;
  readonly expires?: number | undefined;
}

/** A component as the events of its scaling say it. */
export interface ScaledComponent {
  readonly componentId: string;
  readonly hostId: string;
  /** As it was asked for. */
  readonly imageRef: string;
  readonly annotations: Readonly<Record<string, string>>;
  readonly maxInstances: number;
  readonly claims?: EventClaims | undefined;
}

type Strings = Readonly<Record<string, string>>;

/** Longest error text in an event, characters. */
const MAX_ERROR_CHARS = 4_096;

/** A host runs. */
export function hostStarted(host: {
  readonly friendly_name: string;
  readonly labels: Strings;
  readonly version: string;
}): LatticeEvent {
  const { friendly_name, labels, version } = host;
  return { name: 'host_started', data: { friendly_name, labels, uptime_seconds: 0, version } };
}

/** A host runs on, with all this. */
export function hostHeartbeat(inventory: HostInventory): LatticeEvent {
  return { name: 'host_heartbeat', data: inventory };
}

/** A host ends. */
export function hostStopped(labels: Strings): LatticeEvent {
  return { name: 'host_stopped', data: { labels } };
}

/** A host has these labels now. */
export function labelsChanged(hostId: string, labels: Strings): LatticeEvent {
  return { name: 'labels_changed', data: { host_id: hostId, labels } };
}

/** A component runs with so many instances at most; 0: no more. */
export function componentScaled(component: ScaledComponent): LatticeEvent {
  const { claims } = component;
  const head = claims === undefined ? {} : { public_key: claims.subject, claims: componentClaims(claims) };
  return { name: 'component_scaled', data: { ...head, ...scaled(component) } };
}

/** A component could not be scaled. `error`: the whole chain, see {@link errorChain}. */
export function componentScaleFailed(component: ScaledComponent, error: string): LatticeEvent {
  const head = component.claims === undefined ? {} : { public_key: component.claims.subject };
  return { name: 'component_scale_failed', data: { ...head, ...scaled(component), error: cut(error) } };
}

/** A link was set. */
export function linkdefSet(link: LatticeLink): LatticeEvent {
  return { name: 'linkdef_set', data: linkData(link) };
}

/** A link could not be set. */
export function linkdefSetFailed(link: LatticeLink, error: string): LatticeEvent {
  return { name: 'linkdef_set_failed', data: { ...linkData(link), error: cut(error) } };
}

/** A link is gone; without target and interfaces if there was none. */
export function linkdefDeleted(key: LinkKey, deleted?: Pick<LatticeLink, 'target' | 'interfaces'>): LatticeEvent {
  const { source_id, name, wit_namespace, wit_package } = key;
  const data = { source_id, name, wit_namespace, wit_package };
  if (deleted === undefined) return { name: 'linkdef_deleted', data };
  return { name: 'linkdef_deleted', data: { ...data, target: deleted.target, interfaces: deleted.interfaces } };
}

/** A named configuration was set. */
export function configSet(configName: string): LatticeEvent {
  return { name: 'config_set', data: { config_name: configName } };
}

/** A named configuration is gone. */
export function configDeleted(configName: string): LatticeEvent {
  return { name: 'config_deleted', data: { config_name: configName } };
}

/** A provider could not be started. `providerRef`: as it was asked for. */
export function providerStartFailed(
  provider: { readonly providerId: string; readonly providerRef: string; readonly hostId: string },
  error: string,
): LatticeEvent {
  const { providerId, providerRef, hostId } = provider;
  const data = { provider_ref: providerRef, provider_id: providerId, host_id: hostId, error: cut(error), link_name: 'default' };
  return { name: 'provider_start_failed', data };
}

/** The messages of an error and of what caused it, joined with `: `, outermost first. */
export function errorChain(error: unknown): string {
  const messages: string[] = [];
  for (let at = error; at !== undefined && messages.length < 10; at = at instanceof Error ? at.cause : undefined) {
    messages.push(at instanceof Error ? at.message : typeof at === 'string' ? at : typeof at);
  }
  return messages.join(': ');
}

/** Between what went wrong and what helps, in {@link errorAndRemedy}. */
export const TO_FIX_IT = '. To fix it: ';

/** The chain, and what helps: for those who hear of it far from the log of the host. */
export function errorAndRemedy(error: unknown): string {
  const chain = errorChain(error);
  return error instanceof TrellisError ? `${chain.replace(/\.$/, '')}${TO_FIX_IT}${error.remedy}` : chain;
}

/** Subject of an event. */
export function eventSubject(lattice: string, name: LatticeEventName): string {
  return `wasmbus.evt.${lattice}.${name}`;
}

/** When and under which id an event is published. */
export interface EventStamp {
  /** See {@link EventIds}. */
  readonly id: string;
  /** Public key of the host that publishes it. */
  readonly source: string;
  /** Milliseconds since the Unix epoch. */
  readonly timeMs: number;
}

/** The event as it travels: CloudEvents 1.0 in structured JSON form. */
export function cloudEvent(event: LatticeEvent, stamp: EventStamp): string {
  return JSON.stringify({
    specversion: '1.0',
    id: stamp.id,
    type: `com.wasmcloud.lattice.${event.name}`,
    source: stamp.source,
    datacontenttype: 'application/json',
    time: nanosecondTime(stamp.timeMs),
    data: event.data,
  });
}

/** A time as RFC 3339 text with nine digits behind the seconds. */
export function nanosecondTime(timeMs: number): string {
  const nanos = Math.round((timeMs - Math.floor(timeMs)) * 1_000_000);
  return `${new Date(Math.floor(timeMs)).toISOString().slice(0, -1)}${String(Math.min(nanos, 999_999)).padStart(6, '0')}Z`;
}

const RANDOM_BYTES = 10;

/**
 * Ids of events: the 128 bits of a ULID (milliseconds, then random) printed as a UUID. Each sorts behind the one before, also within a
 * millisecond and when the clock was set back.
 */
export class EventIds {
  readonly #random: (bytes: number) => Buffer;
  #lastMs = -1;
  #last: Buffer = Buffer.alloc(RANDOM_BYTES);

  /** @param random - For tests. */
  constructor(random: (bytes: number) => Buffer = randomBytes) {
    this.#random = random;
  }

  /** The next id, for an event at `timeMs`. */
  next(timeMs: number): string {
    const ms = Math.max(0, Math.floor(timeMs));
    if (ms > this.#lastMs || !increment(this.#last)) {
      this.#lastMs = Math.max(ms, this.#lastMs + (ms > this.#lastMs ? 0 : 1));
      this.#last = this.#random(RANDOM_BYTES);
    }
    const hex = this.#lastMs.toString(16).padStart(12, '0') + this.#last.toString('hex');
    return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
  }
}

/** Adds one to a number of many bytes; false when it has begun at zero again. */
function increment(bytes: Buffer): boolean {
  for (let at = bytes.length - 1; at >= 0; at--) {
    bytes[at] = (bytes[at]! + 1) & 0xff;
    if (bytes[at] !== 0) return true;
  }
  return false;
}

function scaled({ annotations, hostId, imageRef, maxInstances, componentId }: ScaledComponent): object {
  return { annotations, host_id: hostId, image_ref: imageRef, max_instances: maxInstances, component_id: componentId };
}

function componentClaims(claims: EventClaims): object {
  const { callAlias, issuer, tags, name, version, revision, notBefore, expires } = claims;
  return {
    call_alias: callAlias ?? null,
    issuer,
    tags: tags ?? null,
    name: name ?? null,
    version: version ?? null,
    revision: revision ?? null,
    not_before_human: secondsOrNever(notBefore),
    expires_human: secondsOrNever(expires),
  };
}

const secondsOrNever = (seconds: number | undefined): string => (seconds === undefined ? 'never' : String(seconds));

function linkData(link: LatticeLink): object {
  const { source_id, target, name, wit_namespace, wit_package, interfaces, source_config, target_config } = link;
  return { source_id, target, name, wit_namespace, wit_package, interfaces, source_config, target_config };
}

function cut(error: string): string {
  return error.length > MAX_ERROR_CHARS ? `${error.slice(0, MAX_ERROR_CHARS - 3)}...` : error;
}
