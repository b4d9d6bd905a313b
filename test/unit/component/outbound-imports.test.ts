import { expect, it } from 'vitest';
import { OutboundImports } from '../../../src/component/outbound-imports.ts';
import { FrameWriter } from '../../../src/component/runner/frames.ts';
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
      invokeImport: () => ({ sendPath: () => {}, cancel: () => {} }),
      // No such call: each of these frames is answered with a failure.
      call: () => undefined,
    },
    writer,
  );
  const body = Buffer.alloc(7);
  let frames = 0;
  while (frames < 8_000_000 && outbound.onImport(frames, body)) {
    frames++;
    if (frames % 1_000 === 0) writer.flush();
  }
  expect(frames).toBeLessThan(8_000_000);
  expect(sink.writableLength).toBeLessThan(129 * 1024 * 1024);
});
