/** Characters of data and models that steer a screen instead of showing something. */

/** Control characters except newline and tab, and characters that change the writing direction. */
export const CONTROLS = /(?![\n\t])\p{Cc}|[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu;

/** As in JavaScript: `\x1b`, `\u202e`. */
export const escapeCharacter = (char: string): string => {
  const code = char.charCodeAt(0).toString(16);
  return code.length > 2 ? `\\u${code.padStart(4, '0')}` : `\\x${code.padStart(2, '0')}`;
};
