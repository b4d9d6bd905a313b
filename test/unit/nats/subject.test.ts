import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isPublishSubject, isQueueName, isSubscribeSubject, MAX_SUBJECT_BYTES } from '../../../src/nats/subject.ts';

const GOOD = [
  'default.comp-a.wrpc.0.0.1.wrpc:keyvalue/store@0.2.0-draft.get',
  'default.comp-a.wrpc.0.0.1.run',
  '_INBOX_RPC.default.UABC.x7-_q.w.abcdefghijkl.results.0.1',
  'a',
  '$SYS.REQ.USER.INFO',
];

describe('subjects', () => {
  it.each(GOOD)('lets %s through', (subject) => {
    expect(isPublishSubject(subject)).toBe(true);
    expect(isSubscribeSubject(subject)).toBe(true);
  });

  it.each([
    '',
    '.',
    '.a',
    'a.',
    'a..b',
    'a b',
    'a\tb',
    'a\r\nb',
    'a\0b',
    'a\x7fb',
    'ä.b',
    'a.\u2028',
    'a*b',
    '*b',
    'a>',
    'a.>b',
    '>.a',
  ])('refuses %j to publish and to subscribe', (subject) => {
    expect(isPublishSubject(subject)).toBe(false);
    expect(isSubscribeSubject(subject)).toBe(false);
  });

  it.each(['*', '>', 'a.*', 'a.*.b', 'a.>', '*.>'])('refuses the wildcard %s to publish only', (subject) => {
    expect(isPublishSubject(subject)).toBe(false);
    expect(isSubscribeSubject(subject)).toBe(true);
  });

  it('bounds the length', () => {
    expect(isPublishSubject('a'.repeat(MAX_SUBJECT_BYTES))).toBe(true);
    expect(isPublishSubject('a'.repeat(MAX_SUBJECT_BYTES + 1))).toBe(false);
  });

  it('agrees with the grammar written as a regular expression', () => {
    const grammar = /^(?:[!-)+\-/-=?-~]+)(?:\.[!-)+\-/-=?-~]+)*$/;
    const letters = fc.constantFrom('a', '.', '*', '>', ' ', '\r', '\n', 'é', '-', '@', '/', ':');
    fc.assert(
      fc.property(fc.array(letters, { maxLength: 12 }), (parts) => {
        const text = parts.join('');
        expect(isPublishSubject(text)).toBe(grammar.test(text));
      }),
      { numRuns: 5000 },
    );
  });

  it.each(['', 'a b', 'a\r\n', 'q>', 'q*', 'ä', 'q'.repeat(257)])('refuses the queue group %j', (queue) => {
    expect(isQueueName(queue)).toBe(false);
  });

  it('lets a queue group named like a 1.x host through', () => {
    expect(isQueueName('default.comp-a')).toBe(true);
  });
});
