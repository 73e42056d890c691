/** What a person may have meant. */

/** Edits (insert, remove, replace) from one word to the other. */
export function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next[j] = Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1));
    }
    row = next;
  }
  return row[b.length]!;
}

/** The valid word with the fewest edits, unless that is most of it; the first of equals. */
export function nearest(word: string, valid: readonly string[]): string | undefined {
  const [best] = valid.toSorted((a, b) => distance(word, a) - distance(word, b));
  return best !== undefined && distance(word.toLowerCase(), best.toLowerCase()) <= Math.max(2, Math.floor(best.length / 2))
    ? best
    : undefined;
}
