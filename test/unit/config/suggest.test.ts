import { describe, expect, it } from 'vitest';
import { nearest } from '../../../src/config/suggest.ts';

describe('nearest', () => {
  it('finds a typo and leaves strangers alone', () => {
    expect(nearest('lattcie', ['lattice', 'labels'])).toBe('lattice');
    expect(nearest('maxInFligth', ['maxInFlight', 'maxInFlightPerOrigin'])).toBe('maxInFlight');
    expect(nearest('LATTICE', ['lattice'])).toBe('lattice');
    expect(nearest('TRELLIS_PORT_4222_TCP', ['TRELLIS_RPC_SERVERS', 'TRELLIS_LATTICE'])).toBeUndefined();
    expect(nearest('x', ['lattice'])).toBeUndefined();
  });

  it('costs little for absurdly long words', () => {
    const started = performance.now();
    nearest('x'.repeat(1_000_000), ['y'.repeat(1_000_000)]);
    // Comparing them letter by letter would take hours.
    expect(performance.now() - started).toBeLessThan(10_000);
  });
});
