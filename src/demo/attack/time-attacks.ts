import type { Attack } from './attack.ts';
import type { Attacker } from './attacker.ts';
import { partsOf } from './token-surgery.ts';

async function presentAll(attacker: Attacker, tokens: readonly string[]): Promise<void> {
  for (const token of tokens) await attacker.present(token);
}

/** When a token counts. */
export const TIME_ATTACKS: readonly Attack[] = [
  {
    id: 'ENV-11',
    words: 'tokens of a trusted key: expired 6 s ago, living 61 s, living for ever',
    codes: ['TRELLIS_VERIFY_EXPIRED', 'TRELLIS_VERIFY_FENCED', 'TRELLIS_VERIFY_LIFETIME', 'TRELLIS_VERIFY_MALFORMED'],
    gift(insider) {
      const nowMs = insider.nowMs();
      const token = insider.token(insider.cluster);
      return [
        insider.token(insider.cluster, { iat: nowMs - 36_000, exp: nowMs - 6_000 }),
        insider.token(insider.cluster, { exp: nowMs + 61_000 }),
        insider.seal(insider.cluster, partsOf(token).claims.replace(/,"exp":\d+/, '')),
      ];
    },
    run: presentAll,
  },
  {
    id: 'ENV-12',
    words: 'a token of a trusted key for the next minute',
    codes: ['TRELLIS_VERIFY_EARLY'],
    gift(insider) {
      const iat = insider.nowMs() + 60_000;
      return [insider.token(insider.cluster, { iat, exp: iat + 10_000 })];
    },
    run: presentAll,
  },
  {
    id: 'ENV-13',
    words: 'a token of a trusted key whose clock is 15 s ahead (5 s are allowed)',
    codes: ['TRELLIS_VERIFY_EARLY'],
    gift(insider) {
      // Presented within a second: handing it over takes time, and a busy machine must not make it good.
      const iat = insider.nowMs() + 15_000;
      return [insider.token(insider.cluster, { iat, exp: iat + 10_000 })];
    },
    run: presentAll,
  },
  {
    id: 'ENV-14',
    words: 'tokens of a trusted key whose expiry is a text, a fraction, 1e309 or null',
    codes: ['TRELLIS_VERIFY_MALFORMED'],
    gift(insider) {
      return ['"1800000000000"', '1.5', '1e309', '-1', 'null', '01800000000000'].map((exp) =>
        insider.seal(insider.cluster, partsOf(insider.token(insider.cluster)).claims.replace(/"exp":\d+/, `"exp":${exp}`)),
      );
    },
    async run(attacker, tokens) {
      for (const token of tokens) await attacker.present(token, { reply: attacker.newReply() });
    },
  },
];
