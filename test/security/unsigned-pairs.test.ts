import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connectCaller } from '../../src/caller.ts';
import { COMMAND_LINE_ORIGIN, sampleComponents } from '../../src/development.ts';
import { UnsignedPairs } from '../../src/invocation/unsigned-pairs.ts';
import { silentLogger } from '../../src/telemetry/log.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { relayComponent } from '../support/components.ts';
import { startTestLattice, type TestLattice } from '../support/lattice.ts';
import { RawPeer, type RawService } from '../support/raw-peer.ts';
import { sized } from '../support/running-component.ts';

const VALUES = 'trellis-samples:echo/values@0.1.0';
const PAIR = { target: 'echo', interface: 'trellis-samples:echo/values' } as const;
const link = (source: string, target: string, name = 'default') => ({
  source,
  target,
  name,
  namespace: 'trellis-samples',
  package: 'echo',
  interfaces: ['values'],
});
const from = (source: string, name = 'default') =>
  [
    ['source-id', source],
    ['link-name', name],
  ] as const;

describe('pairs that may stay unsigned under enforce', () => {
  let test: TestLattice;
  let peer: RawPeer;
  let behave: (call: RawService) => void;
  beforeAll(async () => {
    test = await startTestLattice({
      trust: {
        refusalGraceMs: 100,
        unlinkedOrigins: [COMMAND_LINE_ORIGIN, 'unlinked'],
        unsigned: [
          { source: 'old-caller', ...PAIR },
          { source: 'without-link', ...PAIR },
          { source: 'unlinked', ...PAIR },
          { source: 'converted', ...PAIR },
          { source: 'server', ...PAIR },
          { source: 'relay', target: 'old-provider', interface: 'trellis-samples:echo/values' },
        ],
      },
      components: [
        ...sampleComponents().filter(({ id }) => id === 'echo'),
        { id: 'relay', file: relayComponent().file },
        { id: 'other-relay', file: relayComponent().file },
      ],
      links: [
        link('old-caller', 'echo'),
        link('stranger', 'echo'),
        link('converted', 'echo'),
        link('server', 'relay'),
        link('server', 'echo', 'second'),
        link('relay', 'old-provider'),
        link('other-relay', 'old-provider'),
      ],
    });
    peer = await RawPeer.connect(test.lattice.server.url);
    await peer.serve(`default.old-provider.wrpc.0.0.1.${VALUES}.>`, (call) => behave(call));
  });
  afterAll(async () => {
    await peer[Symbol.asyncDispose]();
    await test[Symbol.asyncDispose]();
  });

  const echo = `default.echo.wrpc.0.0.1.${VALUES}.echo-string`;
  const lastEnd = (): Record<string, unknown> | undefined => test.logged.findLast((line) => line['outcome'] !== undefined);
  const answer = (): void => {
    behave = (call) => {
      call.acknowledge();
      call.results([call.payload]);
      call.end();
    };
  };

  it('are printed at the start, each with a warning', () => {
    const printed = test.logged.filter(({ level, msg }) => level === 'warn' && String(msg).includes('UNSIGNED'));
    expect(printed).toHaveLength(6);
    expect(printed[0]).toMatchObject({ source: 'old-caller', target: 'echo', interface: 'trellis-samples:echo/values' });
  });

  it('let an unmodified caller in, in one message and in several, and mark it', async () => {
    const pair = 'pair="old-caller → echo trellis-samples:echo/values"';
    expect((await peer.invoke(echo, '026869', from('old-caller'))).toString('hex')).toBe('026869');
    expect(lastEnd()).toMatchObject({ outcome: 'ok', verified: false, unsigned: true, origin: 'old-caller' });
    const params = sized(Buffer.alloc(1_500_000, 0x61));
    const long = peer.call(`default.echo.wrpc.0.0.1.${VALUES}.echo-bytes`, params.subarray(0, 1_000_000), from('old-caller'));
    const rs = await long.acknowledged();
    long.params(rs, params.subarray(1_000_000));
    long.end(rs);
    expect((await long.result()).equals(params)).toBe(true);
    expect(await test.metric('trellis_unsigned_invocations_total', pair)).toBe(2);
  });

  it.each([
    ['another source', echo, 'stranger', '401 invocation not signed', 'TRELLIS_VERIFY_UNSIGNED'],
    ['a source with a letter more', echo, 'old-callers', '401 invocation not signed', 'TRELLIS_VERIFY_UNSIGNED'],
    [
      'another target',
      `default.relay.wrpc.0.0.1.trellis-samples:relay/relayed@0.1.0.nothing`,
      'old-caller',
      '401 invocation not signed',
      'TRELLIS_VERIFY_UNSIGNED',
    ],
    [
      'another interface of the target',
      `default.echo.wrpc.0.0.1.shout`,
      'old-caller',
      '401 invocation not signed',
      'TRELLIS_VERIFY_UNSIGNED',
    ],
    ['a listed source that no link names', echo, 'without-link', '401 invocation denied', 'TRELLIS_VERIFY_LINK'],
    ['a listed source that needs no link when it signs', echo, 'unlinked', '401 invocation denied', 'TRELLIS_VERIFY_LINK'],
  ])('let nothing else in: %s', async (_title, subject, source, status, code) => {
    const runs = test.runs('echo') + test.runs('relay');
    expect(await peer.call(subject, '026869', from(source)).refused()).toBe(status);
    expect(lastEnd()).toMatchObject({ outcome: 'denied', code });
    expect(test.runs('echo') + test.runs('relay')).toBe(runs);
  });

  it('need the link that the call names', async () => {
    expect(await peer.call(echo, '026869', from('old-caller', 'other')).refused()).toBe('401 invocation denied');
  });

  it('need any link at all where the call names none, as those of providers do', async () => {
    const unnamed = (source: string) => [['source-id', source]] as const;
    expect(await peer.invoke(echo, '026869', unnamed('server'))).toEqual(Buffer.from('\u0002hi'));
    for (const headers of [unnamed('without-link'), from('server')])
      expect(await peer.call(echo, '026869', headers).refused()).toBe('401 invocation denied');
  });

  it('let no token through that is not valid', async () => {
    const headers = [...from('old-caller'), ['Lattice-Invocation', 'inv2s.made.up']] as const;
    expect(await peer.call(echo, '026869', headers).refused()).toBe('401 invocation denied');
    const empty = [...from('old-caller'), ['Lattice-Invocation', '']] as const;
    expect(await peer.call(echo, '026869', empty).refused()).toMatch(/^401 /);
  });

  it('close for a source that has signed: what comes without a signature then is a downgrade', async () => {
    expect((await peer.invoke(echo, '026869', from('converted'))).toString('hex')).toBe('026869');
    await using caller = await connectCaller({
      config: test.lattice.callerConfig,
      log: silentLogger(),
      metrics: createMetrics({ eventLoop: false }),
      origin: 'converted',
    });
    const signed = {
      target: 'echo',
      instance: VALUES,
      func: 'echo-string',
      params: Buffer.from('026869', 'hex'),
      timeoutMs: 10_000,
    };
    expect(Buffer.from(await caller.call(signed)).toString('hex')).toBe('026869');
    expect(await peer.call(echo, '026869', from('converted')).refused()).toBe('401 invocation not signed');
  });

  it('let a component here call an unmodified provider, and no other component', async () => {
    answer();
    expect((await test.call('relay', 'relayed.echo-string', ['hi'])).json).toBe('hi');
    const pair = 'pair="relay → old-provider trellis-samples:echo/values"';
    expect(await test.metric('trellis_unsigned_answers_total', pair)).toBe(1);
    await expect(test.call('other-relay', 'relayed.echo-string', ['hi'], 1_000)).rejects.toThrow();
    await expect(
      test.caller.call({ target: 'old-provider', instance: VALUES, func: 'echo-string', params: Buffer.of(0), timeoutMs: 1_000 }),
    ).rejects.toMatchObject({ code: 'TRELLIS_INVOKE_UNAUTHENTICATED' });
  });

  it('take no answer of a listed provider whose signature is bad', async () => {
    behave = (call) => call.refuse(200, 'OK', [['Lattice-Result', 'res2s.made.up']]);
    const before = test.logged.length;
    const called = test.call('relay', 'relayed.echo-string', ['hi'], 1_500).then(
      () => 'an answer',
      () => 'no answer',
    );
    expect(await called).toBe('no answer');
    expect(test.logged.slice(before)).toContainEqual(expect.objectContaining({ msg: 'dropped what is not authentic' }));
  });
});

describe('the list itself', () => {
  const told: string[] = [];
  const pairs = new UnsignedPairs([{ source: 'a', target: 'b', interface: 'x:y/z' }], (id, role) => told.push(`${id} ${role}`));

  it('knows exact pairs, whatever the version', () => {
    expect(pairs.mayCall('a', 'b', 'x:y/z@1.0.0')).toBe(true);
    expect(pairs.mayAnswer('a', 'b', 'x:y/z')).toBe(true);
    for (const [source, target, instance] of [
      ['b', 'a', 'x:y/z'],
      ['a', 'a', 'x:y/z'],
      ['a', 'b', 'x:y/zz'],
      ['a', 'b', ''],
      ['a b', '', 'x:y/z'],
    ] as const)
      expect(pairs.mayCall(source, target, instance)).toBe(false);
  });

  it('closes one role and not the other, and says so once', () => {
    pairs.signs('a', 'server');
    expect(pairs.mayCall('a', 'b', 'x:y/z')).toBe(true);
    pairs.signs('b', 'server');
    pairs.signs('b', 'server');
    expect(pairs.mayAnswer('a', 'b', 'x:y/z')).toBe(false);
    expect(pairs.mayCall('a', 'b', 'x:y/z')).toBe(true);
    pairs.signs('a', 'caller');
    expect(pairs.mayCall('a', 'b', 'x:y/z')).toBe(false);
    expect(told).toEqual(['b server', 'a caller']);
  });
});
