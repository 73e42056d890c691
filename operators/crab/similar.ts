/** How much two sentences have in common: ROUGE-L (Lin 2004), the F1 of their longest common subsequence of words. */
import { wordsOf } from '../rules/text.ts';

/** From 0 to 1; two texts without words have nothing in common. */
export function rougeL(one: string, other: string): number {
  const [a, b] = [one, other].map((text) => wordsOf(text.toLowerCase())) as [string[], string[]];
  let row = new Array<number>(b.length + 1).fill(0);
  for (const word of a) {
    const next = [0];
    for (const [at, theirs] of b.entries()) next.push(word === theirs ? row[at]! + 1 : Math.max(row[at + 1]!, next[at]!));
    row = next;
  }
  return a.length + b.length === 0 ? 0 : (2 * row[b.length]!) / (a.length + b.length);
}

/** Texts of which no two have more than `limit` in common: while any do, the one with the most such twins goes, the later of equals. */
export function withoutTwins<T extends { readonly text: string }>(items: readonly T[], limit: number): T[] {
  const twins = new Map(
    items.map((item) => [item, new Set(items.filter((other) => other !== item && rougeL(item.text, other.text) > limit))]),
  );
  for (;;) {
    const [worst, its] = [...twins].reduce(
      (most, one) => (one[1].size >= most[1].size ? one : most),
      [...twins][0] ?? [undefined, new Set()],
    );
    if (worst === undefined || its.size === 0) return [...twins.keys()];
    twins.delete(worst);
    for (const others of twins.values()) others.delete(worst);
  }
}
