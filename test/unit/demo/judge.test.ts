import { describe, expect, it } from 'vitest';
import type { Attack } from '../../../src/demo/attack/attack.ts';
import { type AttackRow, judge, type Outcome, sameAnswer } from '../../../src/demo/attack/judge.ts';

const ATTACK: Attack = { id: 'ENV-00', words: 'an attack', codes: ['TRELLIS_VERIFY_SIGNATURE'], run: async () => {} };
const REFUSED: Outcome = {
  answers: ['401 invocation denied'],
  failure: undefined,
  codes: { host: ['TRELLIS_VERIFY_SIGNATURE'], caller: [] },
  genuine: [{ ok: true, ran: 1 }],
  extraRuns: 0,
};
const outcome = (changes: Partial<Outcome>, attack: Partial<Attack> = {}): AttackRow =>
  judge({ ...ATTACK, ...attack }, { ...REFUSED, ...changes });

describe('the verdict on an attack', () => {
  it('is ok when it was refused by the check that is meant to, and nothing ran for it', () => {
    expect(outcome({})).toMatchObject({ expected: true, guestRan: false, genuine: { made: 1, ok: 1 } });
    expect(outcome({})).not.toHaveProperty('surprise');
  });

  it.each<[string, Partial<Outcome>, RegExp]>([
    ['a guest ran, whatever was answered', { extraRuns: 1 }, /guest code ran 1 times/],
    ['a guest ran less often than genuine calls say', { extraRuns: -1 }, /guest code ran -1 times/],
    ['another answer came', { answers: ['401 invocation denied', 'result of 8 bytes'] }, /told result of 8 bytes/],
    ['nothing was sent', { answers: [] }, /nothing was sent/],
    [
      'another check refused',
      { codes: { host: ['TRELLIS_VERIFY_PAYLOAD'], caller: [] } },
      /unexpected code TRELLIS_VERIFY_PAYLOAD/,
    ],
    ['no host refused', { codes: { host: [], caller: [] } }, /no code in any host/],
    [
      'a genuine call failed',
      {
        genuine: [
          { ok: true, ran: 1 },
          { ok: false, ran: 0 },
        ],
      },
      /1 genuine calls failed/,
    ],
    ['it could not be carried out', { failure: 'its process ended' }, /could not be carried out: its process ended/],
  ])('is a surprise when %s', (_when, changes, surprise) => {
    const row = outcome(changes);
    expect(row.expected).toBe(false);
    expect(row.surprise).toMatch(surprise);
    expect(row.guestRan).toBe((changes.extraRuns ?? 0) !== 0);
  });

  it('looks at what the caller dropped only where answers were forged', () => {
    const forged = { codes: [], callerCodes: ['TRELLIS_INVOKE_UNAUTHENTICATED'] } as const;
    const dropped = { host: [], caller: ['TRELLIS_INVOKE_UNAUTHENTICATED'] } as const;
    expect(outcome({ codes: dropped }, forged)).toMatchObject({ expected: true, codes: ['TRELLIS_INVOKE_UNAUTHENTICATED'] });
    expect(outcome({ codes: { host: [], caller: [] } }, forged).surprise).toMatch(/no code in the caller/);
    expect(outcome({ codes: { host: ['TRELLIS_VERIFY_SIGNATURE'], caller: dropped.caller } })).toMatchObject({
      expected: true,
      codes: ['TRELLIS_VERIFY_SIGNATURE'],
    });
  });
});

describe('ENV-33', () => {
  it('compares the refusals of calls with a token', () => {
    const rows = [
      outcome({}),
      outcome({ codes: { host: ['TRELLIS_VERIFY_UNSIGNED'], caller: [] }, answers: ['401 invocation not signed'] }),
    ];
    expect(sameAnswer(rows)).toMatchObject({ expected: true, answers: ['401 invocation denied'] });
    expect(sameAnswer([...rows, outcome({ answers: ['401 wrong signature'] })])).toMatchObject({
      expected: false,
      surprise: 'refusals differ',
    });
    expect(sameAnswer([]).expected).toBe(false);
  });
});
