import type { HeardEvent } from './read-event.ts';

/** What somebody who gave a scale or update command waits for. */
export interface ExpectedScale {
  readonly host: string;
  readonly componentId: string;
  /** The image that the command named: what fails of another one was asked for by somebody else, or before. */
  readonly askedRef?: string;
  /** Instances that were asked for; any but 0 if left out. */
  readonly maxInstances?: number;
  /** The image that must run in the end; any if left out. */
  readonly imageRef?: string;
}

/** What an event says about it. */
export type ScaleOutcome = 'done' | { readonly failed: string };

/** Events that {@link judgeScaleEvent} understands. */
export const SCALE_EVENTS = ['component_scaled', 'component_scale_failed'] as const;

/**
 * Whether an event ends the wait. Hosts say `component_scaled` more than once for one command, with the image that ran before or
 * for somebody else's command, so id, number and image all count. Old hosts send no `component_id`; there the image must be the one.
 */
export function judgeScaleEvent(event: HeardEvent, expected: ExpectedScale): ScaleOutcome | undefined {
  const { component_id: id, max_instances: instances, image_ref: image, error } = event.data;
  if (event.source !== expected.host) return undefined;
  if (typeof id === 'string' ? id !== expected.componentId : image !== expected.imageRef) return undefined;
  if (event.name === 'component_scale_failed') {
    if (expected.askedRef !== undefined && image !== expected.askedRef) return undefined;
    return { failed: typeof error === 'string' && error !== '' ? error : 'the host gives no reason' };
  }
  if (event.name !== 'component_scaled') return undefined;
  if (expected.imageRef !== undefined && image !== expected.imageRef) return undefined;
  if (typeof instances !== 'number') return 'done';
  return (expected.maxInstances === undefined ? instances > 0 : instances === expected.maxInstances) ? 'done' : undefined;
}
