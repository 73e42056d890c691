/** The arm `paraphrase`: a chat model rewrites starters and keeps the values of their slots, where code finds them again. */
import { z } from 'zod';
import { drop, keep, operator } from '../../recipe/index.ts';
import { registered } from '../../schemas/config.ts';
import { segmentation } from '../../schemas/recipes/linguist.ts';
import { sampling } from '../../schemas/sampling.ts';
import { wholeReply } from '../reply.ts';
import { unframed } from '../unframed.ts';
import { isReserved, piecesOf, slotsIn, taggedOf, type Piece, type Slot } from './grammar.ts';
import { sample, utterance } from './records.ts';
import { reasons } from './rules.ts';
import { wordsIn } from './words.ts';

/** At the ends of a word. Where an utterance has none, its paraphrase has none. */
const punctuation = /^["“„]+|[.,:;!?…"”。，！？]+$/gu;
const unpunctuated = (word: string): string => word.replace(punctuation, '');

/** One paraphrase of an utterance. It is dropped if a value is missing (V4), or stands there more often than in the utterance (V3). */
export const paraphrase = operator({
  version: 1,
  input: utterance,
  output: sample,
  params: z.object({ prompts: z.object({ paraphrase: registered }), sampling: z.object({ paraphrase: sampling }), segmentation }),
  roles: ['paraphraser'],
  capabilities: ['chat'],
  stochastic: ({ sampling }) => sampling.paraphrase.temperature !== 0,
  async run(given, context, { prompts, sampling, segmentation }) {
    const { language, intent } = given;
    const slots = slotsIn(piecesOf(given));
    const asked = { language, text: given.tokens.join(' '), values: slots.map(({ words }) => words.join(' ')) };
    const reply = await wholeReply(context, 'paraphraser', context.prompt(prompts.paraphrase, asked), sampling.paraphrase);
    if ('dropped' in reply) return reply;
    const raw = unframed(reply.text);
    const said = wordsIn(raw, language, segmentation);
    const words = given.tokens.some((word) => unpunctuated(word) !== word) ? said : said.map(unpunctuated).filter((word) => word !== '');
    if (raw.includes('\n') || words.some(isReserved)) return drop(reasons.V1, raw);
    const pieces = located(words, slots);
    if ('broken' in pieces) return drop(reasons[pieces.broken], `${pieces.value}: ${raw}`);
    return keep({
      id: null,
      language,
      intent,
      ...taggedOf(pieces.pieces),
      brief: null,
      raw,
      rules: { V3: true, V4: true },
      perplexity: null,
    });
  },
});

type Located = { readonly pieces: readonly Piece<string>[] } | { readonly broken: 'V3' | 'V4'; readonly value: string };

/** Finds the values of the slots among the words, the longest first, whatever their case. */
export function located(words: readonly string[], slots: readonly Slot<string>[]): Located {
  const folded = words.map((word) => word.toLowerCase());
  const taken = new Map<number, Slot<string>>();
  const free = new Set(words.keys());
  const startsOf = (value: readonly string[]): number[] =>
    folded.flatMap((_, start) => (value.every((word, at) => folded[start + at] === word && free.has(start + at)) ? [start] : []));
  const byValue = Map.groupBy(slots, ({ words }) => words.join(' ').toLowerCase());
  const longest = [...byValue.values()].sort((a, b) => b[0]!.words.length - a[0]!.words.length);
  for (const same of longest) {
    const value = same[0]!.words.map((word) => word.toLowerCase());
    const starts = startsOf(value);
    if (starts.length !== same.length) return { broken: starts.length < same.length ? 'V4' : 'V3', value: value.join(' ') };
    for (const [n, start] of starts.entries()) {
      taken.set(start, same[n]!);
      for (const at of value.keys()) free.delete(start + at);
    }
  }
  const pieces: Piece<string>[] = [];
  for (let at = 0; at < words.length;) {
    const slot = taken.get(at);
    const length = slot ? slot.words.length : 1;
    pieces.push({ type: slot?.type ?? null, words: words.slice(at, at + length) });
    at += length;
  }
  return { pieces };
}
