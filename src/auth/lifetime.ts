import { TrellisError } from '../errors.ts';

const DAY_MS = 86_400_000;
const UNIT_MS: Readonly<Record<string, number>> = { m: 60_000, h: 3_600_000, d: DAY_MS };
const LONGEST_MS = 3_650 * DAY_MS;

/** How long credentials count when nobody says otherwise: 30 days, of which the first two thirds pass before they are renewed. */
export const DEFAULT_LIFETIME = '30d';

/**
 * Milliseconds of a lifetime such as `45m`, `12h` or `30d` (one minute to ten years); `undefined` for `never`.
 * @throws TRELLIS_USAGE
 */
export function parseLifetime(text: string): number | undefined {
  if (text === 'never') return undefined;
  const match = /^([1-9][0-9]{0,6})([mhd])$/.exec(text);
  const lifetimeMs = match === null ? 0 : Number(match[1]) * UNIT_MS[match[2]!]!;
  if (lifetimeMs > 0 && lifetimeMs <= LONGEST_MS) return lifetimeMs;
  throw new TrellisError('TRELLIS_USAGE', {
    message: 'A lifetime is a number and m, h or d, at most 3650d, or never: for example 30d',
  });
}
