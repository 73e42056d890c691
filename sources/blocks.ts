/** What documents of any format consist of. */

/** A heading, or what stands between two. */
export type Block = Heading | Text;
export interface Heading {
  /** 1 is the highest. */
  readonly level: 1 | 2 | 3 | 4 | 5 | 6;
  readonly header: string;
}
export interface Text {
  readonly level: 0;
  readonly text: string;
  /** No empty line before it. */
  readonly tight: boolean;
  /** Its paragraphs, for who looks at sentences: code, tables, formulas and lists of links have none. */
  readonly prose: readonly string[];
}

/** Whether a paragraph says something: more of it stands outside of links and code (`set`) than within. */
export const isProse = (text: string, set: string): boolean => lettersIn(set) * 2 <= lettersIn(text);
const lettersIn = (text: string): number => text.match(/[\p{L}\p{N}]/gu)?.length ?? 0;

export function joined(blocks: readonly Text[]): string {
  return blocks
    .map(({ text, tight }, at) => `${at === 0 ? '' : tight ? '\n' : '\n\n'}${text}`)
    .join('')
    .trim();
}
