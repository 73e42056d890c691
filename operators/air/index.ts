/** The work of AIR on records: complex instructions by iterative refinement (2502.17787). */
import { z } from 'zod';
import { drop, keep, operator } from '../../recipe/index.ts';
import { registered } from '../../schemas/config.ts';
import { lengths } from '../../schemas/recipes/air.ts';
import { sampling } from '../../schemas/sampling.ts';
import { drawn } from '../musc/shots.ts';
import { wholeReply } from '../reply.ts';
import { mergedIn } from './parse.ts';
import { complex, merged, refined, wordsOf } from './records.ts';
import { mergeShots } from './shots.ts';

export { backtranslate, rate, readable } from './documents.ts';
export { refine } from './refine.ts';
export { answer, appraise, ask, check, combine, compare, judge, polish, toDocument, toReply, toResponse } from './prompts.ts';

/** M: the initial instruction and the first `level` constraints of a document, in any order, as one instruction. A document with fewer
 *  gives none. */
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
  stochastic: () => true, // the order and the examples, at any temperature
  async run({ instruction: initial, polished, steps, ended }, context, { prompts, sampling, lengths, level, hardOnly, shots }) {
    const hard = steps.filter(({ satisfied }) => !hardOnly || (satisfied !== null && satisfied < 3));
    if (hard.length < level) return drop('too-few-constraints', `${hard.length}; ended by ${ended}`);
    const unique = [...new Set(hard.slice(0, level).map(({ constraint }) => constraint))];
    const constraints = drawn(unique, unique.length, context.random('order'));
    const slots = { instruction: initial, constraints, shots: drawn(mergeShots, shots, context.random('shots')) };
    const said = await wholeReply(context, 'guidance', context.prompt(prompts.merge, slots), sampling.merge);
    if ('dropped' in said) return said;
    const instruction = mergedIn(said.text);
    const words = wordsOf(instruction);
    const { min, max } = lengths.merged;
    return words < min || words > max ? drop('merged-length', said.text) : keep({ initial, constraints, document: polished, instruction });
  },
});

/** Y: what the guidance says to the merged instruction; of a control, to the initial one. */
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
    const said = await wholeReply(context, 'guidance', context.prompt(prompts.respond, { instruction }), sampling.guidance);
    if ('dropped' in said) return said;
    return wordsOf(said.text) < lengths.response
      ? drop('short', said.text)
      : keep({ ...merged, instruction, response: said.text, by: 'guidance' as const });
  },
});
