import { describe, expect, it } from 'vitest';
import { planFor } from '../../../src/component/transpile-plan.ts';
import type { ComponentTypes, WitFunction, WitType } from '../../../src/wit/types.ts';

const fn = (name: string, result: WitType | null = null, async = false): WitFunction => ({
  name,
  wireName: name,
  params: [],
  result,
  async,
});
const types = (imports: [string, WitFunction[]][], exports: [string, WitFunction[]][]): ComponentTypes => ({
  imports: imports.map(([name, functions]) => ({ name, functions })),
  exports: exports.map(([name, functions]) => ({ name, functions })),
});
const CLOCK = 'wasi:clocks/monotonic-clock@0.2.3';
const POLL: [string, WitFunction[]] = [
  'wasi:io/poll@0.2.3',
  [fn('poll'), fn('[method]pollable.block'), fn('[method]pollable.ready')],
];

describe('planFor', () => {
  it('translates what never waits without suspension', () => {
    const plan = planFor(
      types([POLL, [CLOCK, [fn('now')]], ['wasi:cli/stdout@0.2.0', [fn('get-stdout')]]], [['a:b/c@1.0.0', [fn('d')]]]),
    );
    expect(plan).toMatchObject({ asyncMode: 'sync', asyncImports: [], asyncExports: [] });
  });

  it('lets polling wait when there are timers to wait for', () => {
    const plan = planFor(types([POLL, [CLOCK, [fn('subscribe-duration')]]], [['a:b/c@1.0.0', [fn('d')]]]));
    expect(plan.asyncMode).toBe('jspi');
    expect(plan.asyncImports).toEqual(['wasi:io/poll@0.2.3#poll', 'wasi:io/poll@0.2.3#[method]pollable.block']);
    expect(plan.asyncExports).toEqual(['a:b/c@1.0.0#d']);
  });

  it('lets streams wait for requests that come, and for objects', () => {
    const streams: [string, WitFunction[]] = ['wasi:io/streams@0.2.0', [fn('[method]input-stream.blocking-read')]];
    const waits = ['wasi:io/streams@0.2.0#[method]input-stream.blocking-read'];
    const serving = planFor(types([streams], [['wasi:http/incoming-handler@0.2.9', [fn('handle')]]]));
    expect(serving).toMatchObject({
      asyncMode: 'jspi',
      asyncImports: waits,
      asyncExports: ['wasi:http/incoming-handler@0.2.9#handle'],
    });
    const blobs = types([streams, ['wasi:blobstore/types@0.2.0-draft', [fn('[method]incoming-value.size')]]], []);
    expect(planFor(blobs).asyncImports).toEqual([...waits, 'wasi:blobstore/types@0.2.0-draft#[method]incoming-value.size']);
  });

  it('lets the choice of a link wait for the host', () => {
    const plan = planFor(
      types(
        [['wasmcloud:bus/lattice@2.0.1', [fn('[constructor]call-target-interface'), fn('set-link-name')]]],
        [['a:b/c', [fn('d')]]],
      ),
    );
    expect(plan).toMatchObject({ asyncMode: 'jspi', asyncImports: ['wasmcloud:bus/lattice@2.0.1#set-link-name'] });
  });

  it.each(['wasi:http/outgoing-handler@0.2.3', 'wasi:sockets/tcp-create-socket@0.2.0', 'wasi:sockets/ip-name-lookup@0.2.0'])(
    'lets polling and streams wait for what %s opens',
    (name) => {
      const streams: [string, WitFunction[]] = [
        'wasi:io/streams@0.2.0',
        [fn('[method]input-stream.read'), fn('[method]input-stream.blocking-read'), fn('[method]output-stream.blocking-flush')],
      ];
      const exported: [string, WitFunction[]] = ['a:b/c@1.0.0', [fn('d')]];
      expect(planFor(types([POLL, streams, [name, [fn('open')]]], [exported])).asyncImports).toEqual([
        'wasi:io/poll@0.2.3#poll',
        'wasi:io/poll@0.2.3#[method]pollable.block',
        'wasi:io/streams@0.2.0#[method]input-stream.blocking-read',
        'wasi:io/streams@0.2.0#[method]output-stream.blocking-flush',
      ]);
      // Its types alone open nothing.
      expect(planFor(types([POLL, streams, [name, []]], [exported])).asyncMode).toBe('sync');
    },
  );

  it('lets every call of a link wait, by exact name, and keeps two versions of an interface apart', () => {
    const plan = planFor(
      types(
        [
          ['x:y/z@1.0.0', [fn('f')]],
          ['x:y/z@2.0.0', [fn('[method]r.f')]],
          ['', [fn('log')]],
        ],
        [['', [fn('run')]]],
      ),
    );
    expect(plan.asyncImports).toEqual(['x:y/z@1.0.0#f', 'x:y/z@2.0.0#[method]r.f', 'log']);
    expect(plan.asyncExports).toEqual(['run']);
    expect(plan.map).toEqual({ 'x:y/z@1.0.0': 'x:y/z@1.0.0', 'x:y/z@2.0.0': 'x:y/z@2.0.0', log: 'log' });
  });

  it('does not mark constructors, which cannot be async', () => {
    const exported: [string, WitFunction[]] = ['a:b/c', [fn('[constructor]r'), fn('[static]r.s'), fn('[method]r.m')]];
    expect(planFor(types([['x:y/z', [fn('f')]]], [exported])).asyncExports).toEqual(['a:b/c#[static]r.s', 'a:b/c#[method]r.m']);
  });

  it.each([
    ['an async function', fn('f', null, true)],
    ['a stream', fn('f', { kind: 'option', some: { kind: 'stream', elem: { kind: 'u8' } } })],
  ])('suspends for %s among the exports', (_what, exported) => {
    expect(planFor(types([], [['a:b/c', [exported]]])).asyncMode).toBe('jspi');
  });
});
