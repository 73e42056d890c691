/** Escapes and measures text for terminals. Text of data and models may contain control sequences (titles, clipboard, links, colours,
 *  writing direction); escaped, they have no effect. */
import stringWidth from 'string-width';
import { CONTROLS, escapeCharacter } from '../../schemas/controls.ts';

/** Escapes control characters as in JavaScript. */
export const escapeControls = (text: string): string => text.replaceAll(CONTROLS, escapeCharacter);

/** The same for JSON: the document keeps its value. */
export const escapeControlsJson = (json: string): string =>
  json.replaceAll(CONTROLS, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`);

/** Escapes everything that this process prints through the console. Code that moves the cursor writes to stdout directly. */
export function guardConsole(): void {
  for (const way of ['log', 'error', 'warn'] as const) {
    const say = console[way].bind(console);
    console[way] = (...words: unknown[]) => say(...words.map((word) => (typeof word === 'string' ? escapeControls(word) : word)));
  }
}

/** Columns of a line: two for a Chinese character, none for a combining mark. */
export const widthOf = (line: string): number => stringWidth(line, { countAnsiEscapeCodes: true });

export const pad = (text: string, width: number, side: 'left' | 'right' = 'right'): string => {
  const blanks = ' '.repeat(Math.max(0, width - widthOf(text)));
  return side === 'left' ? `${blanks}${text}` : `${text}${blanks}`;
};

const graphemes = new Intl.Segmenter('en', { granularity: 'grapheme' });

/** Truncates a line to fewer columns than `columns`, with an ellipsis. */
export function truncate(line: string, columns: number): string {
  if (widthOf(line) < columns) return line;
  let [text, width] = ['', 0];
  for (const { segment } of graphemes.segment(line)) {
    width += widthOf(segment);
    if (width > columns - 2) break;
    text += segment;
  }
  return `${text}…`;
}
