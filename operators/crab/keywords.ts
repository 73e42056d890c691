/** Finds the keywords of a text by the measure of YAKE (Campos et al. 2020, "YAKE! Keyword extraction from single documents using multiple
 *  local features") for single words, without its lists of stop words: those score badly because they stand beside many other words. */
import { isUnspaced, sentencesOf, wordsOf } from '../rules/text.ts';

interface Occurrences {
  /** The word as it was first written. */
  readonly written: string;
  count: number;
  capital: number;
  readonly sentences: Set<number>;
  readonly left: Map<string, number>;
  readonly right: Map<string, number>;
}

/** Most words of grammar have fewer letters. */
const MIN_LETTERS = 5;
const isCandidate = (word: string): boolean =>
  /^\p{L}[\p{L}\p{M}]*$/u.test(word) && (isUnspaced(word[0]!) ? word.length > 1 : word.length >= MIN_LETTERS);

function countWords(text: string): { readonly words: ReadonlyMap<string, Occurrences>; readonly sentences: number } {
  const words = new Map<string, Occurrences>();
  const sentences = sentencesOf(text);
  for (const [at, sentence] of sentences.entries()) {
    const row = wordsOf(sentence);
    for (const [place, written] of row.entries()) {
      const key = written.toLowerCase();
      const word = words.get(key) ?? { written, count: 0, capital: 0, sentences: new Set(), left: new Map(), right: new Map() };
      words.set(key, word);
      word.count++;
      if (place > 0 && written !== key) word.capital++;
      word.sentences.add(at);
      for (const [side, next] of [
        [word.left, row[place - 1]],
        [word.right, row[place + 1]],
      ] as const)
        if (next !== undefined) side.set(next.toLowerCase(), (side.get(next.toLowerCase()) ?? 0) + 1);
    }
  }
  return { words, sentences: sentences.length };
}

/** The share of different words among the neighbours on one side. */
function spread(side: ReadonlyMap<string, number>): number {
  const all = [...side.values()].reduce((sum, one) => sum + one, 0);
  return all === 0 ? 0 : side.size / all;
}
const middle = (numbers: readonly number[]): number => numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)]!;

/** At most `limit` words that occur at least twice, best first, as the text writes them. */
export function keywordsOf(text: string, limit: number): string[] {
  const { words, sentences } = countWords(text);
  const counts = Array.from(words.values(), ({ count }) => count);
  const highest = counts.reduce((most, count) => Math.max(most, count), 1);
  const mean = counts.reduce((sum, count) => sum + count, 0) / counts.length;
  const deviation = Math.sqrt(counts.reduce((sum, count) => sum + (count - mean) ** 2, 0) / counts.length);
  const score = (word: Occurrences): number => {
    const casing = word.capital / (1 + Math.log(word.count));
    const position = Math.log(Math.log(3 + middle([...word.sentences])));
    const frequency = word.count / (mean + deviation);
    const relatedness = 1 + ((spread(word.left) + spread(word.right)) * word.count) / highest;
    return (relatedness * position) / (casing + frequency / relatedness + word.sentences.size / sentences / relatedness);
  };
  return [...words]
    .filter(([key, { count }]) => count > 1 && isCandidate(key))
    .map(([key, word]) => ({ key, written: word.written, score: score(word) }))
    .toSorted((a, b) => a.score - b.score || (a.key < b.key ? -1 : 1))
    .slice(0, limit)
    .map(({ written }) => written);
}
