import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadArtifact } from '../../src/component/artifact.ts';
import { preflight } from '../../src/component/preflight.ts';
import { transpileComponent } from '../../src/component/transpile.ts';
import { echoComponent, echoStreamsComponent, hostileComponent } from '../support/components.ts';
import type { HostileName, SampleComponent } from '../support/components.ts';
import { loadTranspiled } from '../support/transpiled.ts';
import type { GuestFunction } from '../support/transpiled.ts';

const MIB = 1_048_576;
let cacheDir: string;
beforeAll(() => {
  cacheDir = mkdtempSync(join(tmpdir(), 'trellis-samples-'));
});
afterAll(() => rmSync(cacheDir, { recursive: true, force: true }));

type Instance = Record<string, Record<string, GuestFunction>>;

/** Makes an instance of a sample that needs no imports. */
async function instantiate(sample: SampleComponent): Promise<Instance> {
  const { bytes } = await loadArtifact(sample.file, { maxBytes: 8 * MIB });
  const checked = preflight(bytes, { maxBytes: 8 * MIB });
  const transpiled = await transpileComponent(bytes, checked, {
    cacheDir,
    limits: { maxMemoryBytes: 16 * MIB },
    timeoutMs: 30_000,
  });
  return (await loadTranspiled(transpiled))({});
}

const camel = (name: string): string => name.replaceAll(/-(.)/g, (_, letter: string) => letter.toUpperCase());

/** All flags of `f0` to `f<count - 1>`, set where `isSet` says so. */
const flags = (count: number, isSet: (bit: number) => boolean): Record<string, boolean> =>
  Object.fromEntries(Array.from({ length: count }, (_, bit) => [`f${bit}`, isSet(bit)]));

const ann = { name: 'Ann €', age: 36, tags: ['a', 'bb'], home: { x: -1, y: 2 } };
const nobody = { name: '', age: 0, tags: [], home: undefined };
const shapes = [
  { tag: 'nothing' },
  { tag: 'count', val: 4_294_967_295 },
  { tag: 'total', val: 2n ** 64n - 1n },
  { tag: 'ratio', val: 1.5 },
  { tag: 'exact', val: -0.1 },
  { tag: 'label', val: 'text' },
  { tag: 'at', val: { x: -5, y: 6 } },
  { tag: 'letter', val: '😀' },
];
const integers = { a: 255, b: -128, c: 65_535, d: -32_768, e: 2 ** 32 - 1, f: -(2 ** 31), g: 2n ** 64n - 1n, h: -(2n ** 63n) };
const others = { i: 0.5, j: 1e300, k: true, l: 'ß', m: 'text', n: Uint8Array.of(1, 2), o: 7n };
const named = { p: { x: 1, y: -2 }, q: 'dark-blue', r: { read: true, write: false, runAs: true } };
const measurements = { ...integers, ...others, ...named };

const values: readonly (readonly [func: string, value: unknown])[] = [
  ['bool', true],
  ['bool', false],
  ['u8', 255],
  ['s8', -128],
  ['u16', 65_535],
  ['s16', -32_768],
  ['u32', 4_294_967_295],
  ['s32', -2_147_483_648],
  ['u64', 2n ** 64n - 1n],
  ['s64', -(2n ** 63n)],
  ['f32', 1.5],
  ['f64', Math.PI],
  ['char', '😀'],
  ['string', 'grüße'],
  ['string', ''],
  ['bytes', new Uint8Array(300_000).fill(7)],
  ['u16s', Uint16Array.of(1, 65_535)],
  ['u32s', Uint32Array.of(1, 2 ** 32 - 1)],
  ['s64s', BigInt64Array.of(-1n, 5n)],
  ['f64s', Float64Array.of(1.5, -0)],
  ['bools', [true, false]],
  ['chars', ['a', '€']],
  ['strings', ['x', '', 'yy']],
  ['string-lists', [['a'], [], ['b', 'c']]],
  ['records', [ann, nobody]],
  ['shapes', shapes],
  ['options', ['a', undefined, '']],
  [
    'fields',
    [
      ['accept', [Uint8Array.of(42, 47, 42)]],
      ['empty', []],
    ],
  ],
  ['point', { x: -1, y: 1 }],
  ['person', ann],
  ['person', nobody],
  ['measurements', measurements],
  ['measurements', { ...measurements, o: undefined }],
  ...shapes.map((shape) => ['shape', shape] as const),
  ['color', 'dark-blue'],
  ['access', { read: true, write: false, runAs: true }],
  ['seventeen', flags(17, (bit) => bit % 3 === 0 || bit === 16)],
  ['thirty-two', flags(32, (bit) => bit % 2 === 1)],
  ['option', 5],
  ['option', undefined],
  ['option-string', 'text'],
  ['option-option', { tag: 'none' }],
  ['option-option', { tag: 'some', val: undefined }],
  ['option-option', { tag: 'some', val: 9 }],
  ['result-value', [{ tag: 'ok', val: 2 ** 32 - 1 }]],
  ['result-value', [{ tag: 'err', val: 'no' }]],
  ['tuple', [1, 2, 3, 4n, -1, -2, -3, -4n, 0.5, 0.25]],
];

const results: readonly (readonly [func: string, value: { tag: 'ok' | 'err'; val?: unknown }])[] = [
  ['result', { tag: 'ok', val: true }],
  ['result', { tag: 'err', val: 'no' }],
  ['result-empty', { tag: 'ok' }],
  ['result-empty', { tag: 'err' }],
  ['result-unit', { tag: 'ok' }],
  ['result-unit', { tag: 'err', val: 'no' }],
  ['result-kv', { tag: 'ok' }],
  ['result-kv', { tag: 'ok', val: Uint8Array.of(1) }],
  ['result-kv', { tag: 'err', val: { tag: 'access-denied' } }],
  ['result-kv', { tag: 'err', val: { tag: 'other', val: 'no' } }],
];

describe('echo', () => {
  let echo: Record<string, GuestFunction>;
  let counters: Record<string, GuestFunction>;
  let world: Instance;
  beforeAll(async () => {
    world = await instantiate(echoComponent());
    echo = world['trellis-samples:echo/values@0.1.0']!;
    counters = world['trellis-samples:echo/counters@0.1.0']!;
  });

  it.each(values)('echo-%s returns %o', (func, value) => {
    expect(echo[camel(`echo-${func}`)]!(value)).toStrictEqual(value);
  });

  it.each(results)('echo-%s returns or throws %o', (func, value) => {
    const call = (): unknown => echo[camel(`echo-${func}`)]!(value);
    if (value.tag === 'ok') expect(call()).toStrictEqual(value.val);
    else expect(call).toThrow(expect.objectContaining({ payload: value.val }));
  });

  it('takes several parameters, many, none', () => {
    expect(echo['echoThree']!('a', 5n, 'note')).toEqual(['a', 5n, 'note']);
    expect(echo['sum']!(...Array.from({ length: 17 }, () => 2 ** 32 - 1))).toBe(17n * (2n ** 32n - 1n));
    expect(echo['answer']!()).toBe(42);
    expect(echo['discard']!(Uint8Array.of(1))).toBeUndefined();
    expect(echo['nothing']!()).toBeUndefined();
    expect((world as unknown as { shout: GuestFunction }).shout('grüße')).toBe('GRüßE');
  });

  it('counts with resources', () => {
    interface Counter {
      up(by: number): number;
      value(): number;
    }
    const Counter = counters['Counter'] as unknown as (new (start: number) => Counter) & {
      merge(a: Counter, b: Counter): Counter;
    };
    const first = new Counter(5);
    const second = new Counter(2 ** 32 - 1);
    expect(first.up(2)).toBe(7);
    expect(counters['peek']!(second)).toBe(2 ** 32 - 1);
    const merged = Counter.merge(first, second);
    expect(merged.value()).toBe(6);
    expect(counters['finish']!(counters['pass']!(merged))).toBe(6);
  });

  it('keeps its memory small over many calls', () => {
    const data = new Uint8Array(65_536).fill(1);
    // 16 MiB is the limit of this instance; without a clean-up 256 calls would fill it.
    for (let call = 0; call < 1000; call++) echo['echoBytes']!(data);
    expect(echo['echoBytes']!(data)).toEqual(data);
  });
});

interface GuestStream {
  read(options: { count: number }): Promise<{ value?: ArrayLike<unknown>; done: boolean }>;
}

async function collect(stream: unknown): Promise<unknown[]> {
  const all: unknown[] = [];
  for (;;) {
    const { value, done } = await (stream as GuestStream).read({ count: 16_384 });
    if (value !== undefined) all.push(...Array.from(value));
    if (done) return all;
  }
}

async function* source<T>(...chunks: T[]): AsyncGenerator<T> {
  for (const chunk of chunks) {
    await new Promise((resolve) => setImmediate(resolve));
    yield chunk;
  }
}

describe('echo-streams', () => {
  let streams: Record<string, GuestFunction>;
  beforeAll(async () => {
    streams = (await instantiate(echoStreamsComponent()))['trellis-samples:echo/streams@0.1.0']!;
  });
  const chunk = Uint8Array.from({ length: 10_000 }, (_, i) => i);
  const twice = [...chunk, ...chunk];

  it('hands streams and futures back', async () => {
    expect(await collect(await streams['echoBytes']!(source(chunk, chunk)))).toEqual(twice);
    expect(await collect(await streams['echoNumbers']!(source(BigUint64Array.of(1n, 2n ** 64n - 1n))))).toEqual([
      1n,
      2n ** 64n - 1n,
    ]);
    expect(await collect(await streams['echoStrings']!(source('a', '', 'ß')))).toEqual(['a', '', 'ß']);
    expect(await collect(await streams['echoBytes']!(source()))).toEqual([]);
    const future = (await Promise.resolve({ held: streams['echoFuture']!(Promise.resolve('later')) })).held;
    expect(await future).toBe('later');
  });

  it('carries them in records, results and options', async () => {
    const headers = [['accept', Uint8Array.of(42)]];
    const request = { body: source(chunk), trailers: Promise.resolve(headers), path: '/x', headers };
    const message = (await streams['echoMessage']!(request)) as {
      body: unknown;
      trailers: Promise<unknown>;
      path: string;
      headers: unknown;
    };
    expect(message).toMatchObject({ path: '/x', headers });
    expect(await collect(message.body)).toEqual([...chunk]);
    expect(await message.trailers).toEqual(headers);

    const short = { tag: 'err', val: 'short' };
    const [data, status] = (await streams['echoBlob']!({ tag: 'ok', val: [source(chunk), Promise.resolve(short)] })) as [
      unknown,
      unknown,
    ];
    expect(await collect(data)).toEqual([...chunk]);
    expect(await status).toEqual(short);
    await expect(async () => streams['echoBlob']!({ tag: 'err', val: 'no' })).rejects.toMatchObject({ payload: 'no' });
    expect(await streams['echoMaybe']!(undefined)).toBeUndefined();
    expect(await collect(await streams['echoMaybe']!(source(chunk)))).toEqual([...chunk]);
  });

  it('reads and writes streams itself, several at once', async () => {
    expect(await streams['countBytes']!(source(chunk, chunk))).toBe(20_000n);
    expect(await collect(await streams['makeBytes']!(5000n))).toEqual(Array.from({ length: 5000 }, (_, i) => i % 256));
    expect(await collect(await streams['makeBytes']!(0n))).toEqual([]);
    expect(await streams['echoLater']!('soon')).toBe('soon');
    const copies = await Promise.all([streams['copyBytes']!(source(chunk, chunk)), streams['copyBytes']!(source(chunk))]);
    expect(await Promise.all(copies.map(collect))).toEqual([twice, [...chunk]]);
  });
});

describe('hostile', () => {
  it.each(['hostile', 'hostile-start', 'hostile-calls', 'hostile-probes', 'hostile-network', 'hostile-names'] as const)(
    '%s passes the checks before translation: what it does is for the runner to bear',
    (name: HostileName) => {
      const component = hostileComponent(name);
      expect(preflight(readFileSync(component.file), { maxBytes: MIB }).digest).toBe(component.digest);
    },
  );

  it('GST-11 uses names jco cannot handle, and is refused for them', () => {
    const bytes = readFileSync(hostileComponent('hostile-refused-names').file);
    expect(() => preflight(bytes, { maxBytes: MIB })).toThrow(expect.objectContaining({ code: 'TRELLIS_COMPONENT_NAME' }));
  });

  it('GST-11 uses names that mean something in JavaScript, and they mean nothing', async () => {
    const { names } = (await instantiate(hostileComponent('hostile-names'))) as { names: Record<string, GuestFunction> };
    for (const name of [
      'eval',
      'then',
      'constructor',
      'prototype',
      'await',
      'delete',
      'default',
      'instantiate',
      'toString',
      'hasOwnProperty',
    ]) {
      expect(Object.hasOwn(names, name)).toBe(true);
      expect(names[name]!('text')).toBe('text');
    }
    const thenable = Object.fromEntries(['then', 'constructor', 'toString', 'valueOf', 'proto'].map((field) => [field, field]));
    expect(names['echoThenable']!(thenable)).toEqual(thenable);
    expect(names['echoReserved']!('await')).toBe('await');
  });
});

it('keeps the copies of the hello interface alike', () => {
  const wit = (folder: string): string => readFileSync(new URL(`../../components/${folder}/hello.wit`, import.meta.url), 'utf8');
  expect(wit('greeter-chain/wit/deps')).toBe(wit('hello/wit'));
  expect(wit('hostile/wit/deps')).toBe(wit('hello/wit'));
});
