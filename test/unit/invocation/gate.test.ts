import { describe, expect, it } from 'vitest';
import { createGate, type VerifyMode } from '../../../src/invocation/gate.ts';
import { Introductions } from '../../../src/invocation/introductions.ts';
import { LinkTable } from '../../../src/invocation/link-table.ts';
import type { OpenedInvocation } from '../../../src/invocation/open.ts';
import { UnsignedPairs } from '../../../src/invocation/unsigned-pairs.ts';
import { CALL, createTrustWorld, signCalls } from '../../support/trust.ts';

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
