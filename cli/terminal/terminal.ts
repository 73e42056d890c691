/** Text for terminals. What experiments have read from data and models may hold what a terminal would obey: titles, clipboards, links,
 *  colours, another direction of writing. It is shown, and does nothing. */
import stringWidth from 'string-width';

/** All control characters but newline and tab, and those that turn the direction of writing. */
const COMMANDS = /(?![\n\t])\p{Cc}|[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu;

const escaped = (char: string): string => {
  const code = char.charCodeAt(0).toString(16);
  return code.length > 2 ? `\\u${code.padStart(4, '0')}` : `\\x${code.padStart(2, '0')}`;
};

/** As it is, but for what a terminal would obey, which is written as in JavaScript. */
export const shown = (text: string): string => text.replaceAll(COMMANDS, escaped);

/** A JSON document that says the same. */
export const shownJson = (json: string): string =>
  json.replaceAll(COMMANDS, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`);

/** Has all that this process says pass through `shown`. What moves the cursor is written to stdout itself. */
export function guardConsole(): void {
  for (const way of ['log', 'error', 'warn'] as const) {
    const say = console[way].bind(console);
    console[way] = (...words: unknown[]) => say(...words.map((word) => (typeof word === 'string' ? shown(word) : word)));
  }
}

/** Columns that a line takes: two for a Chinese character, none for what goes upon another. */
export const widthOf = (line: string): number => stringWidth(line, { countAnsiEscapeCodes: true });

export const padded = (text: string, width: number, side: 'left' | 'right' = 'right'): string => {
  const blanks = ' '.repeat(Math.max(0, width - widthOf(text)));
  return side === 'left' ? `${blanks}${text}` : `${text}${blanks}`;
};

const graphemes = new Intl.Segmenter('en', { granularity: 'grapheme' });

/** A line that takes fewer columns than these, with an ellipsis where it is cut. */
export function cut(line: string, columns: number): string {
  if (widthOf(line) < columns) return line;
  let [text, width] = ['', 0];
  for (const { segment } of graphemes.segment(line)) {
    width += widthOf(segment);
    if (width > columns - 2) break;
    text += segment;
  }
  return `${text}…`;
}
