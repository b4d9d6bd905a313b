import type { ComponentDescription, HostInventory } from './inventory.ts';

/** By this annotation a scheduler knows what it started; what has none, nobody schedules. */
const SCHEDULED = 'wasmcloud.dev/scaler';

/** An inventory that fits into one message. */
export interface FittedInventory {
  readonly inventory: HostInventory;
  /** Components that had to be left out; 0 if it is complete. */
  readonly leftOut: number;
  /** False if it is too large even without components. */
  readonly fits: boolean;
}

/**
 * The most of an inventory whose JSON has at most `maxBytes`. All of it where that fits; without what readers can do without (names,
 * limits) where that is enough; else without components. Those that no scheduler started go first, then, always the same ones, those with the
 * last ids.
 */
export function fitInventory(inventory: HostInventory, maxBytes: number): FittedInventory {
  if (bytesOf(inventory) <= maxBytes) return { inventory, leftOut: 0, fits: true };
  const components = inventory.components.map(withoutLuxury);
  const lean = { ...inventory, components };
  if (bytesOf(lean) <= maxBytes) return { inventory: lean, leftOut: 0, fits: true };
  const kept: ComponentDescription[] = [];
  const room = maxBytes - bytesOf({ ...lean, components: [] });
  let left = room;
  for (const component of components.toSorted(mostNeededFirst)) {
    // One more for the comma.
    left -= bytesOf(component) + 1;
    if (left < 0) break;
    kept.push(component);
  }
  return { inventory: { ...lean, components: kept }, leftOut: components.length - kept.length, fits: room >= 0 };
}

const bytesOf = (value: unknown): number => Buffer.byteLength(JSON.stringify(value));

function withoutLuxury({ id, image_ref, annotations, revision, max_instances }: ComponentDescription): ComponentDescription {
  return { id, image_ref, annotations, revision, max_instances, limits: null };
}

function mostNeededFirst(a: ComponentDescription, b: ComponentDescription): number {
  const scheduled = Number(SCHEDULED in b.annotations) - Number(SCHEDULED in a.annotations);
  return scheduled === 0 ? (a.id < b.id ? -1 : 1) : scheduled;
}
