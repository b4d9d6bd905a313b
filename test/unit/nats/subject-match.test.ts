import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { entryMatches, isSubject, judgePublish, judgeSubscribe, patternsMeet } from '../../../src/nats/subject-match.ts';

const literal = fc.array(fc.constantFrom('a', 'b', 'c'), { minLength: 1, maxLength: 4 }).map((tokens) => tokens.join('.'));
const pattern = fc
  .tuple(fc.array(fc.constantFrom('a', 'b', '*'), { minLength: 0, maxLength: 3 }), fc.boolean())
  .map(([tokens, full]) => [...tokens, ...(full || tokens.length === 0 ? ['>'] : [])].join('.'));

describe('a subject', () => {
  it.each([
    ['a.b', false, true],
    ['a.*', false, false],
    ['a.*', true, true],
    ['a.>', true, true],
    ['a.>.b', true, false],
    ['a..b', true, false],
    ['', true, false],
    ['a b', true, false],
    ['a\r\n', true, false],
    ['a*', false, true],
  ] as const)('%j (wildcards: %s): %s', (text, wildcards, expected) => {
    expect(isSubject(text, wildcards)).toBe(expected);
  });

  it('can be any text without an answer failing', () => {
    fc.assert(
      fc.property(fc.string(), fc.array(fc.string()), (subject, entries) => {
        judgePublish(subject, { allow: entries, deny: entries });
        judgeSubscribe(subject, { allow: entries, deny: entries }, subject);
      }),
    );
  });
});

describe('a judgement', () => {
  it('names the entry it follows from', () => {
    expect(judgePublish('a.b', {})).toEqual({ allowed: true });
    expect(judgePublish('a.b', { allow: ['x', 'a.*'] })).toEqual({ allowed: true, by: 'a.*' });
    expect(judgePublish('a.b', { allow: ['x'] })).toEqual({ allowed: false, why: 'not listed' });
    expect(judgePublish('a.b', { allow: ['>'], deny: ['a.>'] })).toEqual({ allowed: false, why: 'denied', by: 'a.>' });
    expect(judgePublish('a.*', {})).toEqual({ allowed: false, why: 'no subject' });
    expect(judgeSubscribe('a.>', { allow: ['a.b'] })).toEqual({ allowed: false, why: 'not listed' });
    expect(judgeSubscribe('a.b', { allow: ['a.b q'] })).toEqual({ allowed: false, why: 'not listed' });
    expect(judgeSubscribe('a.b', { allow: ['a.b q'] }, 'q')).toEqual({ allowed: true, by: 'a.b q' });
    expect(judgeSubscribe('a.b', { allow: ['a.*', 'a.b q'] }, 'r')).toEqual({ allowed: false, why: 'not listed' });
    expect(judgeSubscribe('>', { deny: ['a.>'] })).toEqual({ allowed: true, except: ['a.>'] });
  });

  it('never lets a subscription see more than its entry matches, but for the last token', () => {
    fc.assert(
      fc.property(pattern, pattern, literal, (entry, subscription, message) => {
        if (!entryMatches(entry, subscription) || !entryMatches(subscription, message)) return;
        // `a.*` is as good as `a.>` at the server; see entryMatches.
        const honoured = entry.replace(/(^|\.)\*$/, '$1>');
        expect(entryMatches(honoured, message)).toBe(true);
      }),
    );
  });

  it('knows when two patterns have a subject in common', () => {
    fc.assert(
      fc.property(pattern, pattern, literal, (a, b, message) => {
        expect(patternsMeet(a, b)).toBe(patternsMeet(b, a));
        if (entryMatches(a, message) && entryMatches(b, message)) expect(patternsMeet(a, b)).toBe(true);
        if (!patternsMeet(a, b)) expect(entryMatches(a, message) && entryMatches(b, message)).toBe(false);
      }),
    );
  });
});
