import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { OutboundImports } from '../../../src/component/outbound-imports.ts';
import type { PendingCall } from '../../../src/component/pending-call.ts';
import { FRAME, FrameWriter } from '../../../src/component/runner/frames.ts';
import { componentId } from '../../../src/ids.ts';

it('GST-08 a runner that asks and never listens is given up before its answers fill the memory', () => {
  // The kernel takes nothing: the runner does not read.
  const sink = {
    writableLength: 0,
    write(bytes: Uint8Array): boolean {
      sink.writableLength += bytes.length;
      return false;
    },
    cork: () => {},
    uncork: () => {},
  };
  const writer = new FrameWriter(sink);
  const imports = [
    {
      index: 0,
      instance: 'a:b/c',
      fn: { name: 'f', wireName: 'f', params: [], result: null, async: false },
      asyncParams: false,
      asyncResult: false,
    },
  ];
  const outbound = new OutboundImports(
    {
      component: componentId('test'),
      imports,
      maxImportsPerCall: 10,
      maxParamsBytes: 1_000,
      hasLink: () => false,
      invokeImport: () => ({ sendPath: () => {}, cancel: () => {} }),
      // No such call: each of these frames is answered with a failure.
      call: () => undefined,
    },
    writer,
  );
  const body = Buffer.alloc(8);
  let frames = 0;
  while (frames < 8_000_000 && outbound.onImport(frames, body)) {
    frames++;
    if (frames % 1_000 === 0) writer.flush();
  }
  expect(frames).toBeLessThan(8_000_000);
  expect(sink.writableLength).toBeLessThan(129 * 1024 * 1024);
});

it('GST-08 a link is named by a token, or the runner is none of ours', () => {
  const linked: (string | undefined)[] = [];
  const fn = { name: 'f', wireName: 'f', params: [], result: null, async: false };
  const sink = { writableLength: 0, write: () => true, cork() {}, uncork() {} };
  const outbound = new OutboundImports(
    {
      component: componentId('test'),
      imports: [{ index: 0, instance: 'a:b/c', fn, asyncParams: false, asyncResult: false }],
      maxImportsPerCall: 1_000,
      maxParamsBytes: 1_000,
      invokeImport: ({ link }, events) => {
        linked.push(link);
        events.result(new Uint8Array(), false);
        return { sendPath() {}, cancel() {} };
      },
      hasLink: () => false,
      call: () => ({ importsMade: 0, deadlineMs: 0, depth: 0 }) as PendingCall,
    },
    new FrameWriter(sink),
  );
  const frame = (name: string, length = name.length): Buffer =>
    Buffer.concat([Buffer.from([1, 0, 0, 0, 0, 0, 0, length]), Buffer.from(name, 'latin1')]);
  expect(outbound.onImport(1, frame(''))).toBe(true);
  expect(outbound.onImport(2, frame('other-1'))).toBe(true);
  expect(linked).toEqual([undefined, 'other-1']);
  for (const odd of ['a.b', 'a b', '\n', '\u001b[2J', '>', 'x'.repeat(65)]) expect(outbound.onImport(3, frame(odd))).toBe(false);
  expect(outbound.onImport(3, frame('short', 200))).toBe(false);
  fc.assert(fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => void outbound.onImport(4, Buffer.from(bytes))));
});

describe('askLinks', () => {
  const asked: string[][] = [];
  const written: Buffer[] = [];
  const setup = (importsMade = 0, maxImportsPerCall = 10): OutboundImports => {
    const sink = {
      writableLength: 0,
      write: (bytes: Uint8Array) => written.push(Buffer.from(bytes)) > 0,
      cork() {},
      uncork() {},
    };
    const writer = new FrameWriter(sink);
    const call = { importsMade } as PendingCall;
    asked.length = 0;
    written.length = 0;
    return new OutboundImports(
      {
        component: componentId('test'),
        imports: [],
        maxImportsPerCall,
        maxParamsBytes: 1_000,
        invokeImport: () => ({ sendPath() {}, cancel() {} }),
        hasLink: (name, iface) => asked.push([name, iface]) > 0 && iface !== 'a:b/none',
        call: (id) => (id === 1 ? call : undefined),
      },
      writer,
    );
  };
  const question = (callId: number, text: string): Buffer => Buffer.concat([Buffer.from([callId, 0, 0, 0]), Buffer.from(text)]);
  const answer = async (): Promise<{ type: number; body: string }> => {
    await new Promise((resolve) => setImmediate(resolve));
    const frame = Buffer.concat(written);
    return { type: frame[4]!, body: frame.subarray(9).toString('latin1') };
  };

  it('is answered with the first interface that has no such link', async () => {
    expect(setup().onAskLinks(7, question(1, 'x\na:b/c\na:b/none\na:b/d\n'))).toBe(true);
    expect(asked).toEqual([
      ['x', 'a:b/c'],
      ['x', 'a:b/none'],
    ]);
    expect(await answer()).toEqual({ type: FRAME.links, body: '\u0001\0' });
    setup().onAskLinks(7, question(1, 'x\na:b/c\n'));
    expect(await answer()).toEqual({ type: FRAME.links, body: '\u00ff\u00ff' });
  });

  it('counts as an import, belongs to a call, and is bounded', async () => {
    expect(setup(10).onAskLinks(7, question(1, 'x\na:b/c\n'))).toBe(true);
    expect(await answer()).toEqual({ type: FRAME.importFail, body: 'one call may make 10 imports' });
    expect(setup().onAskLinks(7, question(2, 'x\na:b/c\n'))).toBe(true);
    expect(await answer()).toEqual({ type: FRAME.importFail, body: 'the call is over' });
    expect(asked).toEqual([]);
    expect(setup().onAskLinks(7, Buffer.alloc(3))).toBe(false);
    expect(setup().onAskLinks(7, Buffer.alloc(65 * 1024))).toBe(false);
    fc.assert(fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => void setup().onAskLinks(7, Buffer.from(bytes))));
  });
});
