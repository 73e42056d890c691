/** How long a text is, for any script. */

/** Characters as code points: a letter beyond the first 65,536 is one too. */
export const codePoints = (text: string): number => text.length - (text.match(/[\ud800-\udbff][\udc00-\udfff]/g)?.length ?? 0);

/** Scripts without an alphabet of few letters, and what is as wide. */
const wide =
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}\p{Script=Bopomofo}\p{Script=Yi}\u3000-\u303f\uff01-\uff60\uffe0-\uffe6]/gu;

/** The same for a least length: a wide character counts twice, as it says about as much as two letters. */
export const weightOf = (text: string): number => codePoints(text) + (text.match(wide)?.length ?? 0);
