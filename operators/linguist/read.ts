/** Reads annotated utterances, and splits them into words once: training, generation and evaluation have the same words. */
import { z } from 'zod';
import { drop, keep, operator } from '../../recipe/index.ts';
import { segmentation } from '../../schemas/recipes/linguist.ts';
import { isReserved, piecesOf, segmented, taggedOf, type Piece } from './grammar.ts';
import { row, utterance } from './records.ts';

/** Makes an utterance of a row; `language` is that of rows that name none. */
export const read = operator({
  version: 1,
  input: row,
  output: utterance,
  params: z.object({ language: z.string(), segmentation }),
  run({ intent, tokens, tags, annot_utt: annotated, language, locale, id = null }, _context, params) {
    const tag = new Intl.Locale(language ?? locale ?? params.language).language;
    const given = tokens && tags ? piecesOf({ tokens, tags }) : slotNotation(annotated ?? '');
    if (given === undefined) return drop('no-annotation', annotated ?? '');
    const pieces = segmented(given, tag, params.segmentation);
    const words = pieces.flatMap(({ words }) => words);
    const reserved = words.find(isReserved);
    if (reserved !== undefined) return drop('reserved', `the grammar has a meaning of its own for "${reserved}"`);
    if (pieces.some(({ words }) => words.length === 0)) return drop('empty', words.join(' '));
    return keep({ id: id === null ? null : String(id), language: tag, intent, ...taggedOf(pieces) });
  },
});

/** Parses MASSIVE's notation, `wake me up at [time : nine am]`; undefined: brackets do not match. */
function slotNotation(text: string): Piece<string>[] | undefined {
  const pieces: Piece<string>[] = [];
  for (const [, words, type, value] of text.matchAll(/([^[\]]+)|\[([^[\]:]+):([^[\]]*)\]|[^]/g)) {
    if (words !== undefined) pieces.push({ type: null, words: [words] });
    else if (type === undefined || value === undefined) return undefined;
    else pieces.push({ type: type.trim(), words: [value] });
  }
  return pieces.filter(({ type, words }) => type !== null || words.join('').trim() !== '');
}
