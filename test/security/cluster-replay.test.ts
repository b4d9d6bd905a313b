import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { parseConfig } from '../../src/config/schema.ts';
import { connectCaller, type Caller } from '../../src/caller.ts';
import { COMMAND_LINE_ORIGIN, sampleComponents } from '../../src/development.ts';
import { startHost, type Host } from '../../src/host.ts';
import { silentLogger } from '../../src/telemetry/log.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { SigningKey } from '../../src/trust/nkey.ts';
import { createTokenSigner } from '../../src/trust/signer.ts';
import { requestDigest } from '../../src/trust/token.ts';
import { Attacker, PARAMS, VICTIM } from '../support/attacker.ts';
import { startTestLattice, type TestLattice } from '../support/lattice.ts';
import { CallerInTheMiddle, type Passing } from '../support/man-in-the-middle.ts';
import { bytes, RawPeer, until } from '../support/raw-peer.ts';
import { sized } from '../support/running-component.ts';
import { LATTICE } from '../support/trust.ts';

const COPIES = 30;
/** How long a host waits for a confirmation here: as long as the call may take. */
const TIMEOUT_MS = 3_000;
/** A host that has a copy refuses the call itself, unsigned: on a busy machine the answer may take a while to overtake that. */
const GRACE_MS = 10_000;

/** Two hosts of one queue group. Between them a signed call runs once, whoever sends copies of it to whom. */
describe('replay: cluster', () => {
  let test: TestLattice;
  let second: Host;
  const secondMetrics = createMetrics({ eventLoop: false });
  let peer: RawPeer;
  let caller: Caller;
  let attacker: Attacker;
  let key: SigningKey;

  beforeAll(async () => {
    test = await startTestLattice({
      trust: { replay: 'cluster' },
      components: [
        ...sampleComponents()
          .filter(({ id }) => id.startsWith('echo'))
          .map((component) => ({ ...component, timeoutMs: TIMEOUT_MS })),
        { ...sampleComponents().find(({ id }) => id === 'echo')!, id: 'lenient', replay: 'local' as const },
      ],
      links: [],
    });
    const { config } = test.lattice;
    second = await startHost({
      config: parseConfig({ ...config, stateDir: `${config.stateDir}/second` }),
      log: silentLogger(),
      metrics: secondMetrics,
    });
    peer = await RawPeer.connect(test.lattice.server.url);
    attacker = new Attacker(test);
    const { callerConfig } = test.lattice;
    caller = await connectCaller({
      config: { ...callerConfig, trust: { ...callerConfig.trust, refusalGraceMs: GRACE_MS } },
      log: silentLogger(),
      metrics: createMetrics({ eventLoop: false }),
      origin: COMMAND_LINE_ORIGIN,
    });
    key = SigningKey.fromSeed(readFileSync(config.trust.clusterSeedFile!, 'utf8').trim(), 'cluster');
  });
  afterAll(async () => {
    await caller[Symbol.asyncDispose]();
    await second.stop();
    await peer[Symbol.asyncDispose]();
    await test[Symbol.asyncDispose]();
  });

  const runs = (component: string): number =>
    test.runs(component) + (second.status().components.find(({ id }) => id === component)?.calls ?? 0);
  /** Denials of both hosts. */
  const denials = async (code: string): Promise<number> => {
    const labels = `code="${code}"`;
    const line = (await secondMetrics.text())
      .split('\n')
      .find((each) => each.startsWith('trellis_denials_total') && each.includes(labels));
    const there = line === undefined ? 0 : Number(line.slice(line.lastIndexOf(' ') + 1));
    return there + (await test.metric('trellis_denials_total', labels));
  };
  const idle = (): Promise<void> =>
    until('nothing is in flight', () => test.lattice.host.status().inFlight + second.status().inFlight === 0);
  const call = (params = sized('once'), component = 'echo'): Promise<Uint8Array> =>
    caller.call({ ...VICTIM, target: component, params, timeoutMs: 3 * TIMEOUT_MS });

  /** Copies of each request for echo, to whomever the queue group picks. */
  const copying = async (copies: number): Promise<{ seen: Passing[]; stop(): void }> => {
    const seen: Passing[] = [];
    const known = new Set<string>();
    const subscription = peer.connection.subscribe('default.echo.>', {
      callback: (_error, message) => {
        const token = message.headers?.get('Lattice-Invocation') ?? '';
        if (token === '' || known.has(token)) return;
        known.add(token);
        const headers = message.headers!.keys().map((name) => [name, message.headers!.get(name)] as const);
        seen.push({ subject: message.subject, payload: message.data, reply: message.reply ?? '', headers });
        for (let n = 0; n < copies; n++)
          peer.connection.publish(message.subject, message.data, { reply: message.reply!, headers: message.headers! });
      },
    });
    await peer.connection.flush();
    return { seen, stop: () => subscription.unsubscribe() };
  };

  it('RPL-03 a call runs once, and is answered, while and after its copies reach both hosts', async () => {
    const { seen, stop } = await copying(COPIES);
    const before = runs('echo');
    expect(Buffer.from(await call()).toString('latin1')).toBe('\u0004once');
    await idle();
    expect(runs('echo')).toBe(before + 1);
    for (let n = 0; n < COPIES; n++) {
      const { subject, payload, reply, headers } = seen[0]!;
      test.caller.member.rpc.publish(subject, payload, { reply, headers: { entries: headers } });
    }
    await test.caller.member.rpc.flush();
    await idle();
    expect(runs('echo')).toBe(before + 1);
    stop();
  });

  it('RPL-03 a hundred calls at once, each copied to both hosts, run a hundred times', async () => {
    const { stop } = await copying(4);
    const before = runs('echo');
    const results = await Promise.allSettled(Array.from({ length: 100 }, (_, n) => call(sized(`call ${n}`))));
    const answered = results.filter(({ status }) => status === 'fulfilled').length;
    await idle();
    expect(runs('echo') - before).toBe(answered);
    expect(answered).toBe(100);
    stop();
  });

  it('RPL-03 whoever cannot confirm runs nothing: without word, with a word about another call, or in another name', async () => {
    const before = runs('echo');
    const codes = ['TRELLIS_VERIFY_UNCONFIRMED', 'TRELLIS_VERIFY_UNRELATED', 'TRELLIS_VERIFY_ISSUER', 'TRELLIS_VERIFY_FORM'];
    const deniedBefore = await Promise.all(codes.map(denials));
    const other = createTokenSigner({ key: SigningKey.generate('cluster'), lattice: LATTICE, clock: systemClock });
    const own = createTokenSigner({ key, lattice: LATTICE, clock: systemClock });
    const reply = attacker.reply();
    const token = attacker.token(key, systemClock, { rpl: reply });
    const raw = peer.callFrom(reply, attacker.subject, PARAMS, [
      ['source-id', 'trellis-cli'],
      ['link-name', 'default'],
      ['Lattice-Reply', 'unary'],
      ['Lattice-Invocation', token],
    ]);
    const rs = await raw.acknowledged();
    const request = requestDigest(token);
    const words: string[] = ['', 'cnf2s.AAAA.AAAA'];
    other.confirm({ request, inbox: rs }, (word) => words.push(word));
    own.confirm({ request, inbox: `${rs}x` }, (word) => words.push(word));
    own.confirm({ request: requestDigest('another'), inbox: rs }, (word) => words.push(word));
    own.accept({ request, server: LATTICE as never, inbox: rs }, (word) => words.push(word));
    other.flush();
    own.flush();
    expect(words).toHaveLength(6);
    for (const word of words) peer.publish(`${rs}.params`, new Uint8Array(0), word === '' ? [] : [['Lattice-Confirm', word]]);
    expect(await raw.refused()).toBe('401 invocation denied');
    await idle();
    expect(runs('echo')).toBe(before);
    for (const [at, code] of codes.entries()) expect(await denials(code)).toBeGreaterThan(deniedBefore[at]!);
  });

  it('RPL-03 the word that ran a call once runs it on no other accept', async () => {
    const before = runs('echo');
    const own = createTokenSigner({ key, lattice: LATTICE, clock: systemClock });
    const accepts: string[] = [];
    const words: string[] = [];
    // One token, one reply subject, both hosts: as many accepts as hosts that took it in.
    const reply = attacker.reply();
    const token = attacker.token(key, systemClock, { rpl: reply });
    const headers = [
      ['source-id', 'trellis-cli'],
      ['Lattice-Reply', 'unary'],
      ['Lattice-Invocation', token],
    ] as const;
    const raw = peer.callFrom(reply, attacker.subject, PARAMS, headers);
    for (let n = 0; n < 40; n++)
      test.caller.member.rpc.publish(attacker.subject, PARAMS, { reply, headers: { entries: headers } });
    await until('both hosts want to know', () => {
      accepts.splice(0, accepts.length, ...new Set(raw.frames.map(({ reply: rs }) => rs).filter((rs) => rs !== '')));
      return accepts.length === 2;
    });
    own.confirm({ request: requestDigest(token), inbox: accepts[0]! }, (word) => words.push(word));
    own.flush();
    for (const rs of accepts) peer.publish(`${rs}.params`, new Uint8Array(0), [['Lattice-Confirm', words[0]!]]);
    await idle();
    expect(runs('echo')).toBe(before + 1);
  });

  it('RPL-03 a caller confirms one accept and no second', async () => {
    const between = new CallerInTheMiddle(test, GRACE_MS);
    const confirmed = new Set<string>();
    between.middle.outgoing = (message, pass) => {
      if (message.headers.some(([name]) => name === 'Lattice-Confirm')) confirmed.add(message.subject);
      // Every first message goes to both hosts.
      for (let n = 0; n < (message.reply === '' ? 1 : 12); n++) pass(message);
    };
    const before = runs('echo-streams');
    for (let n = 0; n < 10; n++) {
      confirmed.clear();
      const outcome = await between.call({ func: 'count-bytes', params: bytes('03616263') });
      expect(outcome.root?.toString('hex')).toBe('03');
      expect(confirmed.size).toBe(1);
    }
    await idle();
    expect(runs('echo-streams')).toBe(before + 10);
  });

  it('parameters of several messages and streams go with it', async () => {
    const params = sized(Buffer.alloc(2_500_000, 7));
    const instance = 'trellis-samples:echo/values@0.1.0';
    const result = await test.caller.call({ target: 'echo', instance, func: 'echo-bytes', params, timeoutMs: 10_000 });
    expect(Buffer.from(result).equals(params)).toBe(true);
    const empty = { ready: { hex: '' } };
    expect((await test.call('echo-streams', 'streams.echo-bytes', [empty])).json).toEqual(empty);
    const between = new CallerInTheMiddle(test, GRACE_MS);
    const outcome = await between.call({ func: 'count-bytes', params: bytes('00'), frames: [sized('abc'), bytes('00')] });
    expect(outcome.root?.toString('hex')).toBe('03');
  });

  it('a component may have it otherwise', async () => {
    const reply = attacker.reply();
    const subject = attacker.subject.replace('.echo.', '.lenient.');
    const token = attacker.token(key, systemClock, { rpl: reply, tgt: 'lenient', sub: subject });
    expect((await attacker.send({ token, reply, subject })).kind).toBe('result');
  });
});
