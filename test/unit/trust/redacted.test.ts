import { format, inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { Redacted } from '../../../src/trust/redacted.ts';

describe('a redacted value', () => {
  const secret = new Redacted('open sesame');

  it('is given to whoever asks for it by name', () => {
    expect(secret.reveal()).toBe('open sesame');
  });

  it.each<[string, string, string]>([
    ['a text', String(secret), '[redacted]'],
    ['part of a text', ['key', secret].join(' '), 'key [redacted]'],
    ['JSON', JSON.stringify({ secret }), '{"secret":"[redacted]"}'],
    ['a debug print', inspect(secret), '[redacted]'],
    ['a debug print of everything', inspect({ secret }, { showHidden: true, depth: 9 }), '{ secret: [redacted] }'],
    ['a log line', format('%s %o %j', secret, secret, secret), '[redacted] [redacted] "[redacted]"'],
  ])('shows nothing as %s', (_, print, expected) => {
    expect(print).toBe(expected);
  });
});
