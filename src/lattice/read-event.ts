import { isJsonObject, parseJsonObject } from '../json-object.ts';

/** An event of the lattice as a listener reads it. Whoever may publish events wrote it: it is a claim, not a fact. */
export interface HeardEvent {
  /** Last part of the subject: `component_scaled`. */
  readonly name: string;
  /** Who says so: the public key of a host. */
  readonly source: string;
  readonly id?: string;
  /** RFC 3339, as written. */
  readonly time?: string;
  readonly data: Readonly<Record<string, unknown>>;
}

/** Subjects of a lattice's events: one name, or `*` for all. */
export function eventSubject(lattice: string, name: string): string {
  return `wasmbus.evt.${lattice}.${name}`;
}

/** Reads an event in the structured JSON form of CloudEvents 1.0. `undefined` for anything else. Never throws. */
export function readEvent(subject: string, payload: Uint8Array): HeardEvent | undefined {
  const value = parseJsonObject(Buffer.from(payload).toString('utf8'));
  if (typeof value?.['source'] !== 'string') return undefined;
  const { source, id, time, data } = value;
  return {
    name: subject.slice(subject.lastIndexOf('.') + 1),
    source,
    ...(typeof id === 'string' ? { id } : {}),
    ...(typeof time === 'string' ? { time } : {}),
    data: isJsonObject(data) ? data : {},
  };
}
