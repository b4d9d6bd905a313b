import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DEFAULT_LIFETIME, parseLifetime } from '../../../src/auth/lifetime.ts';

describe('a lifetime', () => {
  it.each([
    ['1m', 60_000],
    ['12h', 43_200_000],
    ['30d', 2_592_000_000],
    ['3650d', 315_360_000_000],
    ['never', undefined],
    [DEFAULT_LIFETIME, 2_592_000_000],
  ])('of %s is %s ms', (text, ms) => {
    expect(parseLifetime(text)).toBe(ms);
  });

  it.each(['', '0d', '-1d', '1', 'd', '1.5h', '30 d', '1s', '1w', '3651d', '5256001m', 'Never', '1d ', '１d'])(
    'is not "%s"',
    (text) => {
      expect(() => parseLifetime(text)).toThrow(/A lifetime is a number and m, h or d/);
    },
  );

  it('is never beyond ten years, nor anything but milliseconds, whatever comes', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.tuple(fc.nat(), fc.constantFrom('m', 'h', 'd', '')).map((parts) => parts.join('')),
        ),
        (text) => {
          try {
            const ms = parseLifetime(text);
            if (ms !== undefined) expect(ms >= 60_000 && ms <= 315_360_000_000).toBe(true);
          } catch (error) {
            expect(error).toMatchObject({ code: 'TRELLIS_USAGE' });
          }
        },
      ),
    );
  });
});
