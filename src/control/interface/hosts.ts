import { quote } from '../../ids.ts';
import { readDeleteLabel, readPutLabel, readStopHost } from '../../lattice/control-messages.ts';
import { labelsChanged } from '../../lattice/events.ts';
import { fitInventory } from '../../lattice/fit-inventory.ts';
import { hostInventory } from '../../lattice/inventory.ts';
import type { ControlOptions } from './options.ts';
import { answered, done, ENVELOPE_BYTES, failed, type Outcome } from './outcome.ts';

/** Answers `host.get`, with as much of the inventory as the server takes. */
export function getInventory({ facts, workloads }: ControlOptions, maxPayloadBytes: number): Outcome {
  const { inventory, leftOut } = fitInventory(hostInventory(facts, workloads.list()), maxPayloadBytes - ENVELOPE_BYTES);
  if (leftOut === 0) return answered(inventory);
  return { ...answered(inventory), message: `${leftOut} components are left out: the NATS server takes no larger answer` };
}

/** Carries out `host.stop`. @param host - Whom the subject names. */
export function stopHost(options: ControlOptions, payload: Uint8Array, host: string): Outcome {
  const { facts } = options;
  const parsed = readStopHost(payload);
  if ('error' in parsed) return failed(parsed.error);
  const { hostId, timeoutMs } = parsed.value;
  if (hostId !== '' && (hostId !== host || hostId !== facts.id)) return failed(`invalid host_id [${hostId.slice(0, 128)}]`);
  return {
    ...done('successfully handled stop host', timeoutMs === undefined ? undefined : `within ${timeoutMs} ms`),
    after: () => options.stopHost(timeoutMs),
  };
}

/** Carries out `label.put`. */
export function putLabel({ facts, events }: ControlOptions, payload: Uint8Array): Outcome {
  const parsed = readPutLabel(payload);
  if ('error' in parsed) return failed(parsed.error);
  const { key, value } = parsed.value;
  const about = `${quote(key)} = ${quote(value)}`;
  const refused = facts.labels.put(key, value);
  if (refused !== undefined) return failed(refused, about);
  events.publish(labelsChanged(facts.id, facts.labels.all()));
  return done('successfully put label', about);
}

/** Carries out `label.del`. */
export function deleteLabel({ facts, events }: ControlOptions, payload: Uint8Array): Outcome {
  const parsed = readDeleteLabel(payload);
  if ('error' in parsed) return failed(parsed.error);
  const { key } = parsed.value;
  if (!facts.labels.delete(key)) return done('successfully deleted label (no such label)', quote(key));
  events.publish(labelsChanged(facts.id, facts.labels.all()));
  return done('successfully deleted label', quote(key));
}
