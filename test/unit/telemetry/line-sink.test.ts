import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { LineSink, type SinkFiles } from '../../../src/telemetry/line-sink.ts';

type Answer = number | string;

/** A descriptor that answers each write as told: so many bytes, or an error code; then it takes everything. */
function descriptor(answers: readonly Answer[] = []) {
  const left = [...answers];
  let taken = '';
  let writes = 0;
  const next = (bytes: Uint8Array): number => {
    writes += 1;
    const answer = left.shift() ?? bytes.length;
    if (typeof answer === 'string') throw Object.assign(new Error(answer), { code: answer });
    const written = Math.min(answer, bytes.length);
    taken += Buffer.from(bytes.subarray(0, written)).toString('latin1');
    return written;
  };
  const pending: (() => void)[] = [];
  const files: SinkFiles = {
    writeSync: (_fd, bytes) => next(bytes),
    write: (_fd, bytes, done) => {
      pending.push(() => {
        try {
          done(null, next(bytes));
        } catch (error) {
          done(error as NodeJS.ErrnoException, 0);
        }
      });
    },
  };
  /** Lets the operating system finish what it was given. */
  const turn = (): void => pending.shift()?.();
  return { files, turn, taken: () => taken, writes: () => writes };
}
const sinkOn = (files: SinkFiles, maxBufferedBytes = 1_000) => new LineSink({ fd: 2, maxBufferedBytes, files });

describe('the sink of log lines', () => {
  it('writes lines in order, several at once while one is under way, and what a short write left', () => {
    const { files, turn, taken, writes } = descriptor([3]);
    const sink = sinkOn(files);
    for (const line of ['one\n', 'two\n', 'three\n']) sink.write(line);
    expect(taken()).toBe('');
    for (let i = 0; i < 4; i++) turn();
    expect(taken()).toBe('one\ntwo\nthree\n');
    expect(writes()).toBe(2);
  });

  it('keeps what a busy reader does not take, in order, and drops what is too much', () => {
    vi.useFakeTimers();
    try {
      const { files, turn, taken } = descriptor(['EAGAIN', 'EAGAIN']);
      const sink = sinkOn(files, 10);
      sink.write('first\n');
      turn();
      sink.write('drop me, for there is no room\n');
      sink.write('2nd\n');
      for (let i = 0; i < 3; i++) {
        vi.advanceTimersByTime(50);
        turn();
      }
      expect(taken()).toBe('first\n2nd\n');
    } finally {
      vi.useRealTimers();
    }
  });

  it.each(['EPIPE', 'EIO', 'EBADF'])('ends at once for a reader that has gone (%s), at the exit too', (code) => {
    const { files, writes } = descriptor([code, code, code]);
    const sink = sinkOn(files);
    sink.write('under way\n');
    sink.write('waits\n');
    const startMs = performance.now();
    sink.flushSync(60_000);
    expect(performance.now() - startMs).toBeLessThan(20_000);
    sink.write('nobody reads this\n');
    sink.flushSync(5_000);
    expect(writes()).toBe(1);
  });

  it('waits at the exit for a reader that is slow, but not for ever', () => {
    const slow = descriptor(['EAGAIN', 2, 'EAGAIN', 'EAGAIN']);
    const sink = sinkOn(slow.files);
    sink.write('under way\n');
    sink.write('last words\n');
    sink.flushSync(5_000);
    expect(slow.taken()).toBe('last words\n');

    const stalled = descriptor(Array.from({ length: 10_000 }, () => 'EAGAIN'));
    const other = sinkOn(stalled.files);
    other.write('under way\n');
    other.write('last words\n');
    const startMs = performance.now();
    other.flushSync(60);
    expect(performance.now() - startMs).toBeLessThan(20_000);
  });

  it('goes on after an error that is not about the reader, such as a full disk', () => {
    vi.useFakeTimers();
    try {
      const { files, turn, taken } = descriptor(['ENOSPC']);
      const sink = sinkOn(files);
      sink.write('lost\n');
      turn();
      sink.write('kept\n');
      vi.advanceTimersByTime(50);
      turn();
      expect(taken()).toBe('kept\n');
    } finally {
      vi.useRealTimers();
    }
  });

  it('loses and changes nothing for any lengths of writes', () => {
    fc.assert(
      fc.property(fc.array(fc.stringMatching(/^[a-z]{0,20}$/)), fc.array(fc.integer({ min: 1, max: 30 })), (words, lengths) => {
        const { files, turn, taken } = descriptor(lengths);
        const sink = sinkOn(files, 100_000);
        for (const word of words) sink.write(`${word}\n`);
        for (let i = 0; i < words.length + lengths.length + 2; i++) turn();
        sink.flushSync(1_000);
        expect(taken()).toBe(words.map((word) => `${word}\n`).join(''));
      }),
    );
  });
});
