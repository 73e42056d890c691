/** Splits texts into the words that are tagged. */
import type { Segmentation } from '../../schemas/recipes/linguist.ts';
import { unspaced } from '../unspaced.ts';

const spacesBeside = new RegExp(String.raw`(?<=[${unspaced}\uff00-\uffef])\s+|\s+(?=[${unspaced}\uff00-\uffef])`, 'gu');
const segmenters = new Map<string, Intl.Segmenter>();

/** The words of a text. A language that `segmentation` does not name has spaces between them. In the others, spaces beside a character of
 *  a script without spaces count for nothing, so the words of joined words are the same words. */
export function wordsIn(text: string, language: string, segmentation: Segmentation): readonly string[] {
  const granularity = segmentation[language] ?? 'space';
  const normal = text.normalize('NFC').trim();
  if (granularity === 'space') return normal.split(/\s+/).filter((word) => word !== '');
  const name = `${language} ${granularity}`;
  const segmenter = segmenters.get(name) ?? new Intl.Segmenter(language, { granularity });
  segmenters.set(name, segmenter);
  return Array.from(segmenter.segment(normal.replace(spacesBeside, '')), ({ segment }) => segment.trim()).filter((word) => word !== '');
}
