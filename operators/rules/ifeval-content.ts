/** IFEval's constraints on what a text says (2311.07911, table 1): keywords, language, lengths, content. Parameters have the names of its
 *  data; where its checkers are right for English only, these also hold for other scripts. */
import { z } from 'zod';
import { kind } from './kind.ts';
import { isInLanguage, languageName, languages } from './languages.ts';
import { escaped, isUnspaced, literal, sentencesOf, wholeWord, wordsOf } from './text.ts';

const count = z.int().min(0);
export const relation = z.enum(['less than', 'at least']);
type Relation = z.infer<typeof relation>;
const text = z.string().regex(/\S/, 'it is blank');

export const compare = (found: number, how: Relation, limit: number): boolean => (how === 'less than' ? found < limit : found >= limit);
const occurrences = (value: string, part: string): number => value.match(literal(part))?.length ?? 0;
const quoted = (words: readonly string[]): string => words.map((word) => `"${word}"`).join(', ');
export const amount = (number: number, thing: string): string => `${number} ${thing}${number === 1 ? '' : 's'}`;

export const keywords = {
  'keywords:existence': kind(
    z.strictObject({ keywords: z.array(text).min(1) }),
    ({ keywords }) => [`Use each of these words: ${quoted(keywords)}.`, `These words must all occur in your answer: ${quoted(keywords)}.`],
    (value, { keywords }) => keywords.every((one) => occurrences(value, one) > 0),
  ),
  'keywords:frequency': kind(
    z.strictObject({ keyword: text, frequency: count, relation }),
    ({ keyword, frequency, relation }) => [
      `Use the word "${keyword}" ${relation} ${amount(frequency, 'time')}.`,
      `The word "${keyword}" has to occur ${relation} ${amount(frequency, 'time')}.`,
    ],
    (value, { keyword, frequency, relation }) => compare(occurrences(value, keyword.trim()), relation, frequency),
  ),
  'keywords:forbidden_words': kind(
    z.strictObject({ forbidden_words: z.array(text).min(1) }),
    ({ forbidden_words: words }) => [`Use none of these words: ${quoted(words)}.`, `Answer without the words ${quoted(words)}.`],
    (value, { forbidden_words: words }) => !words.some((word) => wholeWord(word).test(value)),
  ),
  /** Of any one character: IFEval's data also has # and !. */
  'keywords:letter_frequency': kind(
    z.strictObject({ letter: z.string().regex(/^\S$/u, 'it is not one character'), let_frequency: count, let_relation: relation }),
    ({ letter, let_frequency: frequency, let_relation: how }) => [
      `The letter ${letter} must occur ${how} ${amount(frequency, 'time')}.`,
      `Write the letter ${letter} ${how} ${amount(frequency, 'time')}.`,
    ],
    (value, { letter, let_frequency: frequency, let_relation: how }) => compare(occurrences(value, letter), how, frequency),
  ),
};

export const language = {
  'language:response_language': kind(
    z.strictObject({ language: z.enum(languages) }),
    ({ language }) => [`Answer in ${languageName(language)} only.`, `Use no other language than ${languageName(language)}.`],
    (value, { language }) => isInLanguage(value, language),
  ),
};

/** The first word of a paragraph: up to the first mark, quotation marks before it left out. */
const firstWord = (paragraph: string): string => /^'*"*([^.,?!'"]*)/.exec(paragraph.split(/\s+/)[0]!)![1]!;

export const lengths = {
  'length_constraints:number_words': kind(
    z.strictObject({ num_words: count, relation }),
    ({ num_words: limit, relation }) => [
      `Write ${relation} ${amount(limit, 'word')}.`,
      `Your answer has ${relation} ${amount(limit, 'word')}.`,
    ],
    (value, { num_words: limit, relation }) => compare(wordsOf(value).length, relation, limit),
  ),
  'length_constraints:number_sentences': kind(
    z.strictObject({ num_sentences: count, relation }),
    ({ num_sentences: limit, relation }) => [
      `Write ${relation} ${amount(limit, 'sentence')}.`,
      `Your answer has ${relation} ${amount(limit, 'sentence')}.`,
    ],
    (value, { num_sentences: limit, relation }) => compare(sentencesOf(value).length, relation, limit),
  ),
  /** Exactly so many parts between lines of three asterisks; only the first and the last may be blank, and do not count then. */
  'length_constraints:number_paragraphs': kind(
    z.strictObject({ num_paragraphs: count }),
    ({ num_paragraphs: number }) => [
      `Write ${amount(number, 'paragraph')}, with *** between two of them.`,
      `Divide your answer by *** into ${amount(number, 'paragraph')}.`,
    ],
    (value, { num_paragraphs: number }) => {
      const parts = value.split(/\s?\*\*\*\s?/).map((part) => part.trim());
      const inner = parts.slice(1, -1);
      return inner.every((part) => part !== '') && parts.filter((part) => part !== '').length === number;
    },
  ),
  /** Paragraphs are what two line breaks separate. Blank ones do not count, yet hold their place in the order, as in IFEval. */
  'length_constraints:nth_paragraph_first_word': kind(
    z.strictObject({ num_paragraphs: count, nth_paragraph: z.int().min(1), first_word: text }),
    ({ num_paragraphs: number, nth_paragraph: nth, first_word: word }) => [
      `Write ${amount(number, 'paragraph')}, with a blank line between two of them. The first word of paragraph ${nth} is "${word}".`,
      `Your answer has ${amount(number, 'paragraph')}, which blank lines separate, and paragraph ${nth} begins with the word "${word}".`,
    ],
    (value, { num_paragraphs: number, nth_paragraph: nth, first_word: word }) => {
      const paragraphs = value.split('\n\n').map((one) => one.trim());
      const found = paragraphs.filter((one) => one !== '').length;
      const paragraph = paragraphs[nth - 1] ?? '';
      if (nth > found || paragraph === '' || found !== number) return false;
      const wanted = word.toLowerCase();
      if (isUnspaced(wanted.at(-1)!)) return new RegExp(`^['"“「『]*${escaped(wanted)}`, 'iu').test(paragraph);
      return firstWord(paragraph).toLowerCase() === wanted;
    },
  ),
};

export const content = {
  'detectable_content:number_placeholders': kind(
    z.strictObject({ num_placeholders: count }),
    ({ num_placeholders: number }) => [
      `Leave at least ${amount(number, 'gap')} to fill in, each named in square brackets, as in [name].`,
      `Your answer contains placeholders in square brackets, such as [date]: at least ${number}.`,
    ],
    (value, { num_placeholders: number }) => (value.match(/\[[^\n]*?\]/g)?.length ?? 0) >= number,
  ),
  'detectable_content:postscript': kind(
    z.strictObject({ postscript_marker: text }),
    ({ postscript_marker: marker }) => [
      `Close with a postscript that begins with ${marker}`,
      `After the answer, add a postscript: ${marker}`,
    ],
    (value, { postscript_marker: marker }) => postscript(marker.trim()).test(value),
  ),
};
function postscript(marker: string): RegExp {
  if (marker === 'P.P.S') return /p\.\s?p\.\s?s/i;
  return marker === 'P.S.' ? /p\.\s?s\./i : literal(marker, 'iu');
}
