import { describe, expect, it } from 'vitest';
import type { HeardEvent } from '../../../src/lattice/read-event.ts';
import { judgeScaleEvent } from '../../../src/lattice/scaled-event.ts';

const expected = { host: 'N1', componentId: 'c', maxInstances: 3, imageRef: 'file:///new.wasm' };
const event = (data: Record<string, unknown>, more: Partial<HeardEvent> = {}): HeardEvent => ({
  name: 'component_scaled',
  source: 'N1',
  data: { component_id: 'c', image_ref: 'file:///new.wasm', max_instances: 3, ...data },
  ...more,
});

describe('the end of a scale command', () => {
  it('is an event of the same host about the same component with what was asked for', () => {
    expect(judgeScaleEvent(event({}), expected)).toBe('done');
    expect(judgeScaleEvent(event({}, { source: 'N2' }), expected)).toBeUndefined();
    expect(judgeScaleEvent(event({ component_id: 'other' }), expected)).toBeUndefined();
    expect(judgeScaleEvent(event({ image_ref: 'file:///old.wasm' }), expected)).toBeUndefined();
    expect(judgeScaleEvent(event({ max_instances: 1 }), expected)).toBeUndefined();
    expect(judgeScaleEvent(event({}, { name: 'component_started' }), expected)).toBeUndefined();
  });

  it('may be of any image where it does not matter which', () => {
    const any = { host: 'N1', componentId: 'c', maxInstances: 3 };
    expect(judgeScaleEvent(event({ image_ref: 'file:///old.wasm' }), any)).toBe('done');
    expect(judgeScaleEvent(event({ max_instances: 0 }), { ...any, maxInstances: 0 })).toBe('done');
  });

  it('of an update is any number but none', () => {
    const update = { host: 'N1', componentId: 'c', imageRef: expected.imageRef };
    expect(judgeScaleEvent(event({ max_instances: 9 }), update)).toBe('done');
    expect(judgeScaleEvent(event({ max_instances: 0 }), update)).toBeUndefined();
  });

  it('is a failure of that component and of no other', () => {
    const failed = { name: 'component_scale_failed' };
    expect(judgeScaleEvent(event({ error: 'no such file' }, failed), expected)).toEqual({ failed: 'no such file' });
    expect(judgeScaleEvent(event({ component_id: 'other', error: 'x' }, failed), expected)).toBeUndefined();
    expect(judgeScaleEvent(event({}, failed), expected)).toEqual({ failed: 'the host gives no reason' });
    // What this command has overtaken fails as well.
    const asked = { ...expected, askedRef: expected.imageRef };
    expect(judgeScaleEvent(event({ image_ref: 'before' }, failed), asked)).toBeUndefined();
    expect(judgeScaleEvent(event({ error: 'x' }, failed), asked)).toEqual({ failed: 'x' });
  });

  it('goes by the image where a host names no component', () => {
    expect(judgeScaleEvent(event({ component_id: undefined }), expected)).toBe('done');
    expect(judgeScaleEvent(event({ component_id: undefined, image_ref: 'else' }), expected)).toBeUndefined();
  });
});
