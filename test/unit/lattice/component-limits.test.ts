import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { componentLimits } from '../../../src/lattice/component-limits.ts';

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
