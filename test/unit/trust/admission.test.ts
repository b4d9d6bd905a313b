import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { WorkBudget } from '../../../src/trust/work-budget.ts';
import { SigningKey } from '../../../src/trust/nkey.ts';
import { PassKeys } from '../../../src/trust/pass-keys.ts';
import { requestDigest } from '../../../src/trust/token.ts';
import { TrustedTime } from '../../../src/trust/trusted-time.ts';
import type { ReceivedRequest } from '../../../src/trust/verify-request.ts';
import { CALL, createTrustWorld, forge, ManualClock, messageOf, signCalls } from '../../support/trust.ts';

const NOW_MS = 1_800_000_000_000;
const keyText = (fill: number): string => Buffer.alloc(32, fill).toString('base64url');
/** Keys at a fixed time that know these, each as `made:key`. */
function keysOf(...entries: readonly string[]): PassKeys {
  const keys = new PassKeys(() => NOW_MS);
  keys.merge(['pk1', ...entries].join(' '));
  return keys;
}

describe('the wire form of passes', () => {
  it('is the start of two digests, the name of the key and the tag over the digest of the token', () => {
    const key = Buffer.alloc(32, 7);
    const digest = requestDigest('inv2s.claims.proof');
    const sha = (...parts: (string | Buffer)[]): string =>
      createHash('sha256')
        .update(Buffer.concat(parts.map((p) => Buffer.from(p))))
        .digest('base64url');
    const expected = sha('wzt2\0pass-name\0', key).slice(0, 4) + sha('wzt2\0pass\0', key, digest).slice(0, 16);
    expect(keysOf(`0:${keyText(7)}`).passFor(digest)).toBe(expected);
    expect(expected).toBe('ayafU2MLhPv8HIknJnpo');
  });

  it('of keys is read in one spelling, one to four of them', () => {
    const four = [3, 2, 1, 0].map((n) => `${NOW_MS + n}:${keyText(n)}`);
    expect(keysOf(...four).text()).toBe(`pk1 ${four.join(' ')}`);
    const keys = new PassKeys(() => NOW_MS);
    for (const text of [
      ['pk1', ...four, `5:${keyText(9)}`].join(' '),
      `pk1 ${four.join('  ')}`,
      `pk1 01:${keyText(1)}`,
      `pk1 -1:${keyText(1)}`,
      `pk1 1:${keyText(1)}A`,
      `pk1 1:${keyText(1).slice(1)}`,
      // The last character carries four bits.
      `pk1 1:${keyText(1).slice(0, -1)}F`,
      `pk1 ${'9'.repeat(17)}:${keyText(1)}`,
      `x pk1 1:${keyText(1)}`,
      'pk1',
    ]) {
      expect(keys.merge(text), text).toBe('malformed');
    }
    expect(keys.text()).toBeUndefined();
  });
});

describe('pass keys', () => {
  const pass = (keys: PassKeys): string => keys.passFor(requestDigest('t'))!;

  it('are believed up to ten minutes ahead', () => {
    expect(keysOf(`${NOW_MS + 600_000}:${keyText(1)}`).ageMs).toBe(-600_000);
    expect(keysOf(`${NOW_MS + 600_001}:${keyText(1)}`).ageMs).toBeUndefined();
  });

  it('make passes from the newest that is two seconds old, or from the newest of all', () => {
    const [old, young] = [`${NOW_MS - 2_000}:${keyText(1)}`, `${NOW_MS - 1_999}:${keyText(2)}`];
    expect(pass(keysOf(old, young))).toBe(pass(keysOf(old)));
    expect(pass(keysOf(young, `${NOW_MS}:${keyText(3)}`))).toBe(pass(keysOf(`${NOW_MS}:${keyText(3)}`)));
    const [older, newer] = [`1:${keyText(4)}`, `2:${keyText(5)}`];
    expect(pass(keysOf(older, newer))).toBe(pass(keysOf(newer)));
  });

  it('are kept by age, the newest four, and in one order when they are of one age', () => {
    const entries = [1, 2, 3, 4, 5].map((n) => `${n}:${keyText(n)}`);
    const keys = keysOf(...entries.slice(0, 4));
    expect(keys.merge(`pk1 ${entries[4]}`)).toBe('added');
    expect(keys.text()).toBe(`pk1 ${entries.toReversed().slice(0, 4).join(' ')}`);
    expect(keys.merge(`pk1 ${entries[4]} ${entries[0]}`)).toBe('same');
    expect(keys.merge(`pk1 ${entries[3]}`)).toBe('behind');
    const [a, b] = [`7:${keyText(8)}`, `7:${keyText(9)}`] as const;
    expect(keysOf(a, b).text()).toBe(keysOf(b, a).text());
  });

  it('vouch for a pass of each of them, of the right length, for its token', () => {
    const keys = keysOf(`1:${keyText(1)}`, `2:${keyText(2)}`);
    const old = pass(keysOf(`1:${keyText(1)}`));
    expect(keys.vouches(old, 't')).toBe(true);
    expect(keys.vouches(pass(keys), 't')).toBe(true);
    expect(keys.vouches(old, 'u')).toBe(false);
    for (const wrong of [old.slice(0, -1), `${old}A`, '', undefined, old.slice(0, 4)])
      expect(keys.vouches(wrong, 't')).toBe(false);
  });
});

describe('admission of requests', () => {
  const key = SigningKey.generate('cluster');
  const thief = SigningKey.generate('cluster');

  function setUp(failures: number) {
    const clock = new ManualClock();
    const passes = new PassKeys(() => clock.wallMs());
    passes.make();
    const budget = new WorkBudget(new TrustedTime(clock), 1, failures);
    const world = createTrustWorld({ key, clock, budget, passes });
    const judge = (message: ReceivedRequest): string => {
      const verdict = world.verifier.verify(message);
      return verdict.ok ? 'passes' : `${verdict.code.slice('TRELLIS_VERIFY_'.length)} ${verdict.detail}`;
    };
    const forged = (): ReceivedRequest => messageOf(forge(thief, clock, { iss: key.publicKey }));
    return { ...world, passes, judge, forged };
  }
  const NOT_SIGNED = `SIGNATURE not signed by "${key.publicKey}"`;
  const FLOODED = 'FLOODED too many checks failed of late, and no pass';

  it('costs no check when too much has failed, and is open again in time', () => {
    const { judge, forged, verifier, signer, clock } = setUp(2);
    expect([forged(), forged(), forged()].map(judge)).toEqual([NOT_SIGNED, NOT_SIGNED, FLOODED]);
    const [good] = signCalls(signer, 1);
    expect(judge(good!.message)).toBe(FLOODED);
    expect(judge({ ...good!.message, params: Buffer.from('x'.repeat(CALL.params.length)) })).toBe(FLOODED);
    expect(verifier.stats.checks).toBe(2);
    clock.pass(1_000);
    expect(judge(good!.message)).toBe('passes');
  });

  it('is given to a pass for this token, and to the batch of one that was good', () => {
    const { judge, forged, verifier, signer, passes } = setUp(1);
    const batch = signCalls(signer, 3);
    expect(judge(batch[0]!.message)).toBe('passes');
    expect([forged(), forged()].map(judge)).toEqual([NOT_SIGNED, FLOODED]);
    expect(judge(batch[1]!.message)).toBe('passes');
    const [alone, other] = [signCalls(signer, 1)[0]!, signCalls(signer, 1)[0]!];
    const pass = passes.passFor(alone.sent.digest)!;
    expect(judge({ ...alone.message, pass })).toBe('passes');
    expect(judge({ ...other.message, pass })).toBe(FLOODED);
    // A forgery with a pass of its own is checked, refused, and paid for.
    const message = forged();
    expect(judge({ ...message, pass: passes.passFor(requestDigest(message.token!))! })).toBe(NOT_SIGNED);
    expect(verifier.stats).toMatchObject({ checks: 4, remembered: 1 });
  });

  it('counts what fails for what it cost: one, and one more for each 128 KiB that were hashed', () => {
    for (const [bytes, cost] of [
      [131_071, 1],
      [131_072, 2],
      [300_000, 3],
    ] as const) {
      const { judge, clock, signer } = setUp(4);
      const params = Buffer.alloc(bytes);
      const [call] = signCalls(signer, 1, { params });
      params[0] = 1;
      expect(judge({ ...call!.message, params })).toBe('PAYLOAD digest of the parameters differs');
      // Four could fail at once: what is left of them shows what it cost.
      let left = 0;
      while (judge(messageOf(forge(thief, clock, { iss: key.publicKey }))) === NOT_SIGNED) left++;
      expect(left).toBe(4 - cost);
    }
  });
});
