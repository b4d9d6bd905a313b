import { isJsonObject, parseJsonObject } from '../json-object.ts';

/** A component that the lattice had a host start, as the host keeps it for its next start. */
export interface DesiredWorkload {
  readonly id: string;
  /** As it was asked for. */
  readonly imageRef: string;
  /** Invocations at once, 1 to 4294967295. */
  readonly maxInstances: number;
  readonly annotations: Readonly<Record<string, string>>;
  readonly limits: Readonly<Record<string, string>> | null;
  /** Names of its configurations; never their values. */
  readonly config: readonly string[];
  /** True once the lattice's data had an entry of it: if it has none at the next start, somebody took it away. */
  readonly known: boolean;
}

const MAX_TEXT_CHARS = 64 * 1024 * 1024;
const MAX_COUNT = 4_294_967_295;
const ID = /^[A-Za-z0-9_-]{1,128}$/;

/** The text of a file that holds what a host is to run. */
export function desiredStateText(workloads: readonly DesiredWorkload[]): string {
  return `${JSON.stringify({ v: 1, workloads }, undefined, 1)}\n`;
}

/** What such a text says, or `undefined` if it is damaged. Never throws. */
export function readDesiredState(text: string): readonly DesiredWorkload[] | undefined {
  if (text.length > MAX_TEXT_CHARS) return undefined;
  const value = parseJsonObject(text);
  if (value?.['v'] !== 1) return undefined;
  const { workloads } = value;
  if (!Array.isArray(workloads)) return undefined;
  const read = workloads.map(readWorkload);
  const ids = new Set(read.map((each) => each?.id));
  // A list of which a part cannot be read is not the list that was written.
  if (read.includes(undefined) || ids.size !== read.length) return undefined;
  return read as DesiredWorkload[];
}

function readWorkload(value: unknown): DesiredWorkload | undefined {
  if (!isJsonObject(value)) return undefined;
  const { id, imageRef, maxInstances, annotations, limits, config, known } = value;
  if (typeof id !== 'string' || !ID.test(id) || typeof imageRef !== 'string' || !isCount(maxInstances)) return undefined;
  if (!isTexts(annotations) || !(limits === null || isTexts(limits))) return undefined;
  if (!Array.isArray(config) || !config.every((name): name is string => typeof name === 'string')) return undefined;
  if (typeof known !== 'boolean') return undefined;
  return { id, imageRef, maxInstances, annotations, limits, config, known };
}

function isTexts(value: unknown): value is Record<string, string> {
  return isJsonObject(value) && Object.values(value).every((each) => typeof each === 'string');
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= MAX_COUNT;
}
