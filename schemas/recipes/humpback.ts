/** Parameters of Humpback. Defaults come from the paper (2308.06259, sections 3.1 and 3.2, appendix B) if it states them. */
import { z } from 'zod';
import { promptName, registered, type RecipeSchema } from '../config.ts';
import { sampling } from '../sampling.ts';
import { trainingChange, trainingWith } from '../training.ts';
import { byScore, judge, judgeCheck, nearDuplicates, nucleus, seedTraining, unscaled } from './shared.ts';

const sft = trainingWith(seedTraining);

const parameters = z
  .strictObject({
    rounds: z.int().min(1).max(1000).default(2),
    nearDuplicates,
    judge,
    keep: z
      .union([...byScore, z.literal('all')])
      .default({ threshold: 4.5 })
      .describe('What curation keeps; `all` keeps the whole pool without a judge.'),
    take: z.int().min(1).exactOptional().describe('Maximum of pairs, a random sample of the kept ones. Default: all.'),
    minimum: z.int().min(1).default(100).describe('Minimum of curated pairs; with fewer a round waits for a person.'),
    instructionChars: z
      .strictObject({ min: z.int().min(1), max: z.int().min(1) })
      .refine(({ min, max }) => min <= max, 'min is above max, so nothing would be kept')
      .default({ min: 10, max: 800 })
      .describe(
        'Characters of a curated instruction; for `min` a Han, Kana or Hangul character counts twice. The paper does not mention it; the default is that of its reproductions.',
      ),
    attempts: z.int().min(1).default(1).describe('Maximum of samples of a judgement, until one has a rating.'),
    judgeCheck,
    arms: z
      .array(z.enum(['random']))
      .default([])
      .describe('Controls, trained and evaluated beside each round: `random` draws as many pairs as curation kept.'),
    sampling: z.strictObject({ backtranslate: sampling.default(nucleus), judge: sampling.default(nucleus) }).prefault({}),
    sft: sft.prefault({}).describe('Training of every model.'),
    seedSft: trainingChange.default({}).describe('Differences from `sft` for trainings on the seed alone: the backward model and M_0.'),
    templates: z
      .strictObject({ toInstruction: registered.default('humpback.toInstruction'), toResponse: registered.default('humpback.toResponse') })
      .prefault({}),
    prompts: z
      .strictObject({
        backtranslate: promptName.default('humpback.backward'),
        judge: promptName.default('humpback.curation'),
        respond: promptName.default('humpback.response').describe('For the likelihood judge.'),
      })
      .prefault({}),
  })
  .refine(({ judge, keep }) => judge !== 'likelihood' || keep === 'all' || 'share' in keep, unscaled);

export type HumpbackParameters = z.output<typeof parameters>;

export const humpback = {
  parameters,
  data: { seed: 'required', corpus: 'required', replay: 'optional' },
  models: { base: 'required', scorer: 'optional' },
  evaluation: ['forward', 'backward', 'curated'],
  roles: ['backward', 'scorer', 'model'],
} satisfies RecipeSchema;
