import { describe, expect, it } from 'vitest';
import { INTRODUCE_MS, Introductions } from '../../../src/invocation/introductions.ts';
import { deny } from '../../../src/trust/denial.ts';
import { ManualClock } from '../../support/trust.ts';

function setUp() {
  const clock = new ManualClock();
  let own = { text: 'first', kid: 'a', sinceMs: clock.monotonicMs() };
  const taken: (string | undefined)[][] = [];
  const introductions = new Introductions({
    state: { takeDelegation: (...texts) => (taken.push(texts), { kid: 'x' }) },
    own: () => own,
    passes: { passFor: () => undefined },
    clock,
  });
  return { clock, taken, introductions, renew: () => (own = { text: 'second', kid: 'b', sinceMs: clock.monotonicMs() }) };
}

describe('introductions', () => {
  it('show a delegation on calls while it is new, and again once it is another', () => {
    const { clock, introductions, renew } = setUp();
    expect(introductions.ofCall()).toEqual({ text: 'first', unasked: true });
    clock.pass(INTRODUCE_MS);
    expect(introductions.ofCall()).toEqual({ text: 'first', unasked: false });
    renew();
    expect(introductions.ofCall()).toEqual({ text: 'second', unasked: true });
  });

  it('show it in answers to each caller for 30 s from its first call, and after each renewal', () => {
    const { clock, introductions, renew } = setUp();
    expect(introductions.ofAnswer('_INBOX.a.w.1')).toBe('first');
    clock.pass(INTRODUCE_MS - 1);
    expect(introductions.ofAnswer('_INBOX.a.w.2')).toBe('first');
    clock.pass(1);
    expect(introductions.ofAnswer('_INBOX.a.w.3')).toBeUndefined();
    expect(introductions.ofAnswer('_INBOX.b.w.1')).toBe('first');
    renew();
    expect(introductions.ofAnswer('_INBOX.a.w.4')).toBe('second');
  });

  it('forget the oldest caller, which is then shown it again, rather than grow', () => {
    const { clock, introductions } = setUp();
    for (let n = 0; n <= 4_096; n++) introductions.ofAnswer(`_INBOX.${n}.w.1`);
    clock.pass(INTRODUCE_MS);
    expect(introductions.ofAnswer('_INBOX.4096.w.1')).toBeUndefined();
    expect(introductions.ofAnswer('_INBOX.0.w.1')).toBe('first');
  });

  it('put nothing beside the word of an unsigned answer', () => {
    expect(setUp().introductions.proofEntries('Lattice-Result', 'unsigned denied', '_INBOX.a.w.1')).toEqual([
      ['Lattice-Result', 'unsigned denied'],
    ]);
  });

  it('look at what is shown only when a delegation is missing, and judge once more then', () => {
    const { introductions, taken } = setUp();
    const unknown = deny('TRELLIS_VERIFY_DELEGATION', 'unknown');
    const other = deny('TRELLIS_VERIFY_EXPIRED', 'late');
    expect(introductions.judge(() => other, expect.unreachable)).toBe(other);
    expect(introductions.judge(() => ({ ok: true }), expect.unreachable)).toEqual({ ok: true });
    expect(
      introductions.judge(
        () => unknown,
        () => undefined,
      ),
    ).toEqual({ ...unknown, need: 'delegation' });
    let asked = 0;
    const verdict = introductions.judge(
      () => (asked++ === 0 ? unknown : { ok: true as const }),
      () => 'child parent',
    );
    expect([verdict, asked, taken]).toEqual([{ ok: true }, 2, [['child', 'parent']]]);
  });

  it('read nothing that is too long to be one', () => {
    const { introductions, taken } = setUp();
    const unknown = deny('TRELLIS_VERIFY_DELEGATION', 'unknown');
    expect(
      introductions.judge(
        () => unknown,
        () => 'x'.repeat(4_098),
      ),
    ).toMatchObject({ ok: false });
    expect(taken).toEqual([]);
  });
});
