/** What an experiment file says of Humpback. Defaults are the paper's (2308.06259, sections 3.1 and 3.2, appendix B) where it has them. */
import { z } from 'zod';
import { registered, type RecipeSchema } from '../config.ts';
import { sampling } from '../sampling.ts';
import { training, trainingChange } from '../training.ts';
import { nearDuplicates, nucleus } from './shared.ts';

const of = training.shape;
const sft = training.extend({
  learningRate: of.learningRate.default({ from: 1e-5, to: 9e-6 }),
  length: of.length.default({
    stepsByRows: [
      [100, 30],
      [800, 300],
      [1600, 600],
      [3200, 500],
      [6400, 600],
      [12_800, 600],
      [25_600, 1200],
      [51_200, 1600],
    ],
  }),
  batch: of.batch.default({
    byRows: [
      [0, 8],
      [3000, 32],
    ],
  }),
  maxTokens: of.maxTokens.default(2048),
  weightDecay: of.weightDecay.unwrap().default(0.1),
  dropout: of.dropout.unwrap().default(0.1),
});

const parameters = z
  .strictObject({
    rounds: z.int().min(1).max(1000).default(2),
    nearDuplicates,
    judge: z
      .enum(['rating', 'expected', 'likelihood'])
      .default('rating')
      .describe(
        "What a score is: the rating that the scorer writes; its mean under the scorer's probabilities; or nats per token of the response after the instruction.",
      ),
    keep: z
      .union([
        z.strictObject({ threshold: z.number().describe('Lowest score that is kept.') }),
        z.strictObject({ share: z.number().positive().max(1).describe('Share of the rated pairs, the highest scores first.') }),
        z.literal('all'),
      ])
      .default({ threshold: 4.5 })
      .describe('What curation keeps; `all` keeps the whole pool and asks no judge.'),
    take: z.int().min(1).exactOptional().describe('Pairs at most, a random sample of what was kept. Default: all of it.'),
    minimum: z.int().min(1).default(100).describe('Curated pairs; with fewer a round waits for a person.'),
    instructionChars: z
      .strictObject({ min: z.int().min(1), max: z.int().min(1) })
      .refine(({ min, max }) => min <= max, 'min is above max, so nothing would be kept')
      .default({ min: 10, max: 800 })
      .describe('Length of a curated instruction. The paper says nothing of it; the default is that of its reproductions.'),
    attempts: z.int().min(1).default(1).describe('Samples of a judgement until one holds a rating.'),
    arms: z
      .array(z.enum(['random']))
      .default([])
      .describe('Controls, trained and evaluated beside each round: `random` draws as many pairs as were curated.'),
    sampling: z.strictObject({ backtranslate: sampling.default(nucleus), judge: sampling.default(nucleus) }).prefault({}),
    sft: sft.prefault({}).describe('Of every model.'),
    seedSft: trainingChange.default({}).describe('What differs from `sft` where the seed alone is trained on: the backward model and M_0.'),
    templates: z
      .strictObject({ toInstruction: registered.default('humpback.toInstruction'), toResponse: registered.default('humpback.toResponse') })
      .prefault({}),
    prompts: z
      .strictObject({
        backtranslate: registered.default('humpback.backward'),
        judge: registered.default('humpback.curation'),
        respond: registered.default('humpback.response').describe('Of the likelihood judge.'),
      })
      .prefault({}),
  })
  .refine(({ judge, keep }) => judge !== 'likelihood' || keep === 'all' || 'share' in keep, {
    path: ['keep'],
    error: 'a likelihood has no scale of its own: say keep: { share: ... }',
  });

export type HumpbackParameters = z.output<typeof parameters>;

export const humpback = {
  parameters,
  data: { seed: 'required', corpus: 'required', replay: 'optional' },
  models: { base: 'required', scorer: 'optional' },
  evaluation: ['forward', 'backward', 'curated'],
  roles: ['backward', 'scorer', 'model'],
} satisfies RecipeSchema;
