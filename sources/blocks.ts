/** Defines headings and text blocks, the common form of documents of all formats. */

/** A heading, or the text between two headings. */
export type Block = Heading | Text;
export interface Heading {
  /** 1 is the highest. */
  readonly level: 1 | 2 | 3 | 4 | 5 | 6;
  readonly header: string;
}
export interface Text {
  readonly level: 0;
  readonly text: string;
  /** No empty line precedes it. */
  readonly tight: boolean;
  /** Its paragraphs, for checks of sentences: code, tables, formulas and lists of links have none. */
  readonly prose: readonly string[];
}

/** Whether a paragraph is prose: at most half of its letters are inside links and code (`set`). */
export const isProse = (text: string, set: string): boolean => lettersIn(set) * 2 <= lettersIn(text);
const lettersIn = (text: string): number => text.match(/[\p{L}\p{N}]/gu)?.length ?? 0;

export function joined(blocks: readonly Text[]): string {
  return blocks
    .map(({ text, tight }, at) => `${at === 0 ? '' : tight ? '\n' : '\n\n'}${text}`)
    .join('')
    .trim();
}
