/** Exports the operators of Kun: answer polishment for Chinese self-alignment with instruction backtranslation (2401.06477). */
import { z } from 'zod';
import { drop, keep, operator, scorer, type Scored } from '../../recipe/index.ts';
import { registered } from '../../schemas/config.ts';
import { sampling } from '../../schemas/sampling.ts';
import { pair, segment } from '../humpback/records.ts';
import { codePoints } from '../lengths.ts';
import { promptOperator, wholeReply } from '../reply.ts';
import { unframed } from '../unframed.ts';
import { judged, labelled, polished, read } from './records.ts';
import { parseVerdict, findRepetition, tidyInstruction, findKeyword } from './rules.ts';

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
/** Scores a text unconditionally; a newline precedes it, because the first token needs a context. */
const unconditional = (continuation: string) => [{ prompt: { text: '\n' }, continuation }];
const meanNll = ({ tokens }: Scored): number => -tokens.reduce((sum, { logprob }) => sum + logprob, 0) / tokens.length;

/** Measures the number of tokens and the perplexity of a text under the reader model. */
export const measure = scorer({
  version: 1,
  input: segment,
  output: read,
  role: 'reader',
  ask: ({ text }) => unconditional(text),
  take: ({ text }, [answer]) =>
    answer?.tokens.length ? keep({ text, tokens: answer.tokens.length, perplexity: Math.exp(meanNll(answer)) }) : drop('no-token'),
});

/** Primary data: keeps texts that are neither too long nor too perplexing. */
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

/** The label model generates the instruction of a text. */
export const label = promptOperator({
  version: 2,
  input: segment,
  output: labelled,
  role: 'label',
  slots: ({ text }) => ({ text }),
  take: (reply, { text }) => ({ text, instruction: unframed(reply) }),
});

/** Keeps instructions without keywords that refer to unseen content, and without repeated lines. */
export const askable = operator({
  version: 1,
  input: labelled,
  output: labelled,
  params: z.object({ words: z.object({ instruction: words }) }),
  run({ text, instruction }, _context, { words }) {
    const own = tidyInstruction(instruction);
    if (own === undefined) return drop('repeated-lines', instruction);
    const word = findKeyword(own, words.instruction);
    return word === undefined ? keep({ text, instruction: own }) : drop('keyword', `${word}: ${own}`);
  },
});

/** A pair of the seed as if the label model had written its instruction: the judge is measured on such. */
export const written = operator({
  version: 1,
  input: pair,
  output: labelled,
  run: ({ instruction, response }) => keep({ text: response, instruction }),
});

/** Keeps instructions that a judge finds good without seeing the text. */
export const point = operator({
  version: 1,
  input: labelled,
  output: judged,
  params: z.object({ prompts: z.object({ point: registered }), sampling }),
  roles: ['point'],
  capabilities: ['chat'],
  async run({ text, instruction }, context, { prompts, sampling }) {
    const reply = await wholeReply(context, 'point', context.prompt(prompts.point, { instruction }), sampling);
    if ('dropped' in reply) return reply;
    const good = parseVerdict(reply.text);
    if (good === undefined) return drop('no-verdict', reply.text);
    return good ? keep({ text, instruction, verdict: reply.text }) : drop('bad', instruction);
  },
});

/** Keeps records whose text and instruction fit the answer model's token budget; neither is ever truncated. */
export const withinBudget = scorer({
  version: 1,
  input: judged,
  output: judged,
  params: z.object({ maxTokens: z.int().min(1) }),
  role: 'reader',
  ask: ({ text, instruction }) => unconditional(`${text}\n${instruction}`),
  take: (record, [answer], { maxTokens }) =>
    answer!.tokens.length > maxTokens ? drop('too-long', `${answer!.tokens.length} tokens`) : keep(record),
});

/** Answer polishment: the answer model answers the instruction with the text in its prompt. */
export const polish = promptOperator({
  version: 1,
  input: judged,
  output: polished,
  role: 'answer',
  slots: ({ text, instruction }) => ({ text, instruction }),
  take: (response, record) => ({ ...record, response }),
});

/** Drops responses with keywords (such as apologies), short ones and repetitive ones. */
export const clean = operator({
  version: 1,
  input: polished,
  output: polished,
  params: z.object({ words: z.object({ response: words }), minChars: z.int().min(0) }),
  run(record, _context, { words, minChars }) {
    const { response } = record;
    const word = findKeyword(response, words.response);
    if (word !== undefined) return drop('keyword', `${word}: ${response}`);
    if (codePoints(response.trim()) < minChars) return drop('short', response);
    const unit = findRepetition(response);
    return unit === undefined ? keep(record) : drop('repetitive', unit);
  },
});

/** The control: the unchanged text is the response. */
export const unpolished = operator({
  version: 1,
  input: polished,
  output: polished,
  run: (record) => keep({ ...record, response: record.text }),
});
