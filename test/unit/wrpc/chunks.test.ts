import * as fc from 'fast-check';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { firstMessageLimit, sendChunks } from '../../../src/wrpc/chunks.ts';

interface Vectors {
  nats: {
    chunking: {
      maxPayload: number;
      rcLength: number;
      firstPayloadLimitNoHeaders: number;
      firstPayloadLimitWithSourceId: { limit: number };
      example3000000ByteList: { encodedLength: number; paramMessages: number[]; resultMessages: number[] };
    };
  };
}
const { chunking } = (JSON.parse(readFileSync(new URL('../../fixtures/wrpc-vectors.json', import.meta.url), 'utf8')) as Vectors)
  .nats;
const rc = 'r'.repeat(chunking.rcLength);

function pieces(total: number, start: number, limit: number): number[] {
  const sizes: number[] = [];
  sendChunks(new Uint8Array(total), start, limit, (piece) => sizes.push(piece.length));
  return sizes;
}

describe('chunking', () => {
  it('leaves room for headers and the reply subject in the first message', () => {
    expect(firstMessageLimit(chunking.maxPayload, rc, undefined)).toBe(chunking.firstPayloadLimitNoHeaders);
    expect(firstMessageLimit(chunking.maxPayload, rc, { entries: [] })).toBe(chunking.firstPayloadLimitNoHeaders);
    expect(firstMessageLimit(chunking.maxPayload, rc, { entries: [['source-id', 'comp-a']] })).toBe(
      chunking.firstPayloadLimitWithSourceId.limit,
    );
    expect(firstMessageLimit(10, rc, undefined)).toBe(0);
  });

  it('cuts a list of 3,000,000 bytes as Rust does', () => {
    const { encodedLength, paramMessages, resultMessages } = chunking.example3000000ByteList;
    const first = firstMessageLimit(chunking.maxPayload, rc, undefined);
    expect([first, ...pieces(encodedLength, first, chunking.maxPayload)]).toEqual(paramMessages);
    expect(pieces(encodedLength, 0, chunking.maxPayload)).toEqual(resultMessages);
  });

  it('keeps every byte in order and never makes an empty piece', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 300 }),
        fc.nat({ max: 300 }),
        fc.integer({ min: 1, max: 100 }),
        (bytes, skip, limit) => {
          const start = Math.min(skip, bytes.length);
          const out: Uint8Array[] = [];
          sendChunks(bytes, start, limit, (piece) => out.push(piece));
          expect(Buffer.concat(out).equals(Buffer.from(bytes.subarray(start)))).toBe(true);
          expect(out.every((piece) => piece.length > 0 && piece.length <= limit)).toBe(true);
        },
      ),
    );
  });
});
