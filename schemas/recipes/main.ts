/** What an experiment file says of MAIN (2504.12913). Neither its settings nor its rule for alpha could be had: the defaults are ours. */
import { z } from 'zod';
import { registered, type RecipeSchema } from '../config.ts';
import { sampling } from '../sampling.ts';
import { trainingChange, trainingWith } from '../training.ts';
import { nearDuplicates, nucleus } from './shared.ts';

const share = z.number().min(0).max(1);

export const alpha = z
  .union([
    z.strictObject({ constant: share }),
    z.strictObject({ linear: z.tuple([share, share]).describe('In the first round, and in the last.') }),
    z.strictObject({ lossRatio: z.literal(true).describe('L(seed) / (L(seed) + L(imagined)): what is harder counts less.') }),
  ])
  .describe('The share of the loss that falls to rows whose given side was imagined by the other model; the rule is ours.');
export type Alpha = z.output<typeof alpha>;

export const keeping = z.strictObject({
  share: share.default(0.2).describe('Share of the candidates, those that the forward model agrees with best.'),
  count: z.int().min(1).exactOptional().describe('And so many at most.'),
  maxNll: z.number().exactOptional().describe('Highest loss that is kept, in nats a token.'),
  floor: z.number().default(0).describe('Lower losses are taken for boilerplate, and dropped.'),
  buckets: z.int().min(1).default(1).describe('Ranked in so many buckets of like length, since a low loss favours the short.'),
});
export type Keeping = z.output<typeof keeping>;

const sft = trainingWith({
  learningRate: 1e-5,
  length: { epochs: 3 },
  batch: 32,
  maxTokens: 2048,
  schedule: 'cosine',
  warmup: 0.03,
});

const parameters = z.strictObject({
  rounds: z.int().min(1).max(1000).default(3).describe('In each, both models are trained.'),
  order: z
    .enum(['gauss-seidel', 'jacobi'])
    .default('gauss-seidel')
    .describe("Whether the reverse model learns from what the round's new forward model says, or both learn at once from those before."),
  from: z.enum(['base', 'previous']).default('base').describe('Where the trainings of a round begin.'),
  alpha: alpha.default({ constant: 0.5 }),
  nearDuplicates,
  keep: keeping.prefault({}),
  minimum: z.int().min(1).default(100).describe('Curated pairs; with fewer the experiment waits for a person.'),
  arms: z
    .array(z.enum(['random']))
    .default([])
    .describe('Controls: `random` is trained on as many pairs as were curated, drawn blindly.'),
  sampling: z.strictObject({ imagine: sampling.default(nucleus), augment: sampling.default(nucleus) }).prefault({}),
  sft: sft.prefault({}).describe('Of every model. A batch holds pairs of rows, so it is even.'),
  finalSft: trainingChange.default({}).describe('What differs from `sft` in the model that is handed over.'),
  templates: z
    .strictObject({ toInstruction: registered.default('main.toInstruction'), toResponse: registered.default('main.toResponse') })
    .prefault({}),
  prompts: z.strictObject({ invert: registered.default('main.invert'), respond: registered.default('main.respond') }).prefault({}),
});
export type MainParameters = z.output<typeof parameters>;

export const main = {
  parameters,
  data: { seed: 'required', corpus: 'required' },
  models: { base: 'required' },
  evaluation: ['forward', 'backward', 'curated'],
  roles: ['reverse', 'forward', 'learner', 'model'],
} satisfies RecipeSchema;
