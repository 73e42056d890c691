/** Measures degeneration in generated texts: echoes of the prompt, copies of the source, lengths, ratings. */
import { z } from 'zod';
import { dataSuite } from '../../recipe/index.ts';
import { sha256 } from '../../schemas/canonical.ts';
import { codePoints } from '../lengths.ts';
import { wordsOf } from './shingles.ts';

/** Length in words of an echo, and of the runs that are compared for copies. */
const ECHO_WORDS = 5;
const COPY_WORDS = 4;
/** Share of runs in the source from which a text counts as a copy. */
const COPIED_SHARE = 0.8;

const params = z.strictObject({
  text: z.string().describe('The field that a model wrote.'),
  source: z.string().exactOptional().describe('The field that it wrote it from.'),
  wording: z
    .array(z.string())
    .default([])
    .describe('What the prompt says beside the source, a persona that it gives included: five words in a row of it make an echo.'),
  rating: z.string().exactOptional().describe('A field with a number: the share of each whole number is given.'),
});
type Values = Readonly<Record<string, unknown>>;

/** Returns the shares of texts that are `distinct`, that contain five consecutive words of the `wording` (`echoed`), and that have four
 *  fifths of their runs of four words in the source (`copied`); the share of letters in Han script (`han`); the 10th, 50th and 90th
 *  percentile of the length in characters; and the share of records with each rounded rating (`rated1` and so on). */
export const degeneracy = dataSuite({
  version: 1,
  params,
  async measure(rows: AsyncIterable<{ readonly value: Values }>, { text: field, source, wording, rating }: z.output<typeof params>) {
    const echoes = new Set(wording.flatMap((one) => wordRuns(wordsOf(one), ECHO_WORDS)));
    const lengths: number[] = [];
    const ratings = new Map<number, number>();
    const seen = new Set<string>();
    let [echoed, copied, letters, han] = [0, 0, 0, 0];
    for await (const { value } of rows) {
      const text = textIn(value, field);
      const words = wordsOf(text);
      lengths.push(codePoints(text));
      seen.add(sha256(text).slice(0, 16));
      if (wordRuns(words, ECHO_WORDS).some((part) => echoes.has(part))) echoed++;
      if (source !== undefined && isCopy(words, wordsOf(textIn(value, source)))) copied++;
      letters += text.match(/\p{L}/gu)?.length ?? 0;
      han += text.match(/\p{Script=Han}/gu)?.length ?? 0;
      const rated = rating === undefined ? undefined : value[rating];
      if (typeof rated === 'number') ratings.set(Math.round(rated), (ratings.get(Math.round(rated)) ?? 0) + 1);
    }
    const sorted = lengths.toSorted((a, b) => a - b);
    const share = (count: number) => (lengths.length === 0 ? 0 : count / lengths.length);
    const quantile = (at: number) => sorted[Math.max(0, Math.ceil(at * sorted.length) - 1)] ?? 0;
    return {
      rows: lengths.length,
      distinct: share(seen.size),
      ...(wording.length > 0 && { echoed: share(echoed) }),
      ...(source !== undefined && { copied: share(copied) }),
      han: letters === 0 ? 0 : han / letters,
      chars10: quantile(0.1),
      chars50: quantile(0.5),
      chars90: quantile(0.9),
      ...Object.fromEntries([...ratings].toSorted(([a], [b]) => a - b).map(([rated, count]) => [`rated${rated}`, share(count)])),
    };
  },
});

function textIn(value: Values, field: string): string {
  const text = value[field];
  if (typeof text === 'string') return text;
  throw new Error(`a record has no text in its field "${field}", only ${Object.keys(value).join(', ')}`);
}

/** Returns all runs of `n` consecutive words, or the one shorter run if there are fewer words. */
const wordRuns = (words: readonly string[], n: number): string[] =>
  words.length === 0 ? [] : Array.from({ length: Math.max(1, words.length - n + 1) }, (_, at) => words.slice(at, at + n).join(' '));

function isCopy(words: readonly string[], source: readonly string[]): boolean {
  const parts = wordRuns(words, COPY_WORDS);
  const theirs = new Set(wordRuns(source, Math.min(COPY_WORDS, words.length)));
  return parts.length > 0 && parts.filter((part) => theirs.has(part)).length >= COPIED_SHARE * parts.length;
}
