/** Exports the operators of Humpback: self-alignment with instruction backtranslation (2308.06259). */
import { z } from 'zod';
import { dataSuite, drop, keep, operator, suite } from '../../recipe/index.ts';
import { registered } from '../../schemas/config.ts';
import { sampling } from '../../schemas/sampling.ts';
import { codePoints, weightOf } from '../lengths.ts';
import { promptOperator } from '../reply.ts';
import { unframed } from '../unframed.ts';
import { judged, pair, segment, type Pair } from './records.ts';

export { expectedRating, likelihood, rating } from './judges.ts';
export { backward, curation, response } from './prompts.ts';
export { toInstruction, toResponse } from './templates.ts';

/** Generates one instruction for a segment with M_yx (2.2). */
export const backtranslate = promptOperator({
  version: 3,
  input: segment,
  output: pair,
  role: 'backward',
  take: (reply, { text }) => ({ instruction: unframed(reply), response: text }),
});

/** Keeps instructions within a range of lengths in characters (code points). For `min`, Han, Kana and Hangul characters count twice. */
export const withinLength = operator({
  version: 2,
  input: judged,
  output: judged,
  params: z.object({ instructionChars: z.object({ min: z.int(), max: z.int() }) }),
  run(judged, _context, { instructionChars: { min, max } }) {
    if (weightOf(judged.instruction) < min) return drop('short-instruction', judged.instruction);
    return codePoints(judged.instruction) > max ? drop('long-instruction', judged.instruction) : keep(judged);
  },
});

const answer = promptOperator({
  version: 2,
  input: pair.pick({ instruction: true }),
  output: pair.pick({ response: true }),
  role: 'model',
  take: (response) => ({ response }),
});

/** Collects answers to a few instructions for people to read, with both tags in the prompt. `answered` is the share of finished replies,
 *  and `responseChars` their mean length in characters; they show a model that runs on or returns nothing. */
export const answers = suite({
  version: 2,
  params: z.strictObject({
    instructions: z.array(z.string().min(1)).min(1),
    prompt: registered.default('humpback.response'),
    sampling: sampling.default({ temperature: 0.7, topP: 0.9, maxTokens: 1024 }),
  }),
  items: ({ instructions }) => instructions.map((instruction) => ({ instruction })),
  ask: answer,
  measure(answers) {
    const given = answers.flatMap(({ answer }) => answer ?? []);
    return { answered: given.length / answers.length, responseChars: mean(given.map(({ response }) => codePoints(response))) };
  },
});

/** Measures a set of pairs: its size, its mean lengths in characters, and the share whose instruction is copied from the response. */
export const pairs = dataSuite({
  version: 2,
  async measure(rows: AsyncIterable<{ readonly value: Pair }>) {
    const instructions: number[] = [],
      responses: number[] = [],
      copied: number[] = [];
    for await (const {
      value: { instruction, response },
    } of rows) {
      instructions.push(codePoints(instruction));
      responses.push(codePoints(response));
      copied.push(response.includes(instruction) ? 1 : 0);
    }
    return { rows: instructions.length, instructionChars: mean(instructions), responseChars: mean(responses), copied: mean(copied) };
  },
});

const mean = (numbers: readonly number[]): number => numbers.reduce((sum, number) => sum + number, 0) / Math.max(1, numbers.length);
