import { describe, expect, it } from 'vitest';
import { createGate, type VerifyMode } from '../../../src/invocation/gate.ts';
import { Introductions } from '../../../src/invocation/introductions.ts';
import { LinkTable } from '../../../src/invocation/link-table.ts';
import type { OpenedInvocation } from '../../../src/invocation/open.ts';
import { UnsignedPairs } from '../../../src/invocation/unsigned-pairs.ts';
import { SigningKey } from '../../../src/trust/nkey.ts';
import { CALL, createTrustWorld, forge, signCalls } from '../../support/trust.ts';

/** What the gate says of complete parameters when no further id can be remembered. */
function admitWhenFull(mode: VerifyMode) {
  const world = createTrustWorld({ maxEntries: 1 });
  const gate = createGate(mode, world.verifier, {
    pairs: new UnsignedPairs([], () => {}),
    links: new LinkTable([]),
    introductions: new Introductions({
      state: world.signers,
      own: () => ({ text: '', kid: '', sinceMs: 0 }),
      passes: { passFor: () => undefined },
      clock: world.clock,
    }),
  });
  let last;
  for (const { token } of signCalls(world.signer, 2)) {
    const opened: OpenedInvocation = {
      token,
      sourceId: CALL.origin,
      pass: undefined,
      linkName: CALL.link,
      traceparent: undefined,
      declaredBytes: undefined,
      depth: 0,
    };
    const message = { subject: CALL.subject, reply: CALL.reply, payload: CALL.params, header: () => undefined };
    const passed = gate.check(opened, message, CALL);
    if (!passed.ok || passed.pending === undefined) throw new Error('a good token did not pass');
    last = gate.admit(passed.pending, [CALL.params]);
  }
  return last;
}

describe('the gate on complete parameters', () => {
  it('refuses under enforce what the verifier refuses', () => {
    expect(admitWhenFull('enforce')).toMatchObject({ ok: false, code: 'TRELLIS_VERIFY_REPLAY_FULL' });
  });

  it('lets it through under observe, and says so', () => {
    expect(admitWhenFull('observe')).toMatchObject({ ok: true, denied: { code: 'TRELLIS_VERIFY_REPLAY_FULL' } });
  });
});

describe('the gate on a message that lacks nothing but its link', () => {
  const message = { subject: CALL.subject, reply: CALL.reply, payload: CALL.params, header: () => undefined };
  const openedOf = (token: string | undefined): OpenedInvocation => ({
    token,
    sourceId: CALL.origin,
    pass: undefined,
    linkName: CALL.link,
    traceparent: undefined,
    declaredBytes: undefined,
    depth: 0,
  });

  /** A gate without links, and the sources that were asked for. */
  function unlinked() {
    const world = createTrustWorld({ links: { allows: () => false } });
    const links = new LinkTable([]);
    const found = Promise.withResolvers<boolean>();
    const asked: string[] = [];
    links.lookups.askBy((source) => {
      asked.push(source);
      return found.promise;
    });
    const gate = createGate('enforce', world.verifier, {
      pairs: new UnsignedPairs([{ source: CALL.origin, target: CALL.target, interface: 'trellis-samples:echo/bytes' }], () => {}),
      links,
      introductions: new Introductions({
        state: world.signers,
        own: () => ({ text: '', kid: '', sinceMs: 0 }),
        passes: { passFor: () => undefined },
        clock: world.clock,
      }),
    });
    const awaits = (token: string | undefined): Promise<void> | undefined => {
      const verdict = gate.check(openedOf(token), message, CALL);
      if (verdict.ok) throw new Error('it passed');
      return gate.awaits?.(verdict, openedOf(token), message, CALL);
    };
    return { ...world, asked, found, awaits };
  }

  it('has it looked for, once, while copies of it are refused', async () => {
    const { signer, asked, found, awaits } = unlinked();
    const [first, second] = signCalls(signer, 2);
    const waiting = awaits(first!.token);
    expect([awaits(first!.token), asked]).toEqual([undefined, [CALL.origin]]);
    expect(awaits(second!.token)).toBeInstanceOf(Promise);
    found.resolve(true);
    await waiting;
    expect(awaits(first!.token)).toBeInstanceOf(Promise);
  });

  it('has so many wait and no more, since each keeps its parameters', async () => {
    const { signer, found, awaits } = unlinked();
    const calls = signCalls(signer, 257).map(({ token }) => token);
    const waiting = calls.map((token) => awaits(token));
    expect(waiting.map((wait) => wait === undefined).indexOf(true)).toBe(256);
    found.resolve(true);
    await waiting[0];
    await waiting[1];
    expect(awaits(calls[256])).toBeInstanceOf(Promise);
  });

  it('asks nobody for what a stranger signed, nor for what is wrong besides; and for a listed pair without a token', () => {
    const { clock, key, asked, awaits } = unlinked();
    const stranger = SigningKey.generate('cluster');
    expect(awaits(forge(stranger, clock, { iss: key.publicKey }))).toBeUndefined();
    expect(awaits(forge(stranger, clock))).toBeUndefined();
    expect(awaits(forge(key, clock, { len: 1 }))).toBeUndefined();
    expect(asked).toEqual([]);
    expect(awaits(undefined)).toBeInstanceOf(Promise);
  });
});
