/** Exports the operators of AIR: complex instructions by iterative refinement (2502.17787). */
import { z } from 'zod';
import { drop, keep, operator } from '../../recipe/index.ts';
import { registered } from '../../schemas/config.ts';
import { lengths } from '../../schemas/recipes/air.ts';
import { sampling } from '../../schemas/sampling.ts';
import { drawSample } from '../musc/shots.ts';
import { wholeReply } from '../reply.ts';
import { parseMerged } from './parse.ts';
import { complex, merged, refined, wordsOf } from './records.ts';
import { mergeShots } from './shots.ts';

export { backtranslate, rate, readable } from './documents.ts';
export { refine } from './refine.ts';
export { answer, appraise, ask, check, combine, compare, judge, polish, toDocument, toReply, toResponse } from './prompts.ts';

/** M: merges the initial instruction and the first `level` constraints of a document, in random order, into one instruction. Drops a
 *  document with fewer constraints. */
export const merge = operator({
  version: 1,
  input: refined,
  output: merged,
  params: z.object({
    prompts: z.object({ merge: registered }),
    sampling: z.object({ merge: sampling }),
    lengths: z.object({ merged: lengths.shape.merged }),
    level: z.int().min(1),
    hardOnly: z.boolean(),
    shots: z.int().min(0),
  }),
  roles: ['guidance'],
  capabilities: ['chat', 'prefill'],
  stochastic: () => true, // random order and examples, even at temperature 0
  async run({ instruction: initial, polished, steps, ended }, context, { prompts, sampling, lengths, level, hardOnly, shots }) {
    const hard = steps.filter(({ satisfied }) => !hardOnly || (satisfied !== null && satisfied < 3));
    if (hard.length < level) return drop('too-few-constraints', `${hard.length}; ended by ${ended}`);
    const unique = [...new Set(hard.slice(0, level).map(({ constraint }) => constraint))];
    const constraints = drawSample(unique, unique.length, context.random('order'));
    const slots = { instruction: initial, constraints, shots: drawSample(mergeShots, shots, context.random('shots')) };
    const reply = await wholeReply(context, 'guidance', context.prompt(prompts.merge, slots), sampling.merge);
    if ('dropped' in reply) return reply;
    const instruction = parseMerged(reply.text);
    const words = wordsOf(instruction);
    const { min, max } = lengths.merged;
    return words < min || words > max ? drop('merged-length', reply.text) : keep({ initial, constraints, document: polished, instruction });
  },
});

/** Y: the guidance model answers the merged instruction, or as a control the initial one. */
export const respond = operator({
  version: 1,
  input: merged,
  output: complex,
  params: z.object({
    prompts: z.object({ respond: registered }),
    sampling: z.object({ guidance: sampling }),
    lengths: z.object({ response: lengths.shape.response }),
    to: z.enum(['instruction', 'initial']),
  }),
  roles: ['guidance'],
  capabilities: ['chat'],
  stochastic: ({ sampling }) => sampling.guidance.temperature !== 0,
  async run(merged, context, { prompts, sampling, lengths, to }) {
    const instruction = merged[to];
    const reply = await wholeReply(context, 'guidance', context.prompt(prompts.respond, { instruction }), sampling.guidance);
    if ('dropped' in reply) return reply;
    return wordsOf(reply.text) < lengths.response
      ? drop('short', reply.text)
      : keep({ ...merged, instruction, response: reply.text, by: 'guidance' as const });
  },
});
