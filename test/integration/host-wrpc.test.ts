import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sampleComponents } from '../../src/development.ts';
import { hostileComponent, relayComponent } from '../support/components.ts';
import { startTestLattice, type TestLattice } from '../support/lattice.ts';
import { bytes, ONE_X_HEADERS, RawPeer, until, type RawService } from '../support/raw-peer.ts';
import { leb, sized } from '../support/running-component.ts';

/** The server's max_payload. */
const MAX_PAYLOAD = 1_048_576;
const VALUES = 'default.echo.wrpc.0.0.1.trellis-samples:echo/values@0.1.0';
const ATTACKS = 'default.hostile.wrpc.0.0.1.trellis-samples:hostile/attacks@0.1.0';
const HELLO = 'default.raw-hello.wrpc.0.0.1.trellis-samples:hello/greeting@0.1.0.greet';
const RAW_VALUES = 'default.raw-values.wrpc.0.0.1.trellis-samples:echo/values@0.1.0';

let test: TestLattice;
let peer: RawPeer;
beforeAll(async () => {
  test = await startTestLattice({
    trust: { verify: 'off' },
    limits: { maxExecutionTimeMs: 8_000 },
    components: [
      ...sampleComponents().filter(({ id }) => id === 'echo' || id === 'greeter-chain'),
      { id: 'hostile', file: hostileComponent('hostile').file, maxInstances: 2, timeoutMs: 1_500 },
      { id: 'probes', file: hostileComponent('hostile-probes').file, policy: 'reuse', maxInstances: 1 },
      { id: 'relay', file: relayComponent().file, timeoutMs: 3_000 },
      { id: 'quick-relay', file: relayComponent().file, timeoutMs: 400 },
      { id: 'unlinked', file: relayComponent().file },
    ],
    links: [
      { source: 'greeter-chain', target: 'raw-hello', namespace: 'trellis-samples', package: 'hello', interfaces: ['greeting'] },
      { source: 'relay', target: 'raw-values', namespace: 'trellis-samples', package: 'echo', interfaces: ['values', 'streams'] },
      { source: 'quick-relay', target: 'raw-values', namespace: 'trellis-samples', package: 'echo', interfaces: ['values'] },
    ],
  });
  peer = await RawPeer.connect(test.lattice.server.url);
});
afterAll(async () => {
  await peer[Symbol.asyncDispose]();
  await test[Symbol.asyncDispose]();
});

const text = (value: string): string => sized(value).toString('hex');
/** The host's log lines of calls of a function that ended with `code`. */
const logged = (operation: string, code: string): Record<string, unknown>[] =>
  test.logged.filter((line) => line['code'] === code && String(line['operation']).endsWith(operation));

describe('a 1.x caller', () => {
  it('gets acknowledgement, result and end, and no Trellis header makes it wait', async () => {
    const call = peer.call(`${VALUES}.echo-string`, text('hi'));
    const rs = await call.acknowledged();
    // As Rust clients do: only now the end.
    call.end(rs);
    expect((await call.result()).toString('hex')).toBe('026869');
    expect(call.seen).toEqual([expect.stringMatching(/^ ?reply$/), '.results 026869', '.results']);
    expect(rs).toMatch(/^_INBOX/);
  });

  it.each([
    ['without header block', [] as const],
    [
      'with headers it may know or not',
      [...ONE_X_HEADERS, ['target-id', 'echo'], ['tracestate', ''], ['x-other', 'a'], ['x-other', 'b']] as const,
    ],
    ['with a trace', [...ONE_X_HEADERS, ['traceparent', '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01']] as const],
  ])('is served %s', async (_what, headers) => {
    expect((await peer.invoke(`${VALUES}.echo-string`, text('hi'), headers)).toString('hex')).toBe('026869');
  });

  it('may split a value anywhere, and repeat the end', async () => {
    const call = peer.call(`${VALUES}.echo-string`, '');
    const rs = await call.acknowledged();
    for (const piece of ['02', '68', '69']) call.params(rs, piece);
    call.end(rs);
    call.end(rs);
    call.end(rs);
    expect((await call.result()).toString('hex')).toBe('026869');
  });

  it('may fill the first message to the last byte', async () => {
    const block = 12 + ONE_X_HEADERS.reduce((sum, [name, value]) => sum + name.length + value.length + 4, 0);
    const params = sized(Buffer.alloc(MAX_PAYLOAD - block - 3, 5));
    expect(params.length).toBe(MAX_PAYLOAD - block);
    expect((await peer.invoke(`${VALUES}.echo-bytes`, params)).equals(params)).toBe(true);
  });

  it('need not end parameters that are complete', async () => {
    const call = peer.call(`${VALUES}.echo-string`, '0268');
    call.params(await call.acknowledged(), '69');
    expect((await call.result()).toString('hex')).toBe('026869');
  });

  it.each([
    ['and does not end them', '', false],
    ['and ends them', '', true],
    ['and sends one byte that means nothing', '00', false],
  ])('has no parameters %s', async (_what, first, ends) => {
    for (const [func, result] of [
      ['answer', '2a'],
      ['nothing', ''],
    ] as const) {
      const call = peer.call(`${VALUES}.${func}`, first);
      if (ends) call.end(await call.acknowledged());
      expect((await call.result()).toString('hex')).toBe(result);
      expect(call.frames.some(({ status }) => status !== '')).toBe(false);
    }
  });

  it('may send bytes after the last parameter', async () => {
    expect((await peer.invoke(`${VALUES}.echo-string`, '026869ffff')).toString('hex')).toBe('026869');
  });

  it('sends parameters of several messages, and gets a result in chunks of the limit', async () => {
    const params = Buffer.concat([bytes('c0 8d b7 01'), Buffer.alloc(3_000_000, 7)]);
    const call = peer.call(`${VALUES}.echo-bytes`, params.subarray(0, 1_048_493));
    const rs = await call.acknowledged();
    call.params(rs, params.subarray(1_048_493, 2_097_069));
    call.params(rs, params.subarray(2_097_069));
    call.end(rs);
    expect((await call.result()).equals(params)).toBe(true);
    const sizes = call.frames.filter(({ tail }) => tail === '.results').map(({ data }) => data.length);
    expect(sizes).toEqual([1_048_576, 1_048_576, 902_852, 0]);
  });

  it('sees a trap, a decoding error and parameters that end early as an end without result', async () => {
    for (const [subject, params] of [
      [`${ATTACKS}.recall`, ''],
      [`${ATTACKS}.bad-case`, ''],
      [`${VALUES}.echo-string`, '02ffff'],
      [`${VALUES}.echo-string`, '0568'],
      [`${VALUES}.echo-u32`, '808080808000'],
    ] as const) {
      const call = peer.call(subject, params);
      call.end(await call.acknowledged());
      const result = await call.result();
      // `recall` of a new instance is fine: an empty text.
      expect(result.toString('hex')).toBe(subject.endsWith('recall') ? '00' : '');
    }
    expect(logged('echo-string', 'TRELLIS_INVOKE_BAD_PARAMS')).toHaveLength(2);
    expect(logged('bad-case', 'TRELLIS_INVOKE_TRAP')).toHaveLength(1);
  });

  it('is not answered without a reply subject, and the next call is', async () => {
    const before = test.runs('echo');
    peer.connection.publish(`${VALUES}.answer`);
    expect((await peer.invoke(`${VALUES}.answer`)).toString('hex')).toBe('2a');
    expect(test.runs('echo')).toBe(before + 1);
  });

  it('cannot make the host publish where it likes', async () => {
    const heard: string[] = [];
    peer.connection.subscribe('wasmbus.>', { callback: (_error, { subject }) => void heard.push(subject) });
    for (const reply of ['wasmbus.ctl.v1.default.host.stop.H', `${VALUES}.answer`]) {
      peer.connection.publish(`${VALUES}.answer`, undefined, { reply });
    }
    await peer.invoke(`${VALUES}.answer`);
    expect(heard).toEqual([]);
  });

  it('reaches a function of the world under both names', async () => {
    for (const subject of ['default.echo.wrpc.0.0.1.shout', 'default.echo.wrpc.0.0.1.trellis-samples:echo/echo@0.1.0.shout']) {
      expect((await peer.invoke(subject, '026869')).toString('hex')).toBe('024849');
    }
  });

  it('hears from the broker that nobody serves another version', async () => {
    const call = peer.call('default.echo.wrpc.0.0.1.trellis-samples:echo/values@0.2.0.answer');
    expect(await call.refused()).toBe('503');
  });

  it('that never sends its parameters keeps nobody else from the function', async () => {
    const stuck = Array.from({ length: 400 }, () => peer.call(`${ATTACKS}.take`, '0501'));
    await Promise.all(stuck.map((call) => call.acknowledged()));
    // More than the two instances there are, and more than the runner is handed at once.
    expect((await peer.invoke(`${ATTACKS}.take`, '03010203')).toString('hex')).toBe('03');
    expect((await peer.invoke(`${ATTACKS}.recall`)).toString('hex')).toBe('00');
    for (const call of stuck) expect((await call.result()).length).toBe(0);
    await until('the slots are free', () => test.lattice.host.status().inFlight === 0);
  });

  it('gets an end at the deadline of a call that does not return', async () => {
    const started = performance.now();
    const call = peer.call(`${ATTACKS}.loop`, '');
    call.end(await call.acknowledged());
    expect((await call.result()).length).toBe(0);
    expect(performance.now() - started).toBeGreaterThan(1_400);
    expect(logged('loop', 'TRELLIS_INVOKE_TARGET_TIMEOUT')).toHaveLength(1);
  });

  it('ends with the guest that exits, and nobody else does', async () => {
    const [pid] = test.lattice.host.status().components.find(({ id }) => id === 'probes')!.pids;
    const probes = 'default.probes.wrpc.0.0.1.trellis-samples:hostile/probes@0.1.0';
    const call = peer.call(`${probes}.exit`, '00');
    call.end(await call.acknowledged());
    expect((await call.result()).length).toBe(0);
    expect((await peer.invoke(`${probes}.environment`)).toString('hex')).toBe('00');
    expect(test.lattice.host.status().components.find(({ id }) => id === 'probes')!.pids).toEqual([pid]);
    expect(logged('exit', 'TRELLIS_INVOKE_FAILED')[0]).toMatchObject({ detail: expect.stringContaining('exit') });
  });
});

describe('a 1.x server', () => {
  /** What the server does with the next call. */
  let behave: (call: RawService) => void;
  let served: RawService[] = [];
  beforeAll(async () => {
    const onCall = (call: RawService): void => {
      served.push(call);
      behave(call);
    };
    await peer.serve(HELLO, onCall);
    await peer.serve(`${RAW_VALUES}.>`, onCall);
  });

  const viaCaller = (timeoutMs = 5_000): Promise<Uint8Array> =>
    test.caller.call({
      target: 'raw-hello',
      instance: 'trellis-samples:hello/greeting@0.1.0',
      func: 'greet',
      params: sized('Ada'),
      timeoutMs,
    });
  const viaComponent = async (): Promise<unknown> => (await test.call('greeter-chain', 'greeter.greet-all', [['Ada']])).json;

  it('is called by a component as 1.x components call: source-id, link-name, parameters, then their end', async () => {
    served = [];
    behave = (call) => {
      call.acknowledge();
      call.results(['03', '4869', '21']);
      call.end();
    };
    expect(await viaComponent()).toEqual({ ok: ['Hi!'] });
    const [call] = served;
    expect(call!.headers).toMatchObject({ 'source-id': 'greeter-chain', 'link-name': 'default' });
    expect(call!.payload.toString('hex')).toBe('03416461');
    await until('the end of the parameters', () =>
      call!.frames.some(({ tail, data }) => tail === '.params' && data.length === 0),
    );
  });

  it.each([
    ['with results before the acknowledgement', true],
    ['with results and no acknowledgement', false],
  ])('is understood %s', async (_what, acknowledges) => {
    behave = (call) => {
      call.results(['0348', '69', '21']);
      call.end();
      if (acknowledges) call.acknowledge();
    };
    expect(await viaComponent()).toEqual({ ok: ['Hi!'] });
    expect(Buffer.from(await viaCaller()).toString('latin1')).toBe('\u0003Hi!');
  });

  it.each([
    [503, 'TRELLIS_INVOKE_NO_RESPONDERS'],
    [401, 'TRELLIS_INVOKE_DENIED'],
    [408, 'TRELLIS_INVOKE_TARGET_TIMEOUT'],
    [409, 'TRELLIS_INVOKE_FAILED'],
  ])('that refuses with %d ends the call', async (status, code) => {
    behave = (call) => call.refuse(status, 'no');
    await expect(viaCaller()).rejects.toMatchObject({ code, message: expect.any(String) });
    // A failed import of a function without `result` is a trap in the guest; the log says why.
    await expect(viaComponent()).rejects.toMatchObject({ code: 'TRELLIS_INVOKE_TRAP' });
    expect(test.logged.findLast(({ msg }) => msg === 'import failed')).toMatchObject({ code, component: 'greeter-chain' });
  });

  it('whose component traps, which sends nothing but the end, gives no result', async () => {
    behave = (call) => {
      call.acknowledge();
      call.end();
    };
    await expect(test.call('relay', 'relayed.echo-string', ['x'])).rejects.toMatchObject({ code: 'TRELLIS_INVOKE_TRAP' });
    // A function without results cannot tell.
    expect((await test.call('relay', 'relayed.nothing', [])).json).toBeNull();
  });

  it('is waited for no longer than the deadline, by callers and by components', async () => {
    behave = (call) => call.acknowledge();
    const started = performance.now();
    await expect(viaCaller(300)).rejects.toMatchObject({ code: 'TRELLIS_INVOKE_TIMEOUT' });
    await expect(test.call('quick-relay', 'relayed.answer', [])).rejects.toMatchObject({
      code: expect.stringMatching(/TRELLIS_INVOKE_(TRAP|TARGET_TIMEOUT)/),
    });
    // Far below the time that the host gives by itself.
    expect(performance.now() - started).toBeLessThan(15_000);
    await until('nothing is in flight', () => test.lattice.host.status().inFlight === 0);
  });

  it('that nobody is: the component gets an error, the log the code', async () => {
    await expect(test.call('unlinked', 'relayed.answer', [])).rejects.toMatchObject({ code: 'TRELLIS_INVOKE_TRAP' });
    expect(test.logged.find((line) => line['code'] === 'TRELLIS_LINK_MISSING')).toMatchObject({
      component: 'unlinked',
      detail: expect.stringContaining('trellis-samples:echo/values'),
    });
  });

  it('gets parameters beyond max_payload in pieces of the limit, after its acknowledgement', async () => {
    served = [];
    behave = (call) => {
      call.acknowledge();
      void until('the end', () => call.frames.some(({ data }) => data.length === 0)).then(() => {
        const all = Buffer.concat([call.payload, ...call.frames.map(({ data }) => data)]);
        call.results([all.subarray(0, 500_000), all.subarray(500_000, 1_400_000), all.subarray(1_400_000)]);
        call.end();
      });
    };
    const params = sized(Buffer.alloc(2_000_000, 9));
    const result = await test.caller.call({
      target: 'raw-values',
      instance: 'trellis-samples:echo/values@0.1.0',
      func: 'echo-bytes',
      params,
      timeoutMs: 10_000,
    });
    expect(Buffer.from(result).equals(params)).toBe(true);
    const [{ payload, frames, rc, headers }] = served as [RawService];
    const block = 12 + Object.entries(headers).reduce((sum, [name, value]) => sum + name.length + value.length + 4, 0);
    expect(payload.length).toBe(MAX_PAYLOAD - rc.length - block);
    expect(frames.map(({ data }) => data.length).filter((length) => length > 0)).toEqual([params.length - payload.length]);
  });

  it('gets parameters that just fit in its first message, and one byte more after its acknowledgement', async () => {
    behave = (call) => {
      call.acknowledge();
      call.results(['00']);
      call.end();
    };
    const call = async (length: number): Promise<RawService> => {
      served = [];
      const target = { target: 'raw-values', instance: 'trellis-samples:echo/values@0.1.0', func: 'discard' };
      await test.caller.call({ ...target, params: Buffer.alloc(length, 1), timeoutMs: 10_000 });
      await until('the end', () => served[0]!.frames.some(({ data }) => data.length === 0));
      return served[0]!;
    };
    const first = await call(2_000_000);
    const limit = first.payload.length;
    for (const [length, later] of [
      [limit - 1, []],
      [limit, []],
      [limit + 1, [1]],
      [limit + MAX_PAYLOAD, [MAX_PAYLOAD]],
      [limit + MAX_PAYLOAD + 1, [MAX_PAYLOAD, 1]],
    ] as const) {
      const { payload, frames } = await call(length);
      expect(payload.length).toBe(Math.min(length, limit));
      expect(frames.map(({ data }) => data.length)).toEqual([...later, 0]);
    }
  });
});

describe('between Trellis peers', () => {
  const echoBytes = (result: Buffer): Promise<Uint8Array> =>
    test.caller.call({
      target: 'echo',
      instance: 'trellis-samples:echo/values@0.1.0',
      func: 'echo-bytes',
      params: result,
      timeoutMs: 10_000,
    });
  /** Messages that reach the caller's inbox during a call. */
  const answers = async (action: () => Promise<unknown>): Promise<number> => {
    const { rpc } = test.caller.member;
    const before = rpc.stats.messagesIn;
    await action();
    return rpc.stats.messagesIn - before;
  };

  it('one message answers a call; a 1.x caller gets three', async () => {
    expect(await answers(() => echoBytes(bytes('026869')))).toBe(1);
    const call = peer.call(`${VALUES}.echo-bytes`, '026869');
    call.end(await call.acknowledged());
    await call.result();
    expect(call.frames).toHaveLength(3);
  });

  it('a result that just fits the one message travels in it, and one byte more in the long form', async () => {
    const block = 12 + 'Lattice-Result'.length + 'unsigned ok'.length + 4;
    for (const [bytesOfResult, messages] of [
      [MAX_PAYLOAD - block - 1, 1],
      [MAX_PAYLOAD - block, 1],
      // Acknowledgement, chunk, end.
      [MAX_PAYLOAD - block + 1, 3],
      [MAX_PAYLOAD, 3],
      [MAX_PAYLOAD + 1, 4],
    ] as const) {
      const content = bytesOfResult - leb(bytesOfResult - 3).length;
      const result = Buffer.concat([leb(content), Buffer.alloc(content, 3)]);
      expect(result.length).toBe(bytesOfResult);
      let answer: Uint8Array = Buffer.alloc(0);
      const count = await answers(async () => {
        answer = await echoBytes(result);
      });
      expect(Buffer.from(answer).equals(result)).toBe(true);
      // Parameters that do not fit the first message are asked for with an acknowledgement of their own.
      expect(count).toBe(messages === 1 ? 2 : messages);
    }
    expect(test.caller.member.rpc.state).toBe('connected');
    expect(test.lattice.host.status().ready).toBe(true);
  });
});
