import { describe, expect, it } from 'vitest';
import { AsyncValues } from '../../../src/wit/async-values.ts';
import { compileFunction } from '../../../src/wit/codec.ts';
import type { Encoded } from '../../../src/wit/encode-async.ts';
import { encodeInline } from '../../../src/wit/inline.ts';
import { PENDING, ReadyFuture, ReadyStream } from '../../../src/wit/js-shapes.ts';
import { pump } from '../../../src/wit/pump.ts';
import { codecOf, hex, toHex, witFunction } from '../../support/wit-functions.ts';

type Stream = AsyncIterableIterator<unknown>;

async function collect(stream: unknown): Promise<unknown[]> {
  const out: unknown[] = [];
  for await (const each of stream as Stream) out.push(each);
  return out;
}

function pendingOf(encoded: Encoded): Extract<Encoded, { ok: true }> {
  if (!encoded.ok) throw new Error(encoded.reason);
  return encoded;
}

/** Everything sent, as lines `path: bytes`, with `.` after the last of a path. */
async function sent(encoded: Encoded): Promise<string[]> {
  const { bytes, pending } = pendingOf(encoded);
  const lines = [`: ${toHex(bytes)}`];
  await pump(pending, (path, content, end) => void lines.push(`${path.join('.')}: ${toHex(content)}${end ? '.' : ''}`));
  return lines;
}

function* later<T>(...items: T[]): Generator<T> {
  yield* items;
}

/** Decodes the first parameter of `f(type)` with its pending content still to come. */
function receive(
  type: string,
  root: string,
  options?: ConstructorParameters<typeof AsyncValues>[0],
): { values: AsyncValues; value: unknown } {
  const values = new AsyncValues(options);
  const decoded = compileFunction(witFunction([type], null)).decodeParams(hex(root), values);
  if (!decoded.ok) throw new Error(decoded.reason);
  return { values, value: decoded.values[0] };
}

describe('sending', () => {
  it('sends a stream in chunks and its end marker', async () => {
    const codec = compileFunction(witFunction(['u8', 'stream<u8>'], null));
    const chunks = later(Buffer.from('abc'), Buffer.from('de'));
    expect(await sent(codec.encodeParams([7, chunks]))).toEqual([': 0700', '1: 03616263', '1: 026465', '1: 00.']);
  });

  it('sends elements that come in one turn together, and does not wait for those that do not', async () => {
    async function* slow(): AsyncGenerator<string> {
      yield 'a';
      yield 'b';
      await new Promise((resolve) => setTimeout(resolve, 5));
      yield 'c';
    }
    expect(await sent(codecOf('stream<string>').encodeResult(slow()))).toEqual([': 00', '0: 0201610162', '0: 010163', '0: 00.']);
  });

  it('sends lists and ready values inline, empty streams pending', async () => {
    const codec = codecOf('tuple<stream<u64>, future<string>, stream<u8>, stream>');
    const value = [[1n, 128n], 'later', new Uint8Array(0), new ReadyStream([[], []])];
    expect(await sent(codec.encodeResult(value))).toEqual([
      ': 02018001 01056c61746572 00 02'.replaceAll(' ', '').replace(':', ': '),
      '0.2: 00.',
    ]);
  });

  it('reads a stream as jco gives it, by count', async () => {
    const parts: unknown[] = [[1, 2], Uint8Array.of(3), []];
    const asked: number[] = [];
    const stream = {
      [Symbol.asyncIterator]() {
        throw new Error('never element by element');
      },
      async read({ count }: { count: number }) {
        asked.push(count);
        return parts.length > 0 ? { value: parts.shift(), done: false } : { value: undefined, done: true };
      },
    };
    expect(await sent(codecOf('stream<u8>').encodeResult(stream))).toEqual([': 00', '0: 020102', '0: 0103', '0: 00.']);
    expect(Math.min(...asked)).toBeGreaterThanOrEqual(16_384);
  });

  it('lets pending inside pending share the path', async () => {
    const inner = later('foo', 'bar');
    const codec = compileFunction(witFunction(['future<future<future<stream<string>>>>'], null));
    // A promise never holds a promise in JavaScript: ready futures keep the levels apart.
    const value = Promise.resolve(new ReadyFuture(new ReadyFuture(inner)));
    expect(await sent(codec.encodeParams([value]))).toEqual([': 00', '0: 010100', '0: 0203666f6f03626172', '0: 00.']);
  });

  it('gives elements of a stream paths of their own, counted across chunks', async () => {
    const codec = codecOf('stream<record{n: u8, body: stream<u8>}>');
    const stream = later({ n: 1, body: later(Uint8Array.of(9)) }, { n: 2, body: [8] }, { n: 3, body: later(7) });
    const lines = await sent(codec.encodeResult(stream));
    expect(lines.slice(0, 2)).toEqual([': 00', '0: 03 0100 020108 0300'.replaceAll(' ', '').replace(':', ': ')]);
    expect(lines.slice(2).sort()).toEqual(['0.0.1: 00.', '0.0.1: 0109', '0.2.1: 00.', '0.2.1: 0107', '0: 00.']);
  });

  it('option, result and variant add nothing to a path', async () => {
    const codec = codecOf('result<tuple<stream<u8>, future<result<_, string>>>, string>');
    const value = { tag: 'ok', val: [later(1), Promise.resolve({ tag: 'err', val: 'x' })] };
    expect((await sent(codec.encodeResult(value))).sort()).toEqual(['0.0: 00.', '0.0: 0101', '0.1: 010178.', ': 000000']);
  });

  it('stops everything when one source fails, and says why', async () => {
    let stopped = false;
    async function* endless(): AsyncGenerator<number> {
      try {
        for (;;) {
          await new Promise((resolve) => setImmediate(resolve));
          yield 1;
        }
      } finally {
        stopped = true;
      }
    }
    async function* broken(): AsyncGenerator<number> {
      yield 1;
      throw new Error('source broke');
    }
    const { pending } = pendingOf(codecOf('tuple<stream<u8>, stream<u8>>').encodeResult([endless(), broken()]));
    const ends: string[] = [];
    await expect(pump(pending, (path, _bytes, end) => void (end && ends.push(path.join('.'))))).rejects.toThrow('source broke');
    await new Promise((resolve) => setTimeout(resolve, 10));
    expect({ stopped, ends }).toEqual({ stopped: true, ends: [] });
  });

  it('refuses elements of the wrong type, rejected futures, and stops on abort', async () => {
    const run = (type: string, value: unknown, signal?: AbortSignal): Promise<void> =>
      pump(pendingOf(codecOf(type).encodeResult(value)).pending, () => {}, signal);
    await expect(run('stream<u8>', later<unknown>(1, 'x'))).rejects.toThrow(
      'async value 0: expected a number (u8), got a string',
    );
    await expect(run('future<u8>', Promise.resolve('x'))).rejects.toThrow('async value 0: expected a number (u8), got a string');
    await expect(run('future<u8>', Promise.reject(new Error('gone')))).rejects.toThrow('gone');
    await expect(run('future<u8>', PENDING)).rejects.toThrow('the future has no value');
    const stuck = new AbortController();
    const waiting = run('future<u8>', new Promise(() => {}), stuck.signal);
    stuck.abort(new Error('deadline'));
    await expect(waiting).rejects.toThrow('deadline');
  });

  it('waits for a sender that cannot keep up', async () => {
    let produced = 0;
    function* source(): Generator<Uint8Array> {
      for (; produced < 100; produced++) yield new Uint8Array(10);
    }
    const { pending } = pendingOf(codecOf('stream<u8>').encodeResult(source()));
    let release = (): void => {};
    const done = pump(pending, () => new Promise<void>((resolve) => (release = resolve)));
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect(produced).toBeLessThan(3);
    const pull = setInterval(() => release(), 0);
    await done;
    clearInterval(pull);
  });
});

describe('receiving', () => {
  it('joins chunks split anywhere', async () => {
    const { values, value } = receive('stream<u8>', '00');
    for (const part of ['03', '6162', '6302', '64', '65', '00']) values.push('0', hex(part), false);
    expect(Buffer.concat((await collect(value)) as Uint8Array[]).toString()).toBe('abcde');
    expect(values.bufferedBytes).toBe(0);
  });

  it('takes the empty message alone as the end of a stream', async () => {
    const { values, value } = receive('stream<string>', '00');
    values.push('0', hex('0203666f6f0362'), false);
    values.push('0', hex('6172'), false);
    values.push('0', hex(''), true);
    expect(await collect(value)).toEqual(['foo', 'bar']);
  });

  it('takes content that came before the root, and hands over what is there', async () => {
    const values = new AsyncValues();
    values.push('0.1', hex('02 01 8001'), false);
    const decoded = compileFunction(witFunction(['record{a: u8, s: stream<u64>}'], null)).decodeParams(hex('0500'), values);
    if (!decoded.ok) throw new Error(decoded.reason);
    const { s } = decoded.values[0] as { s: Stream };
    expect(await s.next()).toEqual({ value: BigUint64Array.of(1n, 128n), done: false });
    const waiting = s.next();
    values.push('0.1', hex('01 07 00'), true);
    expect(await waiting).toEqual({ value: BigUint64Array.of(7n), done: false });
    expect(await s.next()).toEqual({ value: undefined, done: true });
  });

  it('gives the same stream when an incomplete root is decoded again', () => {
    const values = new AsyncValues();
    const codec = compileFunction(witFunction(['stream<u8>', 'string'], null));
    const seen: unknown[] = [];
    const source = {
      stream: (...args: Parameters<AsyncValues['stream']>) => seen[seen.push(values.stream(...args)) - 1],
      future: (...args: Parameters<AsyncValues['future']>) => values.future(...args),
    };
    expect(codec.decodeParams(hex('000261'), source)).toMatchObject({ ok: false, incomplete: true, need: 4 });
    expect(codec.decodeParams(hex('00026161'), source)).toMatchObject({ ok: true });
    expect(seen).toHaveLength(2);
    expect(seen[0]).toBe(seen[1]);
  });

  it.each([
    ['stream<u8>', '0361', 'it ends in the middle of a value'],
    ['stream<string>', '02 0161', 'it ends in the middle of a value'],
    ['stream<string>', '01 0561', 'it ends in the middle of a value'],
    ['stream<u8>', '80', 'it ends in the middle of a value'],
    ['stream<bool>', '01 02', 'a bool, option or result is neither 0 nor 1 at byte 0'],
    ['future<string>', '', 'it ends in the middle of a value'],
    ['future<string>', '0261', 'it ends in the middle of a value'],
  ])('never takes a broken %s (%s) for a whole one', async (type, content, reason) => {
    const { values, value } = receive(type, '00');
    const reading = type.startsWith('stream') ? collect(value) : (value as Promise<unknown>);
    values.push('0', hex(content), true);
    await expect(reading).rejects.toThrow(reason);
    expect(values.push('0', hex('00'), true)).toBe(false);
  });

  it('with onFault, tells it once and leaves the readers waiting', async () => {
    const faults: string[] = [];
    const { values, value } = receive('tuple<stream<u8>, future<u8>>', '0000', { onFault: (reason) => faults.push(reason) });
    const [stream, future] = value as [Stream, Promise<number>];
    let settled = 0;
    const count = (): void => void settled++;
    stream.next().then(count, count);
    future.then(count, count);
    values.push('0.0', hex('05'), true);
    values.fail('again');
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect({ faults, settled }).toEqual({ faults: ['it ends in the middle of a value'], settled: 0 });
  });

  it('reads pending inside pending from one path, as Rust sends it', async () => {
    const { values, value } = receive('future<future<future<stream<string>>>>', '00');
    for (const part of ['00', '00', '00', '0103666f6f', '0103626172', '00', '']) values.push('0', hex(part), part === '');
    expect(await collect(await (value as Promise<unknown>))).toEqual(['foo', 'bar']);
  });

  it('reads streams inside the elements of a stream', async () => {
    const { values, value } = receive('stream<stream<u8>>', '00');
    values.push('0.1', hex('01 08 00'), true);
    values.push('0', hex('01 00 01 00 00'), true);
    const [first, second] = (await collect(value)) as [Stream, Stream];
    values.push('0.0', hex('01 07 00'), true);
    expect([await collect(first), await collect(second)]).toEqual([[Uint8Array.of(7)], [Uint8Array.of(8)]]);
  });

  it('drops what comes after the reader has left', async () => {
    const { values, value } = receive('stream<u8>', '00', { maxBufferedBytes: 10 });
    const stream = value as Required<Stream>;
    values.push('0', hex('03616263'), false);
    await stream.return();
    expect(values.push('0', new Uint8Array(1000), false)).toBe(true);
    expect(values.bufferedBytes).toBe(0);
    expect(await stream.next()).toEqual({ value: undefined, done: true });
  });

  it('reads streams and futures without type', async () => {
    const { values, value } = receive('tuple<stream, future>', '0000');
    const [stream, future] = value as [Stream, Promise<unknown>];
    values.push('0.0', hex('02 00'), true);
    values.push('0.1', hex(''), true);
    expect(await collect(stream)).toEqual([undefined, undefined]);
    expect(await future).toBeUndefined();
  });

  it('gives inline content at once', async () => {
    const { value } = receive('tuple<stream<u8>, future<string>, stream<string>>', '03616263 01056c61746572 01 0161');
    const [bytes, future, strings] = value as [Stream, Promise<string>, Stream];
    expect(await collect(bytes)).toEqual([hex('616263')]);
    expect(await future).toBe('later');
    expect(await collect(strings)).toEqual(['a']);
  });
});

describe('inline', () => {
  it('waits for the content and sends it inside the root', async () => {
    const codec = codecOf('record{body: stream<u8>, names: stream<string>, trailers: future<option<stream<u16>>>}');
    const value = {
      body: later<unknown>(Buffer.from('ab'), 99),
      names: later('x', 'y'),
      trailers: Promise.resolve(later(300)),
    };
    const encoded = await encodeInline(codec, 'result', [value], 1000);
    expect(encoded.ok && toHex(encoded.bytes)).toBe('03616263 0201780179 010101ac02'.replaceAll(' ', ''));
  });

  it('refuses what cannot be inline, what is too much, and what fails', async () => {
    const run = async (type: string, value: unknown): Promise<unknown> => {
      const encoded = await encodeInline(codecOf(type), 'result', [value], 100);
      return encoded.ok ? toHex(encoded.bytes) : encoded.why;
    };
    expect(await run('stream<u8>', later())).toBe('cannot-inline');
    expect(await run('stream<u8>', [])).toBe('cannot-inline');
    expect(await run('stream<u8>', PENDING)).toBe('cannot-inline');
    expect(await run('stream<u8>', later(new Uint8Array(60), new Uint8Array(60)))).toBe('too-large');
    expect(await run('list<u8>', new Uint8Array(100))).toBe('too-large');
    expect(await run('stream<u8>', later('x'))).toBe('value');
    expect(await run('future<u8>', Promise.reject(new Error('gone')))).toBe('value');
    expect(await run('future', Promise.resolve())).toBe('01');
    expect(await run('stream', later(0, 0))).toBe('02');
  });
});
