import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseConfig } from '../../src/config/schema.ts';
import { COMMAND_LINE_ORIGIN, sampleComponents } from '../../src/development.ts';
import { startHost, type Host } from '../../src/host.ts';
import { silentLogger } from '../../src/telemetry/log.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { echoStreamsComponent, relayComponent } from '../support/components.ts';
import { startTestLattice, type TestLattice } from '../support/lattice.ts';
import { bytes, RawPeer, until, type RawService } from '../support/raw-peer.ts';
import { sized } from '../support/running-component.ts';

const VALUES = 'trellis-samples:echo/values@0.1.0';
const STREAMS = 'trellis-samples:echo/streams@0.1.0';
const MODES = ['enforce', 'observe', 'off'] as const;

describe.each(MODES)('verify: %s', (mode) => {
  let test: TestLattice;
  let peer: RawPeer;
  let behave: (call: RawService) => void;
  beforeAll(async () => {
    test = await startTestLattice({
      trust: { verify: mode, refusalGraceMs: 100 },
      limits: { maxExecutionTimeMs: 5_000, maxResultBytes: 4 * 1024 * 1024 },
      components: [
        ...sampleComponents().filter(({ id }) => id.startsWith('echo')),
        { id: 'relay', file: relayComponent().file },
        { id: 'lenient-relay', file: relayComponent().file },
      ],
      links: [
        { source: 'relay', target: 'echo-streams', namespace: 'trellis-samples', package: 'echo', interfaces: ['streams'] },
        { source: 'lenient-relay', target: 'lenient', namespace: 'trellis-samples', package: 'echo', interfaces: ['streams'] },
      ],
    });
    peer = await RawPeer.connect(test.lattice.server.url);
    await peer.serve(`default.raw.wrpc.0.0.1.${VALUES}.>`, (call) => behave(call));
  });
  afterAll(async () => {
    await peer[Symbol.asyncDispose]();
    await test[Symbol.asyncDispose]();
  });

  const denials = (code: string): Promise<number> => test.metric('trellis_denials_total', `code="${code}"`);
  const observed = (code: string): Promise<number> => test.metric('trellis_observed_denials_total', `code="${code}"`);
  const raw = (func: string, params: Uint8Array, timeoutMs = 5_000): Promise<Uint8Array> =>
    test.caller.call({ target: 'raw', instance: VALUES, func, params, timeoutMs });
  const ended = (component: string): Record<string, unknown> | undefined =>
    test.logged.findLast((line) => line['component'] === component && line['outcome'] !== undefined);

  it('a 1.x caller is refused with a status and no more, or served', async () => {
    const runs = test.runs('echo');
    const call = peer.call(`default.echo.wrpc.0.0.1.${VALUES}.echo-string`, '026869');
    if (mode === 'enforce') {
      expect(await call.refused()).toBe('401 invocation not signed');
      expect(call.frames).toHaveLength(1);
      expect(test.runs('echo')).toBe(runs);
      expect(await denials('TRELLIS_VERIFY_UNSIGNED')).toBe(1);
      expect(ended('echo')).toMatchObject({ outcome: 'denied', code: 'TRELLIS_VERIFY_UNSIGNED', origin: 'raw-caller' });
    } else {
      call.end(await call.acknowledged());
      expect((await call.result()).toString('hex')).toBe('026869');
      expect(test.runs('echo')).toBe(runs + 1);
      expect(await observed('TRELLIS_VERIFY_UNSIGNED')).toBe(mode === 'observe' ? 1 : 0);
    }
  });

  it('a Trellis caller is served, in one message and in many', async () => {
    for (const size of [10, 1_048_000, 2_500_000]) {
      const params = sized(Buffer.alloc(size, 1));
      const result = await test.caller.call({ target: 'echo', instance: VALUES, func: 'echo-bytes', params, timeoutMs: 10_000 });
      expect(Buffer.from(result).equals(params)).toBe(true);
      expect(ended('echo')).toMatchObject({ outcome: 'ok', verified: mode !== 'off' });
    }
  });

  it('parameters and results around the size of one message come through, whatever the headers take', async () => {
    for (let size = 1_048_576 - 1_400; size <= 1_048_576 + 10; size += 94) {
      const params = sized(Buffer.alloc(size, 2));
      const result = await test.caller.call({ target: 'echo', instance: VALUES, func: 'echo-bytes', params, timeoutMs: 10_000 });
      expect(Buffer.from(result).equals(params)).toBe(true);
    }
    expect(test.caller.member.rpc.state).toBe('connected');
  });

  it('inline streams and futures pass, through a chain too', async () => {
    const value = { ready: { hex: '616263' } };
    expect((await test.call('echo-streams', 'streams.echo-bytes', [value])).json).toEqual(value);
    expect((await test.call('relay', 'relayed.echo-bytes', [value])).json).toEqual(value);
    const message = { body: value, trailers: { ready: null }, path: '/', headers: [] };
    expect((await test.call('relay', 'relayed.echo-message', [message])).json).toEqual(message);
    expect((await test.call('echo-streams', 'streams.make-bytes', ['3'])).json).toEqual({ ready: { hex: '000102' } });
    expect(ended('echo-streams')).toMatchObject({ outcome: 'ok', verified: mode !== 'off' });
  });

  it('pending parameters pass, under enforce by a session', async () => {
    const counted = test.caller.call({
      target: 'echo-streams',
      instance: STREAMS,
      func: 'count-bytes',
      params: bytes('00'),
      timeoutMs: 5_000,
      pendingParams: true,
      onHandle: (handle) => {
        handle.sendPath('0', sized('abc'), false);
        handle.sendPath('0', bytes('00'), true);
      },
    });
    expect(Buffer.from(await counted).toString('hex')).toBe('03');
    expect(ended('echo-streams')).toMatchObject({ outcome: 'ok', verified: mode !== 'off' });
  });

  it('pending parameters may begin before a root of several messages is whole', async () => {
    // The path is so long that the root takes two messages; its content goes out with the rest of it.
    const params = Buffer.concat([bytes('0000'), sized(Buffer.alloc(1_200_000, 0x61)), bytes('00')]);
    const paths = new Map<string, Buffer>();
    const root = test.caller.call({
      target: 'echo-streams',
      instance: STREAMS,
      func: 'echo-message',
      params,
      timeoutMs: 8_000,
      pendingParams: true,
      onPath: (path, content) => void paths.set(path, Buffer.concat([paths.get(path) ?? Buffer.alloc(0), content])),
      onHandle: (handle) => {
        handle.sendPath('0.0', bytes('03 616263 00'), true);
        handle.sendPath('0.1', bytes('00'), true);
      },
    });
    expect(Buffer.from(await root).equals(params)).toBe(true);
    await until('the streams have ended', () => paths.get('0.0')?.at(-1) === 0);
  });

  it('a result that cannot be inline passes, under enforce by a session', async () => {
    const nothing = test.call('echo-streams', 'streams.make-bytes', ['0']);
    expect((await nothing).json).toEqual({ ready: { hex: '' } });
  });

  it('a caller that offers no session gets and gives inline values, or nothing', async () => {
    const before = await denials('TRELLIS_PATH_UNSIGNED_VALUES');
    const call = { target: 'echo-streams', instance: STREAMS, timeoutMs: 5_000 };
    expect(Buffer.from(await test.caller.call({ ...call, func: 'count-bytes', params: bytes('03616263') })).toString('hex')).toBe(
      '03',
    );
    if (mode !== 'enforce') return;
    const made = test.caller.call({ ...call, func: 'make-bytes', params: bytes('00') });
    await expect(made).rejects.toMatchObject({ code: 'TRELLIS_PATH_UNSIGNED_VALUES' });
    const counted = test.caller.call({ ...call, func: 'count-bytes', params: bytes('00') });
    await expect(counted).rejects.toMatchObject({ code: 'TRELLIS_PATH_UNSIGNED_VALUES' });
    expect(await denials('TRELLIS_PATH_UNSIGNED_VALUES')).toBe(before + 2);
    const sent = test.caller.call({
      ...call,
      func: 'count-bytes',
      params: bytes('00'),
      onHandle: (handle) => handle.sendPath('0', bytes('00'), true),
    });
    await expect(sent).rejects.toMatchObject({ code: 'TRELLIS_PATH_UNSIGNED_VALUES' });
  });

  it('an inline result beyond its limit is too large, and so is a pending one', async () => {
    await expect(test.call('echo-streams', 'streams.make-bytes', ['5000000'])).rejects.toMatchObject({
      code: 'TRELLIS_PATH_TOO_LARGE',
    });
    await until('its end is logged', () => ended('echo-streams')!['outcome'] === 'too-large');
    expect(ended('echo-streams')).toMatchObject({ code: 'TRELLIS_PATH_TOO_LARGE' });
  });

  it('a 1.x server is believed where nobody enforces', async () => {
    behave = (call) => {
      call.acknowledge();
      call.results(['2a']);
      call.end();
    };
    if (mode === 'enforce') {
      await expect(raw('answer', bytes(''), 500)).rejects.toMatchObject({
        code: 'TRELLIS_INVOKE_UNAUTHENTICATED',
        details: { detail: expect.stringContaining('not authentic') },
      });
    } else {
      expect(Buffer.from(await raw('answer', bytes(''))).toString('hex')).toBe('2a');
    }
    // A refusal may be of this very sort of peer: it counts everywhere, under enforce after a while.
    behave = (call) => call.refuse(503, 'No Responders');
    await expect(raw('answer', bytes(''))).rejects.toMatchObject({ code: 'TRELLIS_INVOKE_NO_RESPONDERS' });
  });

  it('a refusal is none the less one for a proof that nobody can check', async () => {
    behave = (call) => call.refuse(401, 'no', [['Lattice-Result', 'made.up.proof']]);
    await expect(raw('nothing', bytes(''))).rejects.toMatchObject({ code: 'TRELLIS_INVOKE_DENIED' });
    behave = (call) => call.refuse(500, 'no', [['Lattice-Result', 'unsigned constructor']]);
    await expect(raw('nothing', bytes(''))).rejects.toMatchObject({ code: 'TRELLIS_INVOKE_FAILED' });
    behave = (call) => call.refuse(401, 'no', [['Lattice-Result', 'unsigned ok']]);
    await expect(raw('nothing', bytes(''))).rejects.toMatchObject({ code: 'TRELLIS_INVOKE_DENIED' });
  });

  it('a host of the lattice that only observes proves its frames all the same', async () => {
    await using lenient = await startLenient(test);
    expect(lenient.status().ready).toBe(true);
    const value = { ready: { hex: '616263' } };
    expect((await test.call('lenient', 'streams.echo-bytes', [value])).json).toEqual(value);
    // Without a token there is no call that it could have a link for.
    if (mode === 'off') return;
    expect((await test.call('lenient-relay', 'relayed.echo-bytes', [value])).json).toEqual(value);
  });
});

/** A second host of the lattice, with its key, that observes. */
async function startLenient(test: TestLattice): Promise<Host> {
  const { config } = test.lattice;
  return startHost({
    config: parseConfig({
      ...config,
      stateDir: `${config.stateDir}/lenient`,
      trust: { ...config.trust, verify: 'observe', unlinkedOrigins: [COMMAND_LINE_ORIGIN, 'lenient-relay'] },
      components: [{ id: 'lenient', file: echoStreamsComponent().file }],
      links: [],
    }),
    log: silentLogger(),
    metrics: createMetrics({ eventLoop: false }),
  });
}
