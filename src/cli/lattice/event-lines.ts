import type { HeardEvent } from '../../lattice/read-event.ts';
import { visible } from '../../telemetry/scrub.ts';
import { paint } from '../output.ts';

/** Which events to show. */
export interface EventFilter {
  /** Public key of a host. */
  readonly host?: string;
  /** Ids of components and providers; all if empty. */
  readonly components: readonly string[];
  /** Heartbeats and records of the audit too, of which there are many. */
  readonly all: boolean;
}

/** Fields of events that name a component or provider. */
const ABOUT = ['component_id', 'provider_id', 'source_id', 'target'] as const;
/** Shown first, in this order; the rest follows as it comes. */
const FIRST = [
  'component_id',
  'provider_id',
  'source_id',
  'target',
  'name',
  'wit_namespace',
  'wit_package',
  'interfaces',
  'config_name',
  'image_ref',
  'provider_ref',
  'max_instances',
  'error',
  'friendly_name',
];
/** Known from the event itself, or of no use to a person. */
const LEFT_OUT = new Set(['host_id', 'uptime_seconds', 'uptime_human', 'claims', 'public_key', 'instance_id']);
const MAX_FIELD = 300;

/** Whether an event is to be shown. */
export function eventMatches({ name, source, data }: HeardEvent, { host, components, all }: EventFilter): boolean {
  if (!all && (name === 'host_heartbeat' || name.startsWith('audit_'))) return false;
  if (host !== undefined && source !== host) return false;
  return components.length === 0 || ABOUT.some((field) => components.includes(String(data[field])));
}

/** An event on one line: time, name, host, and what it says. Everything in it is somebody's word, so it is made visible. */
export function eventLine({ name, source, time, data }: HeardEvent): string {
  const fields = Object.entries(data).filter(([key, value]) => !LEFT_OUT.has(key) && !isNothing(value));
  const rank = (key: string): number => (FIRST.includes(key) ? FIRST.indexOf(key) : FIRST.length);
  const texts = fields.toSorted(([a], [b]) => rank(a) - rank(b)).map(([key, value]) => `${key}=${fieldText(value)}`);
  const clock = visible((time ?? '').slice(0, 40)).replace(/^\d{4}-\d\d-\d\dT(\d\d:\d\d:\d\d(?:\.\d{1,3})?).*$/, '$1');
  const host = source.length > 12 ? `${source.slice(0, 8)}…` : source;
  return `${paint('gray', clock)} ${paint('bold', visible(name))} ${visible(host)} ${visible(texts.join(' '))}`.trimEnd();
}

function isNothing(value: unknown): boolean {
  if (value === null || value === undefined || value === '') return true;
  return typeof value === 'object' && Object.keys(value).length === 0;
}

function fieldText(value: unknown): string {
  const text =
    typeof value === 'string'
      ? value
      : Array.isArray(value) && value.every((each) => typeof each === 'string')
        ? value.join(',')
        : Array.isArray(value)
          ? `${value.length} of them`
          : JSON.stringify(value);
  return text.length > MAX_FIELD ? `${text.slice(0, MAX_FIELD)}…` : text;
}
