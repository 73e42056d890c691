/** Counts, splits and checks texts in English and Chinese, as the code of Self-Lengthen does (2410.23933). */
import type { Repetition } from '../../schemas/recipes/self-lengthen.ts';

/** Characters of scripts without spaces between words, and full-width punctuation. */
const wide = String.raw`\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\u3000-\u303f\uff01-\uff60\uffe0-\uffe6`;
const wideCharacters = new RegExp(`[${wide}]`, 'gu');
/** Wide characters, and runs of other characters. */
const chineseUnits = new RegExp(String.raw`[${wide}]|[^\s${wide}]+`, 'gu');

/** Counts wide characters, and words between spaces in the rest. */
export function countWords(text: string): number {
  const wides = text.match(wideCharacters)?.length ?? 0;
  return wides + wordsBetweenSpaces(text.replace(wideCharacters, ' ')).length;
}
const wordsBetweenSpaces = (text: string): string[] => text.split(/\s+/).filter((word) => word !== '');

/** Returns whether more than half of the words are wide characters. */
export const isChinese = (text: string): boolean => 2 * (text.match(wideCharacters)?.length ?? 0) > countWords(text);

/** Splits a text at blank lines, or at all line breaks if it has fewer than `least` paragraphs. Joined by `separator` the parts are the
 *  text again, without spaces at the ends of parts. */
export function paragraphsOf(text: string, least: number): { readonly parts: readonly string[]; readonly separator: string } {
  const split = (pattern: RegExp) =>
    text
      .trim()
      .split(pattern)
      .map((part) => part.trimEnd())
      .filter((part) => part !== '');
  const paragraphs = split(/\n(?:[^\S\n]*\n)+/);
  return paragraphs.length >= least ? { parts: paragraphs, separator: '\n\n' } : { parts: split(/\n/), separator: '\n' };
}

/** The last character of a whole text. */
const closers = { english: /[.!?,;:\-"')\]}>`”’…]$/u, chinese: /[。！？…，；：、—～”’）】》」』〕〉］｝]$/u };
/** Words with which a model speaks of its text instead of writing it. */
const meta = /\b(?:revised|revision|response|version|paragraph)s?\b/i;

export type TextFault = 'no-end' | 'about-itself' | 'repetition';

/** Returns why a text is no whole text of its own; undefined: it is. */
export function checkResponse(text: string, { english, chinese }: Repetition): TextFault | undefined {
  const whole = text.trimEnd();
  if (isChinese(whole)) {
    if (!closers.chinese.test(whole)) return 'no-end';
    return hasRepetition(whole.match(chineseUnits) ?? [], chinese) ? 'repetition' : undefined;
  }
  if (!closers.english.test(whole)) return 'no-end';
  const lines = whole.trimStart().split('\n');
  if ([...lines.slice(0, 2), ...lines.slice(-3)].some((line) => meta.test(line))) return 'about-itself';
  return hasRepetition(wordsBetweenSpaces(whole), english) ? 'repetition' : undefined;
}

/** Returns whether some `length` units in a row occur twice. */
function hasRepetition(units: readonly string[], length: number): boolean {
  const seen = new Set<string>();
  for (let at = 0; at + length <= units.length; at++) {
    const gram = units.slice(at, at + length).join(' ');
    if (seen.has(gram)) return true;
    seen.add(gram);
  }
  return false;
}
