/** Returns the candidate nearest to `word` (Levenshtein, at most a third of its length away), or `undefined`. */
export function nearest(word: string, candidates: Iterable<string>): string | undefined {
  let best: string | undefined;
  let bestDistance = Math.max(1, Math.floor(word.length / 3)) + 1;
  for (const candidate of candidates) {
    if (Math.abs(candidate.length - word.length) >= bestDistance) continue;
    const found = distance(word.toLowerCase(), candidate.toLowerCase(), bestDistance);
    if (found < bestDistance) [best, bestDistance] = [candidate, found];
  }
  return best;
}

/** Edits between two words; stops counting at `limit`. Words are cut at 100 characters. */
function distance(from: string, to: string, limit: number): number {
  const a = from.slice(0, 100);
  const b = to.slice(0, 100);
  let previous = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    let least = i;
    for (let j = 1; j <= b.length; j++) {
      const edit = Math.min(previous[j]! + 1, row[j - 1]! + 1, previous[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1));
      row.push(edit);
      least = Math.min(least, edit);
    }
    if (least >= limit) return limit;
    previous = row;
  }
  return previous[b.length]!;
}
