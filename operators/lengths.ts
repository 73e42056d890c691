/** Measures the length of a text in any script. */

/** Counts characters as code points, so a character outside the Basic Multilingual Plane counts once. */
export const codePoints = (text: string): number => text.length - (text.match(/[\ud800-\udbff][\udc00-\udfff]/g)?.length ?? 0);

/** Characters of scripts such as Han, Kana and Hangul, and full-width punctuation. */
const wideCharacters =
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}\p{Script=Bopomofo}\p{Script=Yi}\u3000-\u303f\uff01-\uff60\uffe0-\uffe6]/gu;

/** The length for a lower bound: a wide character counts twice, because it carries about as much as two letters. */
export const weightOf = (text: string): number => codePoints(text) + (text.match(wideCharacters)?.length ?? 0);
