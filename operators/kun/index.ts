/** The per-record half of Kun: answer polishment for Chinese self-alignment with instruction back-translation (2401.06477). */
import { z } from 'zod';
import { drop, keep, operator, scorer, type Scored } from '../../recipe/index.ts';
import { registered } from '../../schemas/config.ts';
import { sampling } from '../../schemas/sampling.ts';
import { pair, segment } from '../humpback/records.ts';
import { codePoints } from '../lengths.ts';
import { asking, wholeReply } from '../reply.ts';
import { unframed } from '../unframed.ts';
import { judged, labelled, polished, read } from './records.ts';
import { isGood, repeatedIn, tidied, wordIn } from './rules.ts';

export {
  labelling,
  labellingEnglish,
  pointing,
  pointingEnglish,
  polishing,
  polishingEnglish,
  respond,
  toInstruction,
  toInstructionEnglish,
  toResponse,
} from './prompts.ts';

const words = z.array(z.string().min(1));
/** A text by itself: something must stand before the first token that is predicted. */
const alone = (continuation: string) => [{ prompt: { text: '\n' }, continuation }];
const surprise = ({ tokens }: Scored): number => -tokens.reduce((sum, { logprob }) => sum + logprob, 0) / tokens.length;

/** How many tokens a text has, and how perplexing it is, to the reader. */
export const measure = scorer({
  version: 1,
  input: segment,
  output: read,
  role: 'reader',
  ask: ({ text }) => alone(text),
  take: ({ text }, [answer]) =>
    answer?.tokens.length ? keep({ text, tokens: answer.tokens.length, perplexity: Math.exp(surprise(answer)) }) : drop('no-token'),
});

/** Primary data: texts that are neither long nor perplexing. */
export const primary = operator({
  version: 1,
  input: read,
  output: segment,
  params: z.object({ maxTokens: z.int().min(1), maxPerplexity: z.number().nullable() }),
  run({ text, tokens, perplexity }, _context, { maxTokens, maxPerplexity }) {
    if (tokens > maxTokens) return drop('too-long', `${tokens} tokens`);
    return maxPerplexity !== null && perplexity > maxPerplexity ? drop('perplexing', `${perplexity}`) : keep({ text });
  },
});

/** The instruction of a text, by the label model. */
export const label = asking({
  version: 2,
  input: segment,
  output: labelled,
  role: 'label',
  slots: ({ text }) => ({ text }),
  take: (reply, { text }) => ({ text, instruction: unframed(reply) }),
});

/** An instruction that stands by itself: without words for what is not shown, and without repeated lines. */
export const askable = operator({
  version: 1,
  input: labelled,
  output: labelled,
  params: z.object({ words: z.object({ instruction: words }) }),
  run({ text, instruction }, _context, { words }) {
    const own = tidied(instruction);
    if (own === undefined) return drop('repeated-lines', instruction);
    const word = wordIn(own, words.instruction);
    return word === undefined ? keep({ text, instruction: own }) : drop('keyword', `${word}: ${own}`);
  },
});

/** Whether the instruction is good, by a judge that does not see the text. */
export const point = operator({
  version: 1,
  input: labelled,
  output: judged,
  params: z.object({ prompts: z.object({ point: registered }), sampling }),
  roles: ['point'],
  capabilities: ['chat'],
  async run({ text, instruction }, context, { prompts, sampling }) {
    const said = await wholeReply(context, 'point', context.prompt(prompts.point, { instruction }), sampling);
    if ('dropped' in said) return said;
    const good = isGood(said.text);
    if (good === undefined) return drop('no-verdict', said.text);
    return good ? keep({ text, instruction, verdict: said.text }) : drop('bad', instruction);
  },
});

/** Text and instruction leave room for each other in the answer model; neither is ever cut. */
export const withinBudget = scorer({
  version: 1,
  input: judged,
  output: judged,
  params: z.object({ maxTokens: z.int().min(1) }),
  role: 'reader',
  ask: ({ text, instruction }) => alone(`${text}\n${instruction}`),
  take: (record, [answer], { maxTokens }) =>
    answer!.tokens.length > maxTokens ? drop('too-long', `${answer!.tokens.length} tokens`) : keep(record),
});

/** Answer polishment: the answer model answers the instruction with the text at hand. */
export const polish = asking({
  version: 1,
  input: judged,
  output: polished,
  role: 'answer',
  slots: ({ text, instruction }) => ({ text, instruction }),
  take: (response, record) => ({ ...record, response }),
});

/** A response that excuses itself, is a stump or repeats itself goes. */
export const clean = operator({
  version: 1,
  input: polished,
  output: polished,
  params: z.object({ words: z.object({ response: words }), minChars: z.int().min(0) }),
  run(record, _context, { words, minChars }) {
    const { response } = record;
    const word = wordIn(response, words.response);
    if (word !== undefined) return drop('keyword', `${word}: ${response}`);
    if (codePoints(response.trim()) < minChars) return drop('short', response);
    const unit = repeatedIn(response);
    return unit === undefined ? keep(record) : drop('repetitive', unit);
  },
});

/** The control: the text is the response, as it was found. */
export const unpolished = operator({
  version: 1,
  input: polished,
  output: pair,
  run: ({ instruction, text }) => keep({ instruction, response: text }),
});
