import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sampleComponents } from '../../src/development.ts';
import { relayComponent } from '../support/components.ts';
import { startTestLattice, type TestLattice } from '../support/lattice.ts';
import { bytes, RawPeer, until, type RawCall, type RawService } from '../support/raw-peer.ts';
import { leb, sized } from '../support/running-component.ts';

const STREAMS = 'default.echo-streams.wrpc.0.0.1.trellis-samples:echo/streams@0.1.0';
const RELAYED = 'default.relay.wrpc.0.0.1.trellis-samples:relay/relayed@0.1.0';
const RAW_STREAMS = 'default.raw-streams.wrpc.0.0.1.trellis-samples:echo/streams@0.1.0';

interface TraceMessage {
  readonly from: 'client' | 'server';
  readonly subject: string;
  readonly hex: string;
}
const { nats } = JSON.parse(readFileSync(new URL('../fixtures/wrpc-vectors.json', import.meta.url), 'utf8')) as {
  nats: { traces: { name: string; messages?: TraceMessage[] }[] };
};
const trace = (name: string): TraceMessage[] => nats.traces.find((each) => each.name.startsWith(name))!.messages!;

/** The recorded HTTP trace with the head of echo's own record: the same paths and frames. */
const messageTrace = (): TraceMessage[] =>
  trace('wrpc:http').map((message, i) => (i === 0 ? { ...message, hex: `0000${sized('/a').toString('hex')}00` } : message));

let test: TestLattice;
let peer: RawPeer;
let behave: (call: RawService) => void;
beforeAll(async () => {
  test = await startTestLattice({
    trust: { verify: 'off' },
    limits: { maxExecutionTimeMs: 10_000 },
    components: [
      ...sampleComponents().filter(({ id }) => id === 'echo-streams'),
      { id: 'relay', file: relayComponent().file },
      { id: 'raw-relay', file: relayComponent().file, timeoutMs: 2_000 },
    ],
    links: [
      { source: 'relay', target: 'echo-streams', namespace: 'trellis-samples', package: 'echo', interfaces: ['streams'] },
      { source: 'raw-relay', target: 'raw-streams', namespace: 'trellis-samples', package: 'echo', interfaces: ['streams'] },
    ],
  });
  peer = await RawPeer.connect(test.lattice.server.url);
  await peer.serve(`${RAW_STREAMS}.>`, (call) => behave(call));
});
afterAll(async () => {
  await peer[Symbol.asyncDispose]();
  await test[Symbol.asyncDispose]();
});

/** Elements of a stream of bytes: chunks, and a list of none at the end. Throws if it is not a whole stream. */
function streamed(content: Buffer): Buffer {
  const chunks: Buffer[] = [];
  for (let at = 0; at < content.length;) {
    let count = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = content[at++]!;
      count |= (byte & 127) << shift;
      if (byte < 128) break;
    }
    if (count === 0) {
      expect(at).toBe(content.length);
      return Buffer.concat(chunks);
    }
    expect(at + count).toBeLessThanOrEqual(content.length);
    chunks.push(content.subarray(at, at + count));
    at += count;
  }
  throw new Error('the stream has no end');
}

/** The client's messages of a recorded trace, sent to a real function in their order. */
async function replay(subject: string, messages: readonly TraceMessage[]): Promise<RawCall> {
  const [first, ...later] = messages.filter(({ from }) => from === 'client');
  const call = peer.call(subject, first!.hex);
  const rs = await call.acknowledged();
  for (const { subject: to, hex } of later) {
    const path = to.slice('Rs.params'.length);
    if (hex === '') call.end(rs, path);
    else call.params(rs, hex, path);
  }
  return call;
}

describe('a 1.x caller', () => {
  it('streams as in the recorded trace of stream<u8>', async () => {
    const call = await replay(`${STREAMS}.echo-bytes`, trace('echo-stream'));
    expect((await call.result()).toString('hex')).toBe('00');
    expect(streamed(await call.result('.0')).toString()).toBe('abcde');
  });

  it('sends a future as in the recorded trace of future<string>', async () => {
    const call = await replay(`${STREAMS}.echo-future`, trace('future<string> param'));
    expect((await call.result()).toString('hex')).toBe('00');
    expect((await call.result('.0')).toString('hex')).toBe('056c61746572');
  });

  it('sends a body and trailers on their paths, with the stray end of Rust on the path between, as the recorded HTTP trace does', async () => {
    const call = await replay(`${STREAMS}.echo-message`, messageTrace());
    expect((await call.result()).toString('hex')).toBe('0000022f6100');
    expect(streamed(await call.result('.0.0')).toString()).toBe('body-1body-2');
    expect((await call.result('.0.1')).toString('hex')).toBe('00');
  });

  it.each([
    ['in one message with its end', ['03 616263 00'], true],
    ['cut inside a chunk', ['03', '61', '6263', '0264', '65', '00'], true],
    ['ended by an empty list alone', ['03 616263', '00'], false],
    ['ended by the empty message alone', ['03 616263'], true],
  ])('streams %s', async (_what, pieces, ends) => {
    const call = peer.call(`${STREAMS}.echo-bytes`, '00');
    const rs = await call.acknowledged();
    for (const piece of pieces) call.params(rs, piece, '.0');
    if (ends) call.end(rs, '.0');
    expect(streamed(await call.result('.0')).toString()).toMatch(/^abc(?:de)?$/);
  });

  it('streams nothing', async () => {
    const call = peer.call(`${STREAMS}.echo-bytes`, '00');
    call.end(await call.acknowledged(), '.0');
    expect(streamed(await call.result('.0'))).toHaveLength(0);
  });

  it('may send content before its root', async () => {
    const call = peer.call(`${STREAMS}.count-bytes`, '');
    const rs = await call.acknowledged();
    call.params(rs, '03 616263 00', '.0');
    call.end(rs, '.0');
    call.params(rs, '00');
    call.end(rs);
    expect((await call.result()).toString('hex')).toBe('03');
  });

  it('may send values inline, and hears nothing more on their paths', async () => {
    const stream = peer.call(`${STREAMS}.count-bytes`, '03616263');
    expect((await stream.result()).toString('hex')).toBe('03');
    const future = peer.call(`${STREAMS}.echo-future`, '01 056c61746572');
    await future.result();
    expect((await future.result('.0')).toString('hex')).toBe('056c61746572');
  });

  it('gets what the guest reads and writes itself', async () => {
    const call = peer.call(`${STREAMS}.copy-bytes`, '00');
    const rs = await call.acknowledged();
    const content = Buffer.alloc(300_000, 'copy ');
    for (let at = 0; at < content.length; at += 10_000) call.params(rs, sized(content.subarray(at, at + 10_000)), '.0');
    call.params(rs, '00', '.0');
    expect(streamed(await call.result('.0')).equals(content)).toBe(true);
    const made = peer.call(`${STREAMS}.make-bytes`, leb(100_000));
    expect(streamed(await made.result('.0'))).toHaveLength(100_000);
  });

  it('gets streams inside options and results', async () => {
    const maybe = peer.call(`${STREAMS}.echo-maybe`, '01 00');
    maybe.params(await maybe.acknowledged(), '01 61 00', '.0');
    expect((await maybe.result()).toString('hex')).toBe('0100');
    expect(streamed(await maybe.result('.0')).toString()).toBe('a');
    const none = peer.call(`${STREAMS}.echo-maybe`, '00');
    expect((await none.result()).toString('hex')).toBe('00');
    const blob = peer.call(`${STREAMS}.echo-blob`, '00 00 00');
    const rs = await blob.acknowledged();
    blob.params(rs, '02 6869 00', '.0.0');
    blob.params(rs, '00', '.0.1');
    blob.end(rs, '.0.1');
    expect((await blob.result()).toString('hex')).toBe('000000');
    expect(streamed(await blob.result('.0.0')).toString()).toBe('hi');
    expect((await blob.result('.0.1')).toString('hex')).toBe('00');
  });

  it('goes through a chain of components', async () => {
    const call = peer.call(`${RELAYED}.echo-bytes`, '00');
    const rs = await call.acknowledged();
    const content = Buffer.alloc(200_000, 'chain ');
    for (let at = 0; at < content.length; at += 50_000) call.params(rs, sized(content.subarray(at, at + 50_000)), '.0');
    call.params(rs, '00', '.0');
    expect(streamed(await call.result('.0')).equals(content)).toBe(true);

    const message = await replay(`${RELAYED}.echo-message`, messageTrace());
    expect(streamed(await message.result('.0.0')).toString()).toBe('body-1body-2');
    expect((await message.result('.0.1')).toString('hex')).toBe('00');
  });
});

describe('a Trellis caller', () => {
  const later = { ready: { hex: '' } };
  it.each([
    ['echo-streams', 'streams.echo-bytes', { ready: { hex: '616263' } }],
    ['echo-streams', 'streams.echo-bytes', later],
    ['echo-streams', 'streams.echo-numbers', { ready: ['1', '128', '18446744073709551615'] }],
    ['echo-streams', 'streams.echo-strings', { ready: ['a', '', 'grüße'] }],
    ['echo-streams', 'streams.echo-future', { ready: 'later' }],
    ['echo-streams', 'streams.echo-maybe', { some: { ready: { hex: '00' } } }],
    ['echo-streams', 'streams.echo-maybe', null],
    ['echo-streams', 'streams.copy-bytes', { ready: { hex: '00ff'.repeat(50) } }],
    ['echo-streams', 'streams.echo-blob', { ok: [{ ready: { hex: '01' } }, { ready: { err: 'half' } }] }],
    ['echo-streams', 'streams.echo-blob', { err: 'none' }],
    [
      'echo-streams',
      'streams.echo-message',
      {
        body: { ready: { hex: '62' } },
        trailers: { ready: { some: [['x-t', { hex: '31' }]] } },
        path: '/',
        headers: [['a', { hex: '62' }]],
      },
    ],
    ['relay', 'relayed.echo-bytes', { ready: { hex: '616263' } }],
    ['relay', 'relayed.echo-bytes', later],
    ['relay', 'relayed.echo-message', { body: { ready: { hex: '62' } }, trailers: { ready: null }, path: '/', headers: [] }],
  ])('%s %s %j comes back', async (component, operation, value) => {
    expect((await test.call(component, operation, [value])).json).toEqual(value);
  });

  it('streams parameters over time', async () => {
    let counted: Uint8Array | undefined;
    const result = test.caller.call({
      target: 'echo-streams',
      instance: 'trellis-samples:echo/streams@0.1.0',
      func: 'count-bytes',
      params: bytes('00'),
      timeoutMs: 5_000,
      onHandle: (handle) => {
        for (let i = 0; i < 100; i++) setTimeout(() => handle.sendPath('0', sized(Buffer.alloc(1_000)), false), i);
        setTimeout(() => handle.sendPath('0', bytes('00'), true), 150);
      },
    });
    counted = await result;
    expect(Buffer.from(counted).equals(leb(100_000))).toBe(true);
  });
});

describe('a component that calls a 1.x server', () => {
  /** The server's messages of a trace, each with what stands for its inbox replaced. */
  const replayServer = (messages: readonly TraceMessage[]) => (call: RawService) => {
    for (const { subject, hex } of messages.filter(({ from }) => from === 'server')) {
      if (subject === 'Rc') call.acknowledge();
      else if (hex === '') call.end(subject.slice('Rc.results'.length));
      else call.results([hex], subject.slice('Rc.results'.length));
    }
  };

  it('gets a stream as in the recorded trace, and sends its own', async () => {
    let served: RawService | undefined;
    behave = (call) => {
      served = call;
      replayServer(trace('echo-stream'))(call);
    };
    const { json } = await test.call('raw-relay', 'relayed.echo-bytes', [{ ready: { hex: '' } }]);
    expect(json).toEqual({ ready: { hex: '6162636465' } });
    expect(served!.payload.toString('hex')).toBe('00');
    await until('the end of its stream', () =>
      served!.frames.some(({ tail, data }) => tail === '.params.0' && data.length === 0),
    );
    expect(
      streamed(Buffer.concat(served!.frames.filter(({ tail }) => tail === '.params.0').map(({ data }) => data))),
    ).toHaveLength(0);
  });

  it('gets a body and trailers as in the recorded HTTP trace', async () => {
    behave = replayServer(
      trace('wrpc:http').map((message) =>
        message.subject === 'Rc.results' && message.hex !== ''
          ? { ...message, hex: '0000 02 2f61 00'.replaceAll(' ', '') }
          : message,
      ),
    );
    const sent = { body: { ready: { hex: '62' } }, trailers: { ready: null }, path: '/', headers: [] };
    expect((await test.call('raw-relay', 'relayed.echo-message', [sent])).json).toEqual({
      body: { ready: { hex: Buffer.from('got 12').toString('hex') } },
      trailers: { ready: null },
      path: '/a',
      headers: [],
    });
  });

  it('gets content that overtakes the root', async () => {
    behave = (call) => {
      call.acknowledge();
      call.results(['026869', '00'], '.0');
      call.end('.0');
      call.results(['00']);
      call.end();
    };
    expect((await test.call('raw-relay', 'relayed.echo-bytes', [{ ready: { hex: '6162' } }])).json).toEqual({
      ready: { hex: '6869' },
    });
  });

  it.each([
    ['inside a value', ['056162'], 'TRELLIS_INVOKE_FAILED'],
    ['by the mark that a Trellis host sets', ['0161', '7f'], 'TRELLIS_INVOKE_FAILED'],
  ])('never takes a stream for whole that breaks off %s', async (_what, pieces, code) => {
    behave = (call) => {
      call.acknowledge();
      call.results(['00']);
      call.end();
      call.results(pieces, '.0');
      call.end('.0');
    };
    await expect(test.call('raw-relay', 'relayed.echo-bytes', [{ ready: { hex: '6162' } }])).rejects.toMatchObject({ code });
    const entry = test.logged.findLast(({ component, outcome }) => component === 'raw-relay' && outcome !== undefined);
    expect(entry).toMatchObject({ code: 'TRELLIS_INVOKE_TRAP' });
  });

  it('does not wait longer than its deadline for a stream that stops', async () => {
    behave = (call) => {
      call.acknowledge();
      call.results(['00']);
      call.end();
      call.results(['0161'], '.0');
    };
    await expect(test.call('raw-relay', 'relayed.echo-bytes', [{ ready: { hex: '6162' } }])).rejects.toMatchObject({
      // The import's deadline and the component's own are the same; whichever is looked at first says so.
      code: expect.stringMatching(/TRELLIS_INVOKE_(FAILED|TARGET_TIMEOUT)/),
    });
    await until('nothing is in flight', () => test.lattice.host.status().inFlight === 0);
  });
});
