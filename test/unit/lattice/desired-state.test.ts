import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { desiredStateText, readDesiredState } from '../../../src/lattice/desired-state.ts';

const texts = fc.dictionary(fc.string(), fc.string());
const workload = fc.record({
  id: fc.stringMatching(/^[A-Za-z0-9_-]{1,128}$/),
  imageRef: fc.string(),
  maxInstances: fc.integer({ min: 1, max: 4_294_967_295 }),
  annotations: texts,
  limits: fc.option(texts),
  config: fc.array(fc.string()),
  known: fc.boolean(),
});

describe('the desired state of a host', () => {
  it('is read as it was written', () => {
    fc.assert(
      fc.property(fc.uniqueArray(workload, { selector: ({ id }) => id }), (workloads) => {
        expect(readDesiredState(desiredStateText(workloads))).toEqual(workloads);
      }),
    );
  });

  it('is nothing where a part of it cannot be read, and reading never throws', () => {
    const good = { id: 'a', imageRef: 'r', maxInstances: 1, annotations: {}, limits: null, config: [], known: true };
    const text = (...workloads: object[]): string => JSON.stringify({ v: 1, workloads });
    expect(readDesiredState(text(good))).toHaveLength(1);
    for (const bad of [
      { ...good, id: 'a b' },
      { ...good, maxInstances: 0 },
      { ...good, maxInstances: 2 ** 32 },
      { ...good, annotations: { a: 1 } },
      { ...good, limits: [] },
      { ...good, config: [1] },
      { ...good, known: 'yes' },
    ])
      expect(readDesiredState(text(bad))).toBeUndefined();
    expect(readDesiredState(text(good, good))).toBeUndefined();
    expect(readDesiredState(JSON.stringify({ v: 2, workloads: [] }))).toBeUndefined();
    expect(readDesiredState(desiredStateText([good]).slice(0, -10))).toBeUndefined();
    fc.assert(fc.property(fc.oneof(fc.string(), fc.json()), (any) => void readDesiredState(any)));
  });
});
