/** Parameters of CRAB (2410.24175). Defaults come from its paper, its code and its published trainings; where these are silent, from us. */
import { z } from 'zod';
import { promptName, registered, type RecipeSchema } from '../config.ts';
import { sampling } from '../sampling.ts';
import { preference, trainingWith } from '../training.ts';
import { constraintType, constraintTypes } from './crab-types.ts';
import { judgeCheck } from './shared.ts';

const count = z.int().min(1);
const share = z.number().min(0).max(1);
const range = (min: number, max: number) =>
  z
    .strictObject({ min: count.default(min), max: count.default(max) })
    .refine(({ min, max }) => min <= max, 'min is above max')
    .prefault({});

export const seeds = z.strictObject({
  minWords: z.int().min(0).default(200).describe("Minimum of words of a response, as the code runs; the paper's summary says 300."),
  bypass: share.default(0.1).describe('Share of the shorter responses that enter all the same.'),
  perSource: count.default(20_000).describe('Maximum of pairs of one source.'),
});

export const forward = z.strictObject({
  constraints: range(6, 8).describe('Number of constraints of an instruction.'),
  anyNumber: share.default(0.3).describe('Probability that an instruction has any number of constraints instead.'),
  original: share.default(0.3).describe('Probability that the instruction stays as it was, and is not the refined one.'),
  perOverlap: share.default(0.1).describe('Added to `original` for each constraint that the refined instruction says already.'),
  plainLayout: share.default(0.85).describe('Probability of one of the two plain layouts.'),
});
export type Forward = z.output<typeof forward>;

export const demos = z.strictObject({
  rate: share.default(0.5).describe('Probability that earlier turns show other pairs.'),
  max: count.default(3),
  window: count.default(50).describe('They are drawn from so many following pairs; after each that is taken, from so many more.'),
});

export const reverse = z.strictObject({
  constraints: range(3, 6).describe('Number of types that a request names.'),
  anyNumber: share.default(0.3).describe('Probability that it names any number of types instead.'),
  overview: share.default(0.7).describe('Probability that a request says what it is for.'),
  refined: share.default(0.3).describe('Probability that it asks for the refined instruction.'),
  additional: share.default(0.5).describe('Probability that it asks for constraints too; without the refined instruction it always does.'),
  others: share.default(0.3).describe('Probability that it asks for one further constraint of any type.'),
});
export type Reverse = z.output<typeof reverse>;

export const counts = z.strictObject({
  total: count.default(13_500).describe('Maximum of rows from pairs.'),
  forwardShare: share.default(0.7).describe('Share of forward rows among them.'),
  perSource: count.default(10_000).describe('Maximum of forward rows of one source.'),
});

const alpha = z
  .number()
  .positive()
  .default(1)
  .describe('Weight of the reverse loss in each reverse row. The paper publishes no value; its code weighs by the number of rows alone.');

export const composition = z.strictObject({
  forward: forward.prefault({}),
  demos: demos.prefault({}).describe('In-context demonstrations: pairs as earlier turns, each used once.'),
  reverse: reverse.prefault({}),
  counts: counts.prefault({}),
  alpha,
});
export type Composition = z.output<typeof composition>;

const sft = trainingWith({
  learningRate: 1e-5,
  length: { epochs: 4 },
  batch: 256,
  maxTokens: 2048,
  schedule: 'cosine',
  warmup: 0.1,
});
const dpo = trainingWith({
  learningRate: 5e-7,
  length: { epochs: 1 },
  batch: 64,
  maxTokens: 2048,
  schedule: 'cosine',
  warmup: 0.1,
}).extend(preference);

const parameters = z.strictObject({
  seeds: seeds.prefault({}),
  types: z
    .array(constraintType)
    .min(1)
    .default([...constraintTypes])
    .describe('Types of constraints that the annotator names.'),
  rules: z
    .enum(['corrected', 'reference'])
    .default('corrected')
    .describe(
      '`reference`: the rules of the published code, of which the one for words is false of nearly every response, and the one for paragraphs of many.',
    ),
  judgeCheck: judgeCheck.describe(
    'Measures the check on responses, each with a constraint that was named for it and with one that was named for another. null: it is not measured.',
  ),
  verify: z
    .boolean()
    .default(true)
    .describe('Execute every rule on its response and drop the pair if one is false. If that drops more than 1 %, a person decides.'),
  similarity: share
    .default(0.6)
    .describe('Two constraints of a pair whose ROUGE-L F1 is above say the same; the one with more such twins goes.'),
  ...composition.shape,
  generalRows: count.default(53_000).describe('Maximum of rows of the data set `general`, a random sample.'),
  minimum: count.default(100).describe('Minimum of pairs with constraints; with fewer the experiment waits for a person.'),
  arms: z
    .array(z.enum(['no-reverse', 'no-forward', 'plain']))
    .default([])
    .describe("The paper's ablations: the same rows without those of one objective, or all pairs without constraints."),
  sampling: sampling.default({ temperature: 0.4, topP: 0.3, maxTokens: 1024 }).describe('Of the annotator.'),
  sft: sft.prefault({}),
  annotatorSft: sft.prefault({}).describe('Training of the annotator, if there are `lessons`.'),
  lessonTemplate: registered.default('crab.toReply').describe('Template of `lessons`.'),
  dpo: dpo.prefault({}).describe('Training on `preferences`, if there are any.'),
  template: registered.default('crab.toChat'),
  prompts: z
    .strictObject({
      refine: promptName.default('crab.refine'),
      whole: promptName.default('crab.askWhole'),
      part: promptName.default('crab.askParts'),
      check: promptName.default('crab.askCheck'),
    })
    .prefault({}),
});
export type CrabParameters = z.output<typeof parameters>;

export const crab = {
  parameters,
  data: { pairs: 'required', lessons: 'optional', general: 'optional', preferences: 'optional' },
  models: { annotator: 'required', base: 'required' },
  evaluation: ['forward', 'data'],
  roles: ['annotator', 'model'],
} satisfies RecipeSchema;
