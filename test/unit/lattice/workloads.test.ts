import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { componentLimits } from '../../../src/lattice/component-limits.ts';
import { UNBOUNDED_INSTANCES, type RunningWorkload, type ScaleRequest, type Workloads } from '../../../src/lattice/workloads.ts';

describe('workloads', () => {
  it('leaves room for every answer that the control interface gives', () => {
    const running: RunningWorkload[] = [];
    const workloads: Workloads = {
      list: () => running,
      has: (id) => running.some((each) => each.id === id),
      scale: ({ componentId: id, componentRef: imageRef, count: maxInstances }: ScaleRequest) => {
        running.push({ id, imageRef, annotations: {}, revision: 0, maxInstances, limits: null });
        return { success: true, message: '' };
      },
      update: ({ componentId }) => ({ success: false, message: `component ${componentId} not found` }),
    };
    const request = { componentId: 'a', componentRef: 'file:///a.wasm', hostId: '', config: [], allowUpdate: false };
    expect(workloads.scale({ ...request, count: UNBOUNDED_INSTANCES })).toEqual({ success: true, message: '' });
    expect(workloads.list()).toMatchObject([{ maxInstances: 2 ** 32 - 1 }]);
  });
});

describe('component limits', () => {
  it('are bytes and seconds in decimal', () => {
    expect(componentLimits({ max_memory_limit: '1048576', max_execution_time: '5' })).toEqual({
      maxMemoryBytes: 1_048_576,
      maxExecutionTimeMs: 5_000,
    });
  });

  it('are as if absent where they cannot be read', () => {
    for (const text of ['', '0', '-1', '1.5', '1e3', ' 1', 'ten', '99999999999999999999'])
      expect(componentLimits({ max_memory_limit: text, max_execution_time: text })).toEqual({});
    expect(componentLimits(undefined)).toEqual({});
  });

  it('never throws, and gives only whole positive numbers', () => {
    fc.assert(
      fc.property(
        fc.dictionary(fc.constantFrom('max_memory_limit', 'max_execution_time', '__proto__'), fc.string()),
        (limits) => {
          for (const value of Object.values(componentLimits(limits))) expect(Number.isSafeInteger(value) && value > 0).toBe(true);
        },
      ),
    );
  });
});
