import { describe, expect, it } from 'vitest';
import { SigningKey } from '../../src/trust/nkey.ts';
import { ReplayWindow } from '../../src/trust/replay.ts';
import { newTokenId } from '../../src/trust/signer.ts';
import type { PendingInvocation } from '../../src/trust/verify-request.ts';
import {
  CALL,
  createTrustWorld,
  forge,
  ManualClock,
  MemoryAheadStore,
  messageOf,
  run,
  type SignedCall,
  signCalls,
  type TrustWorld,
} from '../support/trust.ts';

const key = SigningKey.generate('cluster');

/** One good call in each form. */
function goodCalls(world: TrustWorld): SignedCall[] {
  return [signCalls(world.signer, 1)[0]!, signCalls(world.signer, 6)[2]!];
}

describe('replay on one host', () => {
  it('RPL-01 the same envelope twice runs once, and the copy costs no cryptography', () => {
    const world = createTrustWorld({ key });
    for (const { message } of goodCalls(world)) {
      expect(run(world, message)).toBe('ran');
      const checks = world.verifier.stats.checks;
      for (let n = 0; n < 100; n++) expect(run(world, message)).toBe('TRELLIS_VERIFY_REPLAYED');
      expect(world.verifier.stats.checks).toBe(checks);
    }
  });

  it('RPL-02 a thousand copies verified before the first is admitted: one runs', () => {
    const world = createTrustWorld({ key });
    for (const { message } of goodCalls(world)) {
      const pending: PendingInvocation[] = [];
      for (let n = 0; n < 1_000; n++) {
        const verdict = world.verifier.verify(message);
        if (verdict.ok) pending.push(verdict.pending);
      }
      expect(pending).toHaveLength(1_000);
      const admitted = pending.map((p) => world.verifier.admit(p, [message.params]));
      expect(admitted.filter((a) => a.ok)).toHaveLength(1);
      // Nor can one verified request be admitted twice.
      expect(world.verifier.admit(pending[0]!, [message.params])).toMatchObject({ code: 'TRELLIS_VERIFY_REPLAYED' });
    }
  });

  it('RPL-02 a copy whose parameters arrive after the id has been forgotten does not run', () => {
    const world = createTrustWorld({ key });
    const [call] = signCalls(world.signer, 1);
    const early = world.verifier.verify({ ...call!.message, params: CALL.params.subarray(0, 3) });
    const late = world.verifier.verify({ ...call!.message, params: CALL.params.subarray(0, 3) });
    expect(early.ok && late.ok).toBe(true);
    if (!early.ok || !late.ok) return;
    expect(world.verifier.admit(early.pending, [CALL.params])).toMatchObject({ ok: true });
    world.clock.pass(120_000);
    expect(world.verifier.admit(late.pending, [CALL.params])).toMatchObject({ code: 'TRELLIS_VERIFY_EXPIRED' });
  });

  it('RPL-03 two hosts of one queue group: at most once on each', () => {
    const clock = new ManualClock();
    const hosts = [createTrustWorld({ key, clock }), createTrustWorld({ key, clock })];
    const [call] = signCalls(hosts[0]!.signer, 1);
    const outcomes = Array.from({ length: 20 }, (_, n) => run(hosts[n % 2]!, call!.message));
    expect(outcomes.filter((o) => o === 'ran')).toHaveLength(2);
  });

  it('RPL-07 with another reply subject', () => {
    const world = createTrustWorld({ key });
    for (const { message } of goodCalls(world)) {
      expect(run(world, { ...message, reply: '_INBOX.thief' })).toBe('TRELLIS_VERIFY_BINDING');
      expect(run(world, message)).toBe('ran');
      expect(run(world, { ...message, reply: '_INBOX.thief' })).toBe('TRELLIS_VERIFY_BINDING');
    }
    const logical = createTrustWorld({ key, bind: 'logical' });
    const [call] = signCalls(logical.signer, 1);
    expect(run(logical, call!.message)).toBe('ran');
    expect(run(logical, { ...call!.message, reply: '_R_.other' })).toBe('TRELLIS_VERIFY_REPLAYED');
  });

  it('RPL-08 the id in another case or spelling', () => {
    const world = createTrustWorld({ key });
    const [{ token, message }] = signCalls(world.signer, 1) as [SignedCall];
    expect(run(world, message)).toBe('ran');
    const [header, claims, proof] = token.split('.') as [string, string, string];
    const text = Buffer.from(claims, 'base64url').toString();
    const jti = /"jti":"([^"]+)"/.exec(text)![1]!;
    const spellings = [
      jti.toLowerCase(),
      jti.toUpperCase(),
      `${jti}=`,
      ` ${jti}`,
      jti.replace(/.$/, (c) => (c === 'B' ? 'C' : 'B')),
    ];
    for (const spelling of spellings.filter((s) => s !== jti)) {
      const changed = Buffer.from(text.replace(jti, spelling)).toString('base64url');
      expect(run(world, messageOf(`${header}.${changed}.${proof}`))).toMatch(/^TRELLIS_VERIFY_(MALFORMED|SIGNATURE)$/);
    }
  });

  it('RPL-09 at the edge of expiry plus leeway, in steps of a millisecond', () => {
    const world = createTrustWorld({ key });
    const [call] = signCalls(world.signer, 1);
    const issued = world.clock.wallMs();
    expect(run(world, call!.message)).toBe('ran');
    world.clock.pass(34_900);
    for (let n = 0; n < 4_000; n++) {
      const code = run(world, call!.message);
      expect(code).toBe(world.clock.wallMs() <= issued + 35_000 ? 'TRELLIS_VERIFY_REPLAYED' : 'TRELLIS_VERIFY_EXPIRED');
      world.clock.pass(1);
    }
  });

  it('RPL-09 the same while trusted time runs slow, after the clock was set back a little', () => {
    for (const offsetMs of [0, 37, 99]) {
      const world = createTrustWorld({ key });
      const [call] = signCalls(world.signer, 1);
      world.clock.pass(offsetMs);
      expect(run(world, call!.message)).toBe('ran');
      world.clock.setBy(-4_900);
      world.clock.pass(37_000);
      const outcomes = Array.from({ length: 1_000 }, () => {
        world.clock.pass(1);
        return run(world, call!.message);
      });
      // First remembered, then expired, and nothing in between.
      expect(outcomes[0]).toBe('TRELLIS_VERIFY_REPLAYED');
      expect(outcomes.at(-1)).toBe('TRELLIS_VERIFY_EXPIRED');
      expect(new Set(outcomes).size).toBe(2);
    }
  });

  it('RPL-09 the same while small clock corrections slow trusted time down', () => {
    const world = createTrustWorld({ key });
    const [call] = signCalls(world.signer, 1);
    expect(run(world, call!.message)).toBe('ran');
    for (let n = 0; n < 8_000; n++) {
      if (n % 50 === 0) world.clock.setBy(-4);
      world.clock.pass(5);
      expect(run(world, call!.message)).toMatch(/^TRELLIS_VERIFY_(REPLAYED|EXPIRED)$/);
    }
  });
});

describe('replay across a restart', () => {
  it('RPL-04 after a crash, inside the life of the envelope', () => {
    const clock = new ManualClock();
    const before = createTrustWorld({ key, clock });
    const calls = goodCalls(before);
    for (const { message } of calls) expect(run(before, message)).toBe('ran');
    clock.pass(200);
    const after = createTrustWorld({ key, clock });
    for (const { message } of calls) expect(run(after, message)).toBe('TRELLIS_VERIFY_FENCED');
    expect(after.verifier.stats.checks).toBe(0);
    expect(run(after, signCalls(after.signer, 1)[0]!.message)).toBe('ran');
  });

  it('RPL-04 from a sender whose clock is ahead, at every moment after the restart', () => {
    for (const aheadMs of [1, 500, 2_000, 5_000]) {
      const clock = new ManualClock();
      const store = new MemoryAheadStore();
      const before = createTrustWorld({ key, clock, store });
      const iat = clock.wallMs() + aheadMs;
      const message = messageOf(forge(key, clock, { iat, exp: iat + 30_000 }));
      expect(run(before, message)).toBe('ran');
      clock.pass(100);
      // A process that dies at once keeps nothing but what the store has.
      const after = createTrustWorld({ key, clock, store });
      for (let n = 0; n < 400; n++) {
        expect(run(after, message)).not.toBe('ran');
        clock.pass(100);
      }
    }
  });

  it('RPL-04 is refused at once when the store cannot remember', () => {
    const clock = new ManualClock();
    const store = {
      aheadMs: 0,
      raise(): void {
        throw new Error('disk full');
      },
    };
    const world = createTrustWorld({ key, clock, store });
    const iat = clock.wallMs() + 1_000;
    expect(run(world, messageOf(forge(key, clock, { iat, exp: iat + 30_000 })))).toBe('TRELLIS_VERIFY_FAILED');
    expect(run(world, messageOf(forge(key, clock)))).toBe('ran');
  });

  it('RPL-05 after the wall clock is set back, by little or much, at any moment', () => {
    for (const backMs of [1, 4_000, 10_000, 40_000, 3_600_000]) {
      const world = createTrustWorld({ key });
      const [call] = signCalls(world.signer, 1);
      expect(run(world, call!.message)).toBe('ran');
      for (let n = 0; n < 100; n++) {
        if (n % 30 === 10) world.clock.setBy(-backMs);
        world.clock.pass(1_000);
        expect(run(world, call!.message)).toMatch(/^TRELLIS_VERIFY_(REPLAYED|EXPIRED)$/);
      }
    }
  });

  it('RPL-05 after the wall clock jumped ahead and came back', () => {
    const world = createTrustWorld({ key });
    const calls = goodCalls(world);
    for (const { message } of calls) expect(run(world, message)).toBe('ran');
    world.clock.setBy(3_600_000);
    for (const { message } of calls) expect(run(world, message)).toBe('TRELLIS_VERIFY_EXPIRED');
    world.clock.setBy(-3_600_000);
    for (const { message } of calls) expect(run(world, message)).not.toBe('ran');
  });
});

describe('a full memory', () => {
  it('RPL-06 refuses new envelopes instead of forgetting old ones', () => {
    const world = createTrustWorld({ key, maxEntries: 200 });
    const calls = signCalls(world.signer, 300);
    const outcomes = calls.map(({ message }) => run(world, message));
    expect(outcomes.filter((o) => o === 'ran')).toHaveLength(200);
    expect(outcomes.filter((o) => o === 'TRELLIS_VERIFY_REPLAY_FULL')).toHaveLength(100);
    for (const { message } of calls) expect(run(world, message)).not.toBe('ran');
    world.clock.pass(60_000);
    const fresh = signCalls(world.signer, 200).map(({ message }) => run(world, message));
    expect(fresh.every((o) => o === 'ran')).toBe(true);
  });

  it('RPL-06 a million ids in under 100 MB, the first still known', () => {
    const clock = new ManualClock(0);
    const replay = new ReplayWindow({ clock, maxEntries: 1_000_000, skewMs: 5_000 });
    const before = process.memoryUsage();
    const first = newTokenId();
    expect(replay.insert('C', first, 60_000)).toBe('new');
    for (let n = 1; n < 1_000_000; n++) {
      if (replay.insert('C', newTokenId(), 60_000) !== 'new') expect.unreachable();
    }
    expect(replay.size).toBe(1_000_000);
    expect(replay.insert('C', newTokenId(), 60_000)).toBe('full');
    expect(replay.insert('C', first, 60_000)).toBe('seen');
    expect(process.memoryUsage().arrayBuffers - before.arrayBuffers).toBeLessThan(100e6);
  });
});
