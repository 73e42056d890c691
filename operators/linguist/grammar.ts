/** Annotated utterances in three forms: words with BIO tags, pieces, and text with bracketed slots, such as
 *  `will it [3 snow ] in [1 new york ]` (LINGUIST, 2209.09900). */
import type { Tagged } from '../../recipe/index.ts';
import type { Segmentation } from '../../schemas/recipes/linguist.ts';
import { wordsIn } from './words.ts';

/** Words in a row that are the value of one slot (`type` is its type, or its number in a prompt), or outside of all (null). */
export interface Piece<out Type> {
  readonly type: Type | null;
  readonly words: readonly string[];
}
export type Slot<Type> = Piece<Type> & { readonly type: Type };
export const slotsIn = <Type>(pieces: readonly Piece<Type>[]): Slot<Type>[] =>
  pieces.filter((piece): piece is Slot<Type> => piece.type !== null);

/** An I tag that continues no slot of its type begins one, as in conlleval. */
export function piecesOf({ tokens, tags }: Pick<Tagged, 'tokens' | 'tags'>): Piece<string>[] {
  const pieces: { readonly type: string | null; readonly words: string[] }[] = [];
  for (const [at, word] of tokens.entries()) {
    const tag = tags[at]!;
    const type = tag === 'O' ? null : tag.slice(2);
    const last = pieces.at(-1);
    if (last?.type === type && !tag.startsWith('B-')) last.words.push(word);
    else pieces.push({ type, words: [word] });
  }
  return pieces;
}

/** The first word of a slot is B-TYPE, its others I-TYPE, words outside of slots O. */
export const taggedOf = (pieces: readonly Piece<string>[]): Pick<Tagged, 'tokens' | 'tags'> => ({
  tokens: pieces.flatMap(({ words }) => words),
  tags: pieces.flatMap(({ type, words }) => words.map((_, at) => (type === null ? 'O' : `${at === 0 ? 'B' : 'I'}-${type}`))),
});

/** The pieces with their words split as `wordsIn` does: those outside of slots in a row together, each slot by itself. */
export function segmented<Type>(pieces: readonly Piece<Type>[], language: string, segmentation: Segmentation): Piece<Type>[] {
  const joined = pieces.reduce<Piece<Type>[]>((before, piece) => {
    const last = before.at(-1);
    return last?.type === null && piece.type === null
      ? [...before.slice(0, -1), { type: null, words: [...last.words, ...piece.words] }]
      : [...before, piece];
  }, []);
  return joined.map(({ type, words }) => ({ type, words: wordsIn(words.join(' '), language, segmentation) }));
}

/** A word that the grammar cannot hold. */
export const isReserved = (word: string): boolean => word === WILDCARD || /[[\]]/.test(word);
/** In a request: a value that the model chooses. */
export const WILDCARD = '*';

export const bracketed = (number: number, value: string): string => `[${number} ${value} ]`;

/** Prints pieces; `numberOf` has the number of each slot type. */
export const printed = (pieces: readonly Piece<string>[], numberOf: (type: string) => number): string =>
  pieces.map(({ type, words }) => (type === null ? words.join(' ') : bracketed(numberOf(type), words.join(' ')))).join(' ');

/** Parses one line of items, which are words or `[NUMBER VALUE]`; values have words and no brackets. Spaces beside brackets may be missing.
 *  Undefined: the text is none. */
export function parsed(text: string): Piece<number>[] | undefined {
  const pieces: Piece<number>[] = [];
  for (const [item, words, slot] of text.trim().matchAll(/([^[\]\n]+)|\[([^[\]\n]*)\]|[^]/g)) {
    const [, number, value] = /^\s*(\d{1,3})\s+(\S.*?)\s*$/.exec(slot ?? '') ?? [];
    if (words !== undefined) pieces.push({ type: null, words: words.split(/\s+/).filter((word) => word !== '') });
    else if (item === undefined || number === undefined || value === undefined) return undefined;
    else pieces.push({ type: Number(number), words: value.split(/\s+/) });
  }
  const told = pieces.filter(({ words }) => words.length > 0);
  return told.length > 0 ? told : undefined;
}
