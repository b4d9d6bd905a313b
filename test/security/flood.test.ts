import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connectCaller, type Caller } from '../../src/caller.ts';
import { COMMAND_LINE_ORIGIN } from '../../src/development.ts';
import { Admission } from '../../src/invocation/admit.ts';
import { createObserver } from '../../src/invocation/observer.ts';
import { createLogger, silentLogger } from '../../src/telemetry/log.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { writeConfirmClaims } from '../../src/trust/confirm-token.ts';
import { WorkBudget } from '../../src/trust/work-budget.ts';
import { SigningKey } from '../../src/trust/nkey.ts';
import { PassKeys } from '../../src/trust/pass-keys.ts';
import { createTokenSigner, type TokenSigner } from '../../src/trust/signer.ts';
import { SignatureChecker } from '../../src/trust/signatures.ts';
import { requestDigest } from '../../src/trust/token.ts';
import { TrustedTime } from '../../src/trust/trusted-time.ts';
import { createResultVerifier } from '../../src/trust/verify-result.ts';
import type { ReceivedRequest } from '../../src/trust/verify-request.ts';
import { Attacker, PARAMS, VICTIM } from '../support/attacker.ts';
import { startTestLattice, type TestLattice } from '../support/lattice.ts';
import {
  CALL,
  createTrustWorld,
  ECHO,
  LATTICE,
  forge,
  ManualClock,
  messageOf,
  run,
  sealClaims,
  signCalls,
  type SignedCall,
} from '../support/trust.ts';

const BUDGET = 50;

/** A verifier with a budget and passes, as a host has them. */
function floodedWorld() {
  const clock = new ManualClock();
  const passes = new PassKeys(() => clock.wallMs());
  passes.make();
  const signatures = new SignatureChecker(70_000);
  const budget = new WorkBudget(new TrustedTime(clock), BUDGET, BUDGET);
  const world = createTrustWorld({ clock, passes, signatures, budget });
  const stranger = SigningKey.generate('cluster');
  const withPass = ({ token, message }: SignedCall): ReceivedRequest => ({
    ...message,
    pass: passes.passFor(requestDigest(token)),
  });
  return {
    ...world,
    passes,
    signatures,
    withPass,
    /** Well-formed in everything but the signature, which another key made. */
    forged: (): ReceivedRequest => messageOf(forge(stranger, clock, { iss: world.key.publicKey })),
    unknown: (): ReceivedRequest => messageOf(forge(stranger, clock)),
    drain(): void {
      for (let n = 0; n < BUDGET; n++)
        expect(run(world, messageOf(forge(stranger, clock, { iss: world.key.publicKey })))).toBe('TRELLIS_VERIFY_SIGNATURE');
    },
  };
}

it('forged confirmations of one call buy two checks and then what may fail for all, and end nothing', () => {
  const world = floodedWorld();
  const { verifier, clock } = world;
  const [call] = signCalls(world.signer, 1);
  const verdict = verifier.verify(call!.message);
  if (!verdict.ok) throw new Error(verdict.code);
  const thief = SigningKey.generate('cluster');
  const inbox = 'inbox.of.the.accept';
  const claims = {
    v: 2,
    req: call!.sent.digest,
    iat: clock.wallMs(),
    lat: LATTICE,
    iss: world.key.publicKey,
    rs: inbox,
  } as const;
  const word = (by: SigningKey): string => sealClaims(by, writeConfirmClaims(claims), 'cnf2s');
  const before = verifier.stats.checks;
  for (let n = 0; n < 10 * BUDGET; n++) expect(verifier.confirm(verdict.pending, word(thief), inbox).ok).toBe(false);
  expect(verifier.stats.checks - before).toBe(BUDGET + 2);
  expect(verifier.confirm(verdict.pending, word(world.key), inbox)).toMatchObject({ code: 'TRELLIS_VERIFY_FLOODED' });
  // The caller says it again.
  clock.pass(1_000);
  expect(verifier.confirm(verdict.pending, word(world.key), inbox)).toEqual({ ok: true });
});

describe('signature checks under a flood', () => {
  it('DOS-03 forgeries by a known issuer cost no more Ed25519 checks than the budget allows', () => {
    const world = floodedWorld();
    world.drain();
    const { checks } = world.signatures.stats;
    for (let n = 0; n < 500; n++) expect(run(world, world.forged())).toBe('TRELLIS_VERIFY_FLOODED');
    expect(world.signatures.stats.checks).toBe(checks);
    // One second is worth one budget, however long the flood was.
    world.clock.pass(1_000);
    const codes = Array.from({ length: 500 }, () => run(world, world.forged()));
    expect(codes.filter((code) => code === 'TRELLIS_VERIFY_SIGNATURE')).toHaveLength(BUDGET);
    expect(world.signatures.stats.checks).toBe(checks + BUDGET);
  });

  it('DOS-03 what carries a pass is served, alone and in batches', () => {
    const world = floodedWorld();
    world.drain();
    const calls = [...signCalls(world.signer, 1), ...signCalls(world.signer, 20), ...signCalls(world.signer, 1)];
    for (const call of calls) expect(run(world, world.withPass(call))).toBe('ran');
  });

  it('DOS-03 what has no pass waits, but for the batches that are known already, and is served when the flood is over', () => {
    const world = floodedWorld();
    const [first, ...others] = signCalls(world.signer, 20);
    expect(run(world, first!.message)).toBe('ran');
    world.drain();
    for (const { message } of others) expect(run(world, message)).toBe('ran');
    const lone = signCalls(world.signer, 1)[0]!;
    expect(run(world, lone.message)).toBe('TRELLIS_VERIFY_FLOODED');
    world.clock.pass(1_000);
    expect(run(world, lone.message)).toBe('ran');
  });

  it('DOS-03 a genuine pass or a genuine signature, copied to a forgery, buys nothing', () => {
    const world = floodedWorld();
    const [known, spare] = signCalls(world.signer, 8) as [SignedCall, SignedCall];
    expect(run(world, world.withPass(known))).toBe('ran');
    world.drain();
    const { checks } = world.signatures.stats;
    const { pass } = world.withPass(spare);
    const proof = spare.token.slice(spare.token.lastIndexOf('.'));
    const token = world.forged().token!;
    const batched = `inv2b${token.slice(5, token.lastIndexOf('.'))}${proof}`;
    for (const message of [{ ...world.forged(), pass }, { ...messageOf(batched), pass }, messageOf(batched)]) {
      expect(run(world, message)).toBe('TRELLIS_VERIFY_FLOODED');
    }
    expect(world.signatures.stats.checks).toBe(checks);
  });

  it.each(['', 'AAAA', 'A'.repeat(20), 'A'.repeat(5_000), 'ÿ'.repeat(20)])(
    'DOS-03 a made-up pass %# vouches for nothing',
    (pass) => {
      const world = floodedWorld();
      world.drain();
      expect(run(world, { ...signCalls(world.signer, 1)[0]!.message, pass })).toBe('TRELLIS_VERIFY_FLOODED');
    },
  );

  it('DOS-03 a pass is a lane and no right: a forgery with one is refused all the same', () => {
    const world = floodedWorld();
    world.drain();
    const message = world.forged();
    expect(run(world, { ...message, pass: world.passes.passFor(requestDigest(message.token!)) })).toBe(
      'TRELLIS_VERIFY_SIGNATURE',
    );
  });

  it('DOS-01 DOS-02 DOS-04 garbage, unknown issuers and replays reach no check and leave the budget to others', () => {
    const world = floodedWorld();
    const replayed = signCalls(world.signer, 1)[0]!;
    expect(run(world, replayed.message)).toBe('ran');
    const { checks } = world.signatures.stats;
    for (let n = 0; n < 2 * BUDGET; n++) {
      expect(run(world, world.unknown())).toBe('TRELLIS_VERIFY_ISSUER');
      expect(run(world, messageOf(`inv2s.${'A'.repeat(n)}.AAAA`))).toBe('TRELLIS_VERIFY_MALFORMED');
      expect(run(world, messageOf('A'.repeat(n + 1)))).toBe('TRELLIS_VERIFY_FORM');
      // Not even the payload is looked at.
      expect(run(world, { ...replayed.message, params: Buffer.from('another') })).toBe('TRELLIS_VERIFY_REPLAYED');
    }
    expect(world.signatures.stats.checks).toBe(checks);
    expect(run(world, world.forged())).toBe('TRELLIS_VERIFY_SIGNATURE');
    expect(world.signatures.size + world.replay.size).toBe(1);
  });

  it('DOS-06 large payloads count for what it costs to hash them', () => {
    const world = floodedWorld();
    const params = Buffer.alloc(1024 * 1024);
    const large = (): string => run(world, { ...world.forged(), params });
    const codes = Array.from({ length: BUDGET }, large);
    expect(codes.indexOf('TRELLIS_VERIFY_FLOODED')).toBeLessThan(BUDGET / 5);
  });
});

describe('a caller under forged answers', () => {
  it('DOS-03 spends no more on them than the budget, and takes the genuine answer all the same', () => {
    const world = floodedWorld();
    const { clock, passes, signatures, signer } = world;
    const results = createResultVerifier({
      lattice: LATTICE,
      signers: world.signers,
      time: world.time,
      signatures,
      passes,
      budget: new WorkBudget(world.time, BUDGET, BUDGET),
    });
    const answer = (by: TokenSigner, { sent }: SignedCall): string => {
      let token = '';
      by.result(
        { request: sent.digest, server: ECHO, status: 'ok', result: CALL.params, inbox: undefined },
        (made) => (token = made),
      );
      by.flush();
      return token;
    };
    const forger = createTokenSigner({ key: SigningKey.generate('cluster'), lattice: LATTICE, clock });
    const forgedFor = (call: SignedCall): string => {
      const [, claims, proof] = answer(forger, call).split('.') as [string, string, string];
      const text = Buffer.from(claims, 'base64url').toString().replace(forger.issuer, signer.issuer);
      return `res2s.${Buffer.from(text).toString('base64url')}.${proof}`;
    };
    const [flooded, other, third] = signCalls(signer, 3) as [SignedCall, SignedCall, SignedCall];
    const codes = Array.from({ length: 500 }, () => {
      const verdict = results.result(flooded.sent, forgedFor(flooded), CALL.params);
      return verdict.ok ? 'ok' : verdict.code;
    });
    expect(codes.filter((code) => code === 'TRELLIS_VERIFY_SIGNATURE')).toHaveLength(BUDGET + 2);
    expect(new Set(codes.slice(BUDGET + 2))).toEqual(new Set(['TRELLIS_VERIFY_FLOODED']));
    expect(signatures.stats.checks).toBe(BUDGET + 2);

    const genuine = answer(signer, flooded);
    const pass = passes.passFor(requestDigest(genuine));
    expect(results.result(flooded.sent, genuine, CALL.params)).toMatchObject({ code: 'TRELLIS_VERIFY_FLOODED' });
    expect(results.result(flooded.sent, forgedFor(flooded), CALL.params, pass)).toMatchObject({ code: 'TRELLIS_VERIFY_FLOODED' });
    expect(results.result(flooded.sent, genuine, CALL.params, pass)).toMatchObject({ ok: true });
    // Calls that nobody forges answers to need no pass, and one or two forgeries do not change that.
    expect(results.result(other.sent, answer(signer, other), CALL.params)).toMatchObject({ ok: true });
    expect(results.result(third.sent, forgedFor(third), CALL.params)).toMatchObject({ code: 'TRELLIS_VERIFY_SIGNATURE' });
    expect(results.result(third.sent, answer(signer, third), CALL.params)).toMatchObject({ ok: true });
  });
});

describe('the lanes of origins', () => {
  it('DOS-05 one noisy origin leaves the others their share', () => {
    const admission = new Admission({ maxInFlight: 2_048, maxInFlightPerOrigin: 512 });
    const enter = (origin: string, count: number): number =>
      Array.from({ length: count }, () => admission.enter('echo', 1_028, origin)).filter(Boolean).length;
    expect(enter('noisy', 100_000)).toBe(512);
    for (const origin of ['a', 'b', 'c', 'd', 'e']) expect(enter(origin, 100)).toBe(100);
  });
});

describe('the log under a flood', () => {
  it('DOS-08 writes at most 100 lines a second, whatever the mixture of codes, and counts every refusal', async () => {
    const clock = new ManualClock();
    const lines: string[] = [];
    const log = createLogger({ format: 'json', clock, destination: { write: (line) => void lines.push(line) } });
    const metrics = createMetrics({ eventLoop: false });
    const observer = createObserver(log, metrics);
    const codes = ['TRELLIS_VERIFY_SIGNATURE', 'TRELLIS_VERIFY_FLOODED', 'TRELLIS_VERIFY_ISSUER', 'TRELLIS_VERIFY_FORM'] as const;
    for (let n = 0; n < 40_000; n++) {
      const code = codes[n % codes.length]!;
      const outcome = code === 'TRELLIS_VERIFY_FLOODED' ? 'busy' : 'denied';
      observer.ended({ ...END, code, outcome });
    }
    expect(lines.length).toBeGreaterThan(0);
    log.flush();
    expect(lines.length).toBeLessThanOrEqual(100);
    const text = await metrics.text();
    for (const code of codes) expect(text).toContain(`trellis_denials_total{code="${code}"} 10000`);
    // What was left out is said.
    const suppressed = lines.map((line) => (JSON.parse(line) as { suppressed?: number }).suppressed ?? 0);
    expect(suppressed.reduce((sum, each) => sum + each, 0) + lines.length - codes.length).toBe(40_000);
  });
});

const END = {
  component: 'echo',
  operation: 'echo',
  detail: 'forged',
  origin: 'caller',
  verified: false,
  durationMs: 0,
  traceparent: undefined,
} as const;

describe('a host under a flood', () => {
  // Stands still, so that no budget fills up again, however slow the machine is.
  const clock = new ManualClock(Date.now());
  let test: TestLattice;
  let attacker: Attacker;
  let genuine: SigningKey;
  let caller: Caller;
  const stranger = SigningKey.generate('cluster');

  beforeAll(async () => {
    test = await startTestLattice({ trust: { failedChecksPerSecond: 100 } }, clock);
    attacker = new Attacker(test);
    caller = await connectCaller({
      config: test.lattice.callerConfig,
      log: silentLogger(),
      metrics: createMetrics({ eventLoop: false }),
      origin: COMMAND_LINE_ORIGIN,
      clock,
    });
    genuine = SigningKey.fromSeed(readFileSync(join(test.lattice.config.stateDir, 'cluster.seed'), 'utf8').trim(), 'cluster');
  });
  afterAll(async () => {
    await caller[Symbol.asyncDispose]();
    await test[Symbol.asyncDispose]();
  });

  it('DOS-03 answers genuine calls, refuses every forgery once, and keeps nothing of them', async () => {
    const bus = test.caller.member.rpc;
    const runs = test.runs(VICTIM.target);
    const denied = async (): Promise<number[]> => [
      await test.metric('trellis_denials_total', 'code="TRELLIS_VERIFY_SIGNATURE"'),
      await test.metric('trellis_denials_total', 'code="TRELLIS_VERIFY_FLOODED"'),
    ];
    const inbox = attacker.reply();
    let answers = 0;
    const listening = bus.subscribe(`${inbox}.>`, {}, () => answers++);
    const forgeries = 4_000;
    const calls: Promise<unknown>[] = [];
    for (let n = 0; n < forgeries; n++) {
      const reply = `${inbox}.${n}`;
      const token = attacker.token(stranger, clock, { iss: genuine.publicKey, rpl: reply });
      bus.publish(attacker.subject, PARAMS, {
        reply,
        headers: { entries: [['Lattice-Invocation', token]] },
      });
      if (n % 100 === 0) calls.push(caller.call({ ...VICTIM, params: PARAMS, timeoutMs: 20_000 }));
    }
    const results = await Promise.all(calls);
    expect(results).toHaveLength(forgeries / 100);
    await expect.poll(denied).toEqual([100, forgeries - 100]);
    await bus.flush();
    listening.unsubscribe();
    expect(test.runs(VICTIM.target)).toBe(runs + results.length);
    expect(test.lattice.host.status().inFlight).toBe(0);
    // The answers to forgeries are bounded: they would be a flood for whoever is named in them.
    expect(answers).toBe(2_000);
  });
});
