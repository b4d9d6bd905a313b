import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { GatheredBytes } from '../../../src/invocation/gathered-bytes.ts';

describe('GatheredBytes', () => {
  it('gives back what came, in order, whatever the pieces', () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ maxLength: 50_000 }), { maxLength: 12 }),
        fc.option(fc.nat(200_000)),
        (pieces, expected) => {
          const gathered = new GatheredBytes();
          for (const piece of pieces) gathered.push(piece, expected ?? undefined);
          expect(gathered.length).toBe(pieces.reduce((sum, piece) => sum + piece.length, 0));
          expect(Buffer.compare(gathered.take(), Buffer.concat(pieces))).toBe(0);
          expect([gathered.length, gathered.take().length]).toEqual([0, 0]);
        },
      ),
      { numRuns: 50 },
    );
  });

  it('keeps copies, and a small multiple of the bytes even when they come one by one', () => {
    const gathered = new GatheredBytes();
    const piece = Buffer.from([7]);
    const before = process.memoryUsage();
    for (let n = 0; n < 1_000_000; n++) gathered.push(piece);
    const after = process.memoryUsage();
    expect(after.arrayBuffers - before.arrayBuffers).toBeLessThan(8_000_000);
    piece[0] = 9;
    expect(gathered.take().every((byte) => byte === 7)).toBe(true);
  });
});
