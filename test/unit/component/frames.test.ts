import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FrameReader } from '../../../src/component/runner/frame-reader.ts';
import { FLAG, FrameWriter, readPathFrame, type FrameSink } from '../../../src/component/runner/frames.ts';

class Sink implements FrameSink {
  readonly writes: Buffer[] = [];
  writableLength = 0;
  write(bytes: Uint8Array): boolean {
    this.writes.push(Buffer.from(bytes));
    return true;
  }
  cork(): void {}
  uncork(): void {}
}

const frames = fc.array(
  fc.tuple(fc.integer({ min: 1, max: 255 }), fc.integer({ min: 0, max: 0xffff_ffff }), fc.uint8Array({ maxLength: 300 })),
);

describe('frames', () => {
  it('come out as they went in, however the bytes are cut', () => {
    fc.assert(
      fc.property(frames, fc.array(fc.integer({ min: 1, max: 64 }), { minLength: 1 }), (sent, cuts) => {
        const sink = new Sink();
        const writer = new FrameWriter(sink);
        for (const [type, id, body] of sent) {
          writer.open(type, id, body.length);
          writer.bytes(body);
        }
        writer.flush();
        const got: unknown[] = [];
        const reader = new FrameReader(1_000, (type, id, body) => void got.push([type, id, new Uint8Array(body)]));
        const all = Buffer.concat(sink.writes);
        for (let at = 0, cut = 0; at < all.length; cut++) {
          const length = cuts[cut % cuts.length]!;
          expect(reader.push(all.subarray(at, at + length))).toBe(true);
          at += length;
        }
        expect(got).toEqual(sent);
      }),
      { numRuns: 300 },
    );
  });

  it('of one turn leave in one write, large bodies by reference', async () => {
    const sink = new Sink();
    const writer = new FrameWriter(sink);
    for (let id = 0; id < 100; id++) writer.path(3, id, '0.1', Buffer.from('abc'), true);
    await new Promise((resolve) => setImmediate(resolve));
    expect(sink.writes).toHaveLength(1);
    const large = Buffer.alloc(100_000, 7);
    const sizes: number[] = [];
    const reader = new FrameReader(200_000, (_type, _id, body) => void sizes.push(body.length));
    for (let id = 0; id < 3; id++) {
      writer.open(2, id, 3 + large.length);
      writer.u16(1);
      writer.u8(2);
      writer.bytes(large);
    }
    writer.flush();
    for (const write of sink.writes.slice(1)) expect(reader.push(write)).toBe(true);
    expect(sizes).toEqual([100_003, 100_003, 100_003]);
  });

  it('survive a scratch buffer that fills up while the pipe is behind', () => {
    const sink = new Sink();
    sink.writableLength = 1;
    const writer = new FrameWriter(sink);
    const ids: number[] = [];
    const reader = new FrameReader(70_000, (_type, id) => void ids.push(id));
    for (let id = 1; id <= 200; id++) {
      writer.open(2, id, 1_000);
      writer.bytes(new Uint8Array(1_000));
      if (id % 7 === 0) writer.flush();
    }
    writer.flush();
    for (const write of sink.writes) reader.push(write);
    expect(ids).toEqual(Array.from({ length: 200 }, (_, index) => index + 1));
  });

  it('longer than allowed break the stream for good', () => {
    const got: number[] = [];
    const reader = new FrameReader(16, (type) => void got.push(type));
    const header = Buffer.from([17, 0, 0, 0, 1, 0, 0, 0, 0]);
    expect(reader.push(header.subarray(0, 5))).toBe(true);
    expect(reader.push(header.subarray(5))).toBe(false);
    expect(reader.push(Buffer.from([0, 0, 0, 0, 1, 0, 0, 0, 0]))).toBe(false);
    expect(got).toEqual([]);
  });

  it('hold no more than what arrived, whatever length they announce', () => {
    const reader = new FrameReader(0xffff_ffff, () => {});
    const before = process.memoryUsage().arrayBuffers;
    expect(reader.push(Buffer.from([0xff, 0xff, 0xff, 0x7f, 1, 0, 0, 0, 0]))).toBe(true);
    for (let i = 0; i < 1_000; i++) reader.push(Buffer.alloc(10));
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(1_000_000);
  });

  it('with a path are refused when malformed', () => {
    const body = (flags: number, path: string, rest = ''): Buffer =>
      Buffer.concat([Buffer.from([flags, path.length]), Buffer.from(path + rest)]);
    expect(readPathFrame(body(FLAG.eof, '0.12', 'xy'))).toEqual({ eof: true, path: '0.12', bytes: Buffer.from('xy') });
    expect(readPathFrame(body(0, ''))).toMatchObject({ eof: false, path: '' });
    for (const path of ['.', '0.', '.0', 'a', '0..1', '-1', '0.1\n', '99999999999', '*', '0.>'])
      expect(readPathFrame(body(0, path))).toBeUndefined();
    expect(readPathFrame(Buffer.from([0]))).toBeUndefined();
    expect(readPathFrame(Buffer.from([0, 9, 48]))).toBeUndefined();
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        readPathFrame(Buffer.from(bytes));
      }),
    );
  });
});
