import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readQuestion } from '../../../src/control/sole-instance.ts';
import { openInstanceAnswer, signInstanceAnswer } from '../../../src/trust/instance-answer.ts';
import { SigningKey } from '../../../src/trust/nkey.ts';
import { newTokenId } from '../../../src/trust/signer.ts';

const key = SigningKey.generate('server');
const host = key.publicKey;
const answer = { instance: newTokenId(), state: 'serving', sinceMs: 1_700_000_000_000, nonce: newTokenId() } as const;
const text = signInstanceAnswer(key, 'lab', answer);
const expected = { host, lattice: 'lab', nonce: answer.nonce };

describe('the answer of a process under a host’s identity', () => {
  it('is what was signed', () => {
    expect(openInstanceAnswer(text, expected)).toEqual({ host, ...answer });
  });

  it('NAT-23 counts for one host, one lattice and one question', () => {
    expect(openInstanceAnswer(text, { ...expected, lattice: 'lab2' })).toBeUndefined();
    expect(openInstanceAnswer(text, { ...expected, nonce: newTokenId() })).toBeUndefined();
    expect(openInstanceAnswer(text, { ...expected, host: SigningKey.generate('server').publicKey })).toBeUndefined();
    expect(openInstanceAnswer(signInstanceAnswer(SigningKey.generate('server'), 'lab', answer), expected)).toBeUndefined();
    expect(openInstanceAnswer(text, { ...expected, host: 'NABC' })).toBeUndefined();
  });

  it('NAT-23 is nothing once a character of it is another', () => {
    fc.assert(
      fc.property(fc.nat(text.length - 1), fc.constantFrom(...'AZaz09-_.'), (at, character) => {
        const changed = `${text.slice(0, at)}${character}${text.slice(at + 1)}`;
        expect(openInstanceAnswer(changed, expected)).toEqual(changed === text ? { host, ...answer } : undefined);
      }),
      { numRuns: 200 },
    );
  });

  it('is nothing for any other text, and no question for any other bytes', () => {
    fc.assert(
      fc.property(fc.string(), (other) => {
        expect(openInstanceAnswer(other, expected)).toBeUndefined();
        expect(openInstanceAnswer(`hin2s.${other}`, expected)).toBeUndefined();
      }),
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        expect(readQuestion(bytes)).toBeUndefined();
      }),
    );
    const question = { instance: newTokenId(), nonce: newTokenId() };
    expect(readQuestion(Buffer.from(JSON.stringify(question)))).toEqual(question);
    for (const bad of [{ ...question, nonce: 'x' }, { nonce: question.nonce }, [question], null, { ...question, instance: 7 }]) {
      expect(readQuestion(Buffer.from(JSON.stringify(bad)))).toBeUndefined();
    }
  });

  it('takes no states or times that there are not', () => {
    for (const more of [{ state: 'gone' }, { sinceMs: 1.5 }, { instance: 'short' }] as never[]) {
      const odd = signInstanceAnswer(key, 'lab', { ...answer, ...(more as object) });
      expect(openInstanceAnswer(odd, expected)).toBeUndefined();
    }
  });
});
