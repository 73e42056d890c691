/** Splits texts of any script into words and sentences, by ICU. The locale is fixed, so that every host counts alike; Chinese, Japanese and
 *  Thai are split by dictionaries whatever the locale. */

const wordSegmenter = new Intl.Segmenter('en', { granularity: 'word' });
const sentenceSegmenter = new Intl.Segmenter('en', { granularity: 'sentence' });

/** Words in order: runs of letters, digits and underscores, as `\w+` finds them (so "don't" is two), which in scripts without spaces are
 *  split further. */
export function wordsOf(text: string): string[] {
  const words: string[] = [];
  for (const { segment } of wordSegmenter.segment(text)) words.push(...(segment.match(/[\p{L}\p{M}\p{N}_]+/gu) ?? []));
  return words;
}

/** Titles and the like that end in a full stop inside a sentence. */
const abbreviation = /(?:^|[\s("“'‘])(?:Mr|Mrs|Ms|Mx|Dr|Prof|St|Mt|Gen|Gov|Sen|Rep|Rev|Hon|Capt|Col|Lt|Sgt|Fig|vs|\p{Lu})\.\s*$/u;
const month = /\b(?:Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec)\.\s*$/;
/** The number of a list item. */
const itemNumber = /^\s*\(?(?:\d{1,3}|\p{L})[.)]\s*$/u;

/** Sentences in order. White space never ends one, a line break neither: a list without full stops is one sentence. The number of a list
 *  item belongs to the item, and an abbreviation to what follows. */
export function sentencesOf(text: string): string[] {
  const sentences: string[] = [];
  const segments = Array.from(sentenceSegmenter.segment(text.replaceAll(/\s+/g, ' ')), ({ segment }) => segment);
  let open = '';
  for (const [at, segment] of segments.entries()) {
    open += segment;
    const next = segments[at + 1];
    const ends = next === undefined || !(abbreviation.test(open) || itemNumber.test(open) || (month.test(open) && /^\d/.test(next)));
    if (!ends) continue;
    if (hasWord(open)) sentences.push(open.trim());
    open = '';
  }
  return sentences;
}
const hasWord = (text: string): boolean => /[\p{L}\p{N}]/u.test(text);

/** Paragraphs: what blank lines separate. */
export const paragraphsOf = (text: string): string[] => text.split(/\n\s*\n/).filter((paragraph) => paragraph.trim() !== '');

/** Letters of scripts that write words without spaces between them. */
const unspaced = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}]/u;
export const isUnspaced = (letter: string): boolean => unspaced.test(letter);

/** A pattern of the text itself, in upper or lower case. */
export const literal = (text: string, flags = 'giu'): RegExp => new RegExp(escaped(text), flags);
export const escaped = (text: string): string => text.replaceAll(/[\\^$.*+?()[\]{}|/]/g, String.raw`\$&`);

/** A pattern of the text as a whole word, in upper or lower case. In scripts without spaces a word may stand anywhere. */
export function wholeWord(word: string): RegExp {
  const letters = Array.from(word);
  const [before, behind] = [letters[0] ?? '', letters.at(-1) ?? ''].map(
    (letter) => /[\p{L}\p{M}\p{N}_]/u.test(letter) && !isUnspaced(letter),
  );
  return new RegExp(
    `${before ? String.raw`(?<![\p{L}\p{M}\p{N}_])` : ''}${escaped(word)}${behind ? String.raw`(?![\p{L}\p{M}\p{N}_])` : ''}`,
    'iu',
  );
}
