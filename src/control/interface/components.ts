import { isToken, quote } from '../../ids.ts';
import { readComponentAuction, readScale, readUpdate } from '../../lattice/control-messages.ts';
import type { ControlOptions } from './options.ts';
import { answered, failed, type Outcome } from './outcome.ts';

/** Bids for a component, or `undefined`: a host that does not want it keeps silent. */
export function auctionComponent(options: ControlOptions, payload: Uint8Array): Outcome | undefined {
  const { facts, workloads, accepts } = options;
  const parsed = readComponentAuction(payload);
  if ('error' in parsed) return failed(parsed.error);
  const { ref, id, constraints } = parsed.value;
  const isWanted = isToken(id) && facts.labels.matches(constraints) && !workloads.has(id) && (accepts?.(id, ref) ?? true);
  return isWanted ? answered({ component_ref: ref, component_id: id, host_id: facts.id, constraints }) : undefined;
}

/** Hands `component.scale` to what runs components. */
export function scaleComponent({ workloads }: ControlOptions, payload: Uint8Array): Outcome {
  const parsed = readScale(payload);
  if ('error' in parsed) return failed(parsed.error);
  const { componentId, componentRef, count } = parsed.value;
  const about = `${quote(componentId)} to ${count} of ${quote(componentRef)}`;
  // It becomes part of subjects and of the keys of buckets.
  if (!isToken(componentId)) return failed(`component id ${quote(componentId)} is not allowed`, about);
  return { ...workloads.scale(parsed.value), about };
}

/** Hands `component.update` to what runs components. */
export function updateComponent({ workloads }: ControlOptions, payload: Uint8Array): Outcome {
  const parsed = readUpdate(payload);
  if ('error' in parsed) return failed(parsed.error);
  const { componentId, newComponentRef } = parsed.value;
  const about = `${quote(componentId)} to ${quote(newComponentRef)}`;
  // What cannot be a name runs nowhere.
  if (!isToken(componentId)) return failed(`component ${componentId.slice(0, 256)} not found`, about);
  return { ...workloads.update(parsed.value), about };
}
