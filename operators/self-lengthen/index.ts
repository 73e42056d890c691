/** Exports the operators of Self-Lengthen: texts that grow from round to round (2410.23933). */
import { z } from 'zod';
import { drop, filter, keep, operator } from '../../recipe/index.ts';
import { demands, lengthBias, repetition, type LengthBias } from '../../schemas/recipes/self-lengthen.ts';
import { codePoints } from '../lengths.ts';
import { wholeReply } from '../reply.ts';
import { unframed } from '../unframed.ts';
import { demandFor, mentions, phraseOf } from './lengths.ts';
import { demanded, demanding, drawn, extended, piece, seed, thinned } from './records.ts';
import { count, firstKept, requests, stochastic } from './requests.ts';
import { checkResponse, countWords, isChinese } from './text.ts';

export { lengthen } from './extend.ts';
export { answer, enrich, grade, invent, restate, suits, toLonger, toReply, toText } from './prompts.ts';
export { lonGen, quality } from './suites.ts';

/** A: makes up an instruction after the pattern of the drawn ones, until the writer says that it suits a long text. */
export const propose = operator({
  version: 1,
  input: drawn,
  output: seed,
  params: z.object({
    ...requests('propose', 'judge'),
    attempts: z.object({ propose: count }),
    instructionWords: z.object({ min: z.int(), max: z.int() }),
  }),
  roles: ['writer'],
  capabilities: ['chat', 'prefill'],
  stochastic,
  calls: ({ attempts }) => 2 * attempts.propose,
  run: ({ drawn }, context, { prompts, sampling, attempts, instructionWords: { min, max } }) =>
    firstKept(context, attempts.propose, async () => {
      const examples = drawn.map(({ instruction }) => instruction);
      const reply = await wholeReply(context, 'writer', context.prompt(prompts.propose, { examples }), sampling.propose); // A1
      if ('dropped' in reply) return reply;
      const instruction = unframed(firstItem(reply.text, examples.length + 1));
      const words = countWords(instruction);
      if (words < min || words > max) return drop('instruction-length', instruction);
      const verdict = await wholeReply(context, 'writer', context.prompt(prompts.judge, { instruction }), sampling.judge); // A2
      if ('dropped' in verdict) return verdict;
      const suits = parseYesNo(verdict.text);
      if (suits === undefined) return drop('no-verdict', verdict.text);
      return suits ? keep({ instruction }) : drop('unsuitable', instruction);
    }),
});

/** Returns the item of a list that the prompt has opened with its `number`, without the items after it. */
const firstItem = (reply: string, number: number): string => reply.split(new RegExp(String.raw`\n\s*${number + 1}\s*[.)、．]`))[0]!;

/** Parses a verdict of one word. */
function parseYesNo(reply: string): boolean | undefined {
  const [, yes] = /^(?:(yes|是)|no|否)[.!。！]?$/i.exec(reply.trim()) ?? [undefined, null];
  return yes === null ? undefined : yes !== undefined;
}

/** B: answers an instruction, until the text passes the checks. */
export const write = operator({
  version: 1,
  input: seed,
  output: piece,
  params: z.object({ ...requests('write'), attempts: z.object({ write: count }), repetition }),
  roles: ['generator'],
  capabilities: ['chat'],
  stochastic,
  calls: ({ attempts }) => attempts.write,
  run: ({ instruction }, context, { prompts, sampling, attempts, repetition }) =>
    firstKept(context, attempts.write, async () => {
      const reply = await wholeReply(context, 'generator', context.prompt(prompts.write, { instruction }), sampling.write);
      if ('dropped' in reply) return reply;
      const { text } = reply;
      const fault = checkResponse(text, repetition);
      return fault ? drop(fault, text) : keep({ instruction, text, words: countWords(text) });
    }),
});

/** B4, C5: length-biased sampling. Ranks texts by their characters, and keeps long ones with a higher probability. */
export const dropShort = filter<{ readonly text: string }, { readonly lengthBias: LengthBias }>({
  version: 1,
  params: z.object({ lengthBias }),
  stochastic: () => true,
  maxRows: (entering, { lengthBias: { scale, power } }) => Math.ceil(entering * Math.min(1, scale ** (-1 / power))),
  async *run({ of }, { lengthBias: { scale, power } }, { random }) {
    const lengths: { readonly id: string; readonly chars: number }[] = [];
    for await (const { id, value } of of) lengths.push({ id, chars: codePoints(value.text) });
    lengths.sort((a, b) => a.chars - b.chars || (a.id < b.id ? -1 : 1));
    const ranks = new Map(lengths.map(({ id }, index) => [id, 1 - index / lengths.length]));
    for await (const record of of) {
      const rank = ranks.get(record.id)!;
      if (random(record.id)() < 1 - scale * rank ** power) yield { record };
      else yield { record, dropped: 'short', evidence: `rank ${rank.toFixed(3)}` };
    }
  },
});

/** D2: leaves lines of the draft out, so that the extender learns to write what an outline does not say. One of them always stays. */
export const thin = operator({
  version: 1,
  input: extended,
  output: thinned,
  params: z.object({ keepLine: z.number() }),
  stochastic: () => true,
  run(record, context, { keepLine }) {
    const random = context.random('lines');
    const lines = record.initial.split('\n').filter((line) => line.trim() === '' || random() < keepLine);
    const outline = lines
      .join('\n')
      .replace(/\n{3,}/g, '\n\n')
      .trim();
    return keep({ ...record, outline: outline === '' ? record.initial : outline });
  },
});

/** F3, by rule: a length that the text has, and the words that demand it. */
export const demandLength = operator({
  version: 1,
  input: piece,
  output: demanding,
  params: z.object({ demands }),
  stochastic: () => true,
  run(piece, context, { demands }) {
    const random = context.random('demand');
    const demand = demandFor(piece.words, demands, random);
    const chinese = random() < demands.spelled ? 'spelled' : 'chinese';
    return keep({ ...piece, demand, ...phraseOf(demand, isChinese(piece.instruction) ? chinese : 'english') });
  },
});

/** F3, by rewriting: the instruction with its demand, until the reply has the demand's numbers. */
export const rewrite = operator({
  version: 1,
  input: demanding,
  output: demanded,
  params: z.object({ ...requests('demand'), attempts: z.object({ demand: count }) }),
  roles: ['writer'],
  capabilities: ['chat'],
  stochastic,
  calls: ({ attempts }) => attempts.demand,
  run: ({ instruction: bare, phrase, numbers, ...rest }, context, { prompts, sampling, attempts }) =>
    firstKept(context, attempts.demand, async () => {
      const reply = await wholeReply(context, 'writer', context.prompt(prompts.demand, { instruction: bare, phrase }), sampling.demand);
      if ('dropped' in reply) return reply;
      const instruction = unframed(reply.text);
      return mentions(instruction, numbers) ? keep({ ...rest, instruction, bare }) : drop('no-demand', reply.text);
    }),
});
