// Years and months as the 1.x hosts print them: of 365.25 and 30.44 days.
const UNITS = [
  [31_557_600, 'year', true],
  [2_630_016, 'month', true],
  [86_400, 'day', true],
  [3_600, 'h', false],
  [60, 'm', false],
  [1, 's', false],
] as const;

/** How long a host has run, for people, as 1.x hosts say it: `0s`, `2m 21s`, `3h 5s`, `1day 2h`, `2days 1m`. */
export function uptimeHuman(seconds: number): string {
  let left = Math.max(0, Math.floor(seconds));
  const parts: string[] = [];
  for (const [size, name, plural] of UNITS) {
    const count = Math.floor(left / size);
    left -= count * size;
    if (count > 0) parts.push(`${count}${name}${plural && count > 1 ? 's' : ''}`);
  }
  return parts.length === 0 ? '0s' : parts.join(' ');
}
