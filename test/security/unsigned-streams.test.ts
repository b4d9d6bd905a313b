import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connectCaller } from '../../src/caller.ts';
import { COMMAND_LINE_ORIGIN, sampleComponents } from '../../src/development.ts';
import { silentLogger } from '../../src/telemetry/log.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { startTestLattice, type TestLattice } from '../support/lattice.ts';
import { CallerInTheMiddle, type Passing } from '../support/man-in-the-middle.ts';
import { bytes, RawPeer, type RawService, until } from '../support/raw-peer.ts';
import { sized } from '../support/running-component.ts';

const MIB = 1024 * 1024;
const STREAMS = 'trellis-samples:echo/streams@0.1.0';
const pair = (source: string, target: string) => ({ source, target, interface: 'trellis-samples:echo/streams' });
const link = (source: string) => ({
  source,
  target: 'echo-streams',
  name: 'default',
  namespace: 'trellis-samples',
  package: 'echo',
  interfaces: ['streams'],
});
const isAccept = ({ headers }: Passing): boolean => headers.some(([name]) => name === 'Lattice-Accept');

/** What `trust.unsigned` lists carries its streams as it carries its roots; what signs never does. */
describe('streams of pairs that may stay unsigned under enforce', () => {
  let test: TestLattice;
  let peer: RawPeer;
  let behave: (service: RawService) => void = () => {};
  beforeAll(async () => {
    test = await startTestLattice({
      limits: { maxParamsBytes: MIB / 2, maxResultBytes: MIB / 4 },
      trust: {
        unlinkedOrigins: [COMMAND_LINE_ORIGIN],
        unsigned: ['old-caller', 'converted', COMMAND_LINE_ORIGIN].map((source) => pair(source, 'echo-streams')),
      },
      components: sampleComponents().filter(({ id }) => id === 'echo-streams'),
      links: ['old-caller', 'converted', COMMAND_LINE_ORIGIN].map(link),
    });
    peer = await RawPeer.connect(test.lattice.server.url);
    for (const target of ['old-streams', 'other-streams'])
      await peer.serve(`default.${target}.wrpc.0.0.1.${STREAMS}.echo-bytes`, (service) => behave(service));
  });
  afterAll(async () => {
    await peer[Symbol.asyncDispose]();
    await test[Symbol.asyncDispose]();
  });

  const lastEnd = (): Record<string, unknown> | undefined => test.logged.findLast((line) => line['outcome'] !== undefined);
  const chunks = ['one ', 'two ', 'three '].map((text) => sized(text));
  const whole = Buffer.concat([...chunks, bytes('00')]);
  const echoed = { func: 'echo-bytes', params: bytes('00'), frames: [...chunks, bytes('00')], awaited: '0' };

  describe('a caller that signs nothing', () => {
    const call = (func: string, params: Uint8Array | string, source = 'old-caller') =>
      peer.call(`default.echo-streams.wrpc.0.0.1.${STREAMS}.${func}`, params, [['source-id', source]]);

    it('sends and gets its streams plain, and is counted', async () => {
      const made = call('echo-bytes', '00');
      const rs = await made.acknowledged();
      made.end(rs);
      for (const chunk of [...chunks, bytes('00')]) made.params(rs, chunk, '.0');
      made.end(rs, '.0');
      expect((await made.result('.0')).equals(whole)).toBe(true);
      expect((await made.result()).toString('hex')).toBe('00');
      expect(made.frames.every(({ header }) => header('Lattice-Frame') === undefined)).toBe(true);
      await until('its end is logged', () => lastEnd()?.['outcome'] === 'ok');
      expect(lastEnd()).toMatchObject({ outcome: 'ok', verified: false, unsigned: true, origin: 'old-caller' });
      const label = 'pair="old-caller → echo-streams trellis-samples:echo/streams"';
      expect(await test.metric('trellis_unsigned_streams_total', label)).toBe(1);
      expect(await test.metric('trellis_unsigned_invocations_total', label)).toBe(1);
    });

    it('FRM-10 is refused with all its streams once its id has signed', async () => {
      const config = test.lattice.callerConfig;
      const metrics = createMetrics({ eventLoop: false });
      await using caller = await connectCaller({ config, log: silentLogger(), metrics, origin: 'converted' });
      const signed = { target: 'echo-streams', instance: STREAMS, func: 'count-bytes', timeoutMs: 10_000 };
      expect((await caller.call({ ...signed, params: bytes('03616263') }))[0]).toBe(3);
      const runs = test.runs('echo-streams');
      expect(await call('count-bytes', '00', 'converted').refused()).toBe('401 invocation not signed');
      expect(test.runs('echo-streams')).toBe(runs);
      // Signed, but without a session: its streams are not carried plain because the pair is listed.
      await expect(caller.call({ ...signed, params: bytes('00') })).rejects.toMatchObject({
        code: 'TRELLIS_PATH_UNSIGNED_VALUES',
      });
    });

    it('FRM-11 is nobody who has signed and whose token was taken off on the way', async () => {
      const caller = new CallerInTheMiddle(test, 100);
      expect((await caller.call(echoed)).paths.get('0')!.content.equals(whole)).toBe(true);
      const runs = test.runs('echo-streams');
      caller.middle.outgoing = (message, pass) =>
        pass({ ...message, headers: message.headers.filter(([name]) => !name.startsWith('Lattice-')) });
      expect(await caller.call(echoed)).toMatchObject({ code: 'TRELLIS_INVOKE_DENIED' });
      expect(test.runs('echo-streams')).toBe(runs);
    });
  });

  describe('a target that signs nothing', () => {
    const to = (target: string) => ({ ...echoed, target, timeoutMs: 1_000 });
    const caller = () =>
      new CallerInTheMiddle(test, 100, [pair(COMMAND_LINE_ORIGIN, 'old-streams'), pair(COMMAND_LINE_ORIGIN, 'echo-streams')]);
    const EMPTY = Buffer.alloc(0);
    /** Gives back what comes. */
    const echo = (service: RawService): void => {
      service.onFrame = ({ tail, data }) => {
        if (tail === '.params.0') service.results([data], '.0');
      };
      service.acknowledge();
      service.results(['00', EMPTY]);
    };

    it('is sent streams plain, and believed', async () => {
      behave = echo;
      const one = caller();
      const outcome = await one.call({ ...to('old-streams'), timeoutMs: 10_000 });
      expect(outcome).not.toHaveProperty('code');
      expect(outcome.paths.get('0')).toEqual({ content: whole, ended: true });
      expect(await one.metrics.text()).toMatch(/trellis_unsigned_streams_total\{pair="[^"]* → old-streams [^"]*"\} 1/);
    });

    it('FRM-10 gets nothing and is not believed, where it is not listed', async () => {
      const services: RawService[] = [];
      behave = (service) => {
        services.push(service);
        echo(service);
        service.results([...chunks, '00', ''], '.0');
      };
      const outcome = await caller().call(to('other-streams'));
      expect(outcome).toMatchObject({ code: 'TRELLIS_INVOKE_UNAUTHENTICATED' });
      expect(outcome.paths.size).toBe(0);
      expect(services.map(({ frames }) => frames)).toEqual([[]]);
    });

    it('FRM-13 has the limits of everybody', async () => {
      behave = (service) => {
        service.acknowledge();
        service.results(['00', EMPTY]);
        service.results(Array<Uint8Array>(20).fill(sized(Buffer.alloc(900_000))), '.0');
      };
      const much = await caller().call({ ...to('old-streams'), timeoutMs: 10_000 });
      expect(much.code).toBe('TRELLIS_PATH_TOO_LARGE');
      behave = (service) => {
        service.acknowledge();
        service.results(Array<string>(5_000).fill('0161'), '.0');
      };
      const early = await caller().call({ ...to('old-streams'), timeoutMs: 10_000 });
      expect(early).toMatchObject({ code: 'TRELLIS_PATH_TOO_LARGE' });
      expect(early.paths.size).toBe(0);
    });

    it('FRM-07 ends nothing by silence, and breaks off by a refusal', async () => {
      behave = (service) => {
        service.acknowledge();
        service.results(['00', EMPTY]);
        service.results(['0161'], '.0');
      };
      const silent = await caller().call(to('old-streams'));
      expect(silent.code).toBe('TRELLIS_INVOKE_TIMEOUT');
      expect(silent.paths.get('0')?.ended ?? false).toBe(false);
      behave = (service) => {
        service.acknowledge();
        service.results(['00', EMPTY]);
        service.refuse(500, 'component failed');
      };
      const refused = await caller().call({ ...to('old-streams'), timeoutMs: 10_000 });
      expect(refused).toMatchObject({ code: 'TRELLIS_INVOKE_FAILED', root: bytes('00') });
    });
  });

  it('FRM-07 a server that acknowledges a call given up is told so, and takes no stream for whole', async () => {
    let served: RawService | undefined;
    behave = (service) => (served = service);
    const one = new CallerInTheMiddle(test, 100, [pair(COMMAND_LINE_ORIGIN, 'old-streams')]);
    const begun = one.begin({ ...echoed, target: 'old-streams', frames: [chunks[0]!], unended: true });
    await until('the server has the call', () => served !== undefined);
    begun.cancel();
    served!.acknowledge();
    await until('both ends', () => served!.frames.filter(({ hex }) => hex === '').length === 2);
    expect(served!.frames.map(({ tail, hex }) => `${tail} ${hex}`.trim())).toEqual(['.params', '.params.0 7f', '.params.0']);
  });

  /** The caller lists `echo-streams`, which signs; a stranger speaks for it, without signing. */
  describe('a listed target that signs after all', () => {
    const caller = () => new CallerInTheMiddle(test, 100, [pair(COMMAND_LINE_ORIGIN, 'echo-streams')]);
    /** Somebody who acknowledges before the host's own acknowledgement arrives. */
    const intrude = async (one: CallerInTheMiddle): Promise<{ inbox: string; taken: string[] }> => {
      const inbox = `_INBOX.intruder.${Math.random().toString(36).slice(2)}`;
      const taken: string[] = [];
      peer.connection.subscribe(`${inbox}.>`, { callback: (_error, { subject }) => void taken.push(subject) });
      await peer.connection.flush();
      one.middle.incoming = (message, pass) => {
        if (isAccept(message)) pass({ ...message, reply: inbox, headers: [] });
        pass(message);
      };
      return { inbox, taken };
    };

    it('FRM-10 is known by its first accept: from then on no other acknowledgement counts', async () => {
      const one = caller();
      expect((await one.call(echoed)).paths.get('0')!.content.equals(whole)).toBe(true);
      const { taken } = await intrude(one);
      expect((await one.call(echoed)).paths.get('0')!.content.equals(whole)).toBe(true);
      await peer.connection.flush();
      expect(taken).toEqual([]);
    });

    it('FRM-10 ends the first call that a stranger has taken for it, and no other', async () => {
      const one = caller();
      await intrude(one);
      const outcome = await one.call(echoed);
      expect(outcome).toMatchObject({ code: 'TRELLIS_INVOKE_UNAUTHENTICATED' });
      expect(outcome.paths.size).toBe(0);
      expect((await one.call(echoed)).paths.get('0')!.content.equals(whole)).toBe(true);
    });

    it('FRM-10 is not mixed with frames that came unproven before its accept', async () => {
      const one = caller();
      one.middle.incoming = (message, pass) => {
        if (isAccept(message))
          pass({ ...message, subject: `${message.subject}.results.0`, reply: '', payload: sized('evil'), headers: [] });
        pass(message);
      };
      expect((await one.call(echoed)).paths.get('0')!.content.equals(whole)).toBe(true);
    });

    /** Answers in its name, without signing, when its accept comes. */
    const answerFor = (message: Passing, pass: (message: Passing) => void): void => {
      if (!isAccept(message)) return;
      const forged = (tail: string, payload: Uint8Array): void =>
        pass({ subject: message.subject + tail, reply: '', payload, headers: [] });
      forged('.results', bytes('00'));
      forged('.results', bytes(''));
      forged('.results.0', sized('evil'));
    };

    it('FRM-11 is known in a call by its accept, before it has answered any', async () => {
      const one = caller();
      one.middle.incoming = (message, pass) => {
        pass(message);
        answerFor(message, pass);
      };
      expect((await one.call(echoed)).paths.get('0')!.content.equals(whole)).toBe(true);
    });

    it('FRM-11 breaks off the call that was answered in its name', async () => {
      const one = caller();
      one.middle.incoming = (message, pass) => {
        answerFor(message, pass);
        pass(message);
      };
      const outcome = await one.call(echoed);
      expect(outcome).toMatchObject({ code: 'TRELLIS_INVOKE_UNAUTHENTICATED' });
      expect(outcome.paths.get('0')?.ended ?? false).toBe(false);
    });

    it('FRM-11 is not believed without its proofs, which somebody took off on the way', async () => {
      const one = caller();
      expect((await one.call(echoed)).paths.get('0')!.content.equals(whole)).toBe(true);
      one.middle.incoming = (message, pass) => pass({ ...message, headers: [] });
      const outcome = await one.call({ ...echoed, timeoutMs: 1_000 });
      expect(outcome).toMatchObject({ code: 'TRELLIS_INVOKE_UNAUTHENTICATED' });
      expect(outcome.paths.size).toBe(0);
    });
  });

  // Last: a guest that is slow to notice takes its runner along.
  it('FRM-13 a caller that signs nothing has the limits of everybody', async () => {
    const call = peer.call(`default.echo-streams.wrpc.0.0.1.${STREAMS}.count-bytes`, '00', [['source-id', 'old-caller']]);
    const rs = await call.acknowledged();
    call.end(rs);
    for (let i = 0; i < 20; i++) call.params(rs, sized(Buffer.alloc(50_000)), '.0');
    expect((await call.result()).length).toBe(0);
    expect(lastEnd()).toMatchObject({ outcome: 'bad', code: 'TRELLIS_PATH_TOO_LARGE' });
  });
});
