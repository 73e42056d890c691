/** Parameters of MAIN (2504.12913). We had neither its settings nor its rule for alpha: the defaults are ours. */
import { z } from 'zod';
import { promptName, registered, type RecipeSchema } from '../config.ts';
import { sampling } from '../sampling.ts';
import { trainingChange, trainingWith } from '../training.ts';
import { judgeCheck, nearDuplicates, nucleus } from './shared.ts';

const share = z.number().min(0).max(1);

export const alpha = z
  .union([
    z.strictObject({ constant: share }),
    z.strictObject({ linear: z.tuple([share, share]).describe('Values in the first round and in the last.') }),
    z.strictObject({ lossRatio: z.literal(true).describe('L(seed) / (L(seed) + L(imagined)): the harder rows count less.') }),
  ])
  .describe('Share of the loss for rows whose given side the other model imagined; the rule is ours.');
export type Alpha = z.output<typeof alpha>;

export const keeping = z.strictObject({
  share: share.default(0.2).describe('Kept share of the candidates, best agreement of the forward model first.'),
  count: z.int().min(1).exactOptional().describe('Maximum of kept candidates.'),
  maxNll: z.number().exactOptional().describe('Highest kept loss, in nats per token.'),
  floor: z.number().default(0).describe('Candidates with a lower loss count as boilerplate and are dropped.'),
  buckets: z
    .int()
    .min(1)
    .default(1)
    .describe('Number of buckets of similar length in which candidates are ranked, since a low loss favours short texts.'),
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
  rounds: z.int().min(1).max(1000).default(3).describe('Rounds; each trains both models.'),
  order: z
    .enum(['gauss-seidel', 'jacobi'])
    .default('gauss-seidel')
    .describe(
      "gauss-seidel: the reverse model learns from the round's new forward model. jacobi: both learn at once from the previous models.",
    ),
  from: z.enum(['base', 'previous']).default('base').describe('Model from which the trainings of a round start.'),
  alpha: alpha.default({ constant: 0.5 }),
  nearDuplicates,
  keep: keeping.prefault({}),
  minimum: z.int().min(1).default(100).describe('Minimum of curated pairs; with fewer the experiment waits for a person.'),
  judgeCheck,
  arms: z
    .array(z.enum(['random']))
    .default([])
    .describe('Controls: `random` trains on as many pairs as were curated, drawn blindly.'),
  sampling: z.strictObject({ imagine: sampling.default(nucleus), augment: sampling.default(nucleus) }).prefault({}),
  sft: sft.prefault({}).describe('Training of every model. A batch holds pairs of rows, so it is even.'),
  finalSft: trainingChange.default({}).describe('Differences from `sft` for the final model.'),
  templates: z
    .strictObject({ toInstruction: registered.default('main.toInstruction'), toResponse: registered.default('main.toResponse') })
    .prefault({}),
  prompts: z.strictObject({ invert: promptName.default('main.invert'), respond: promptName.default('main.respond') }).prefault({}),
});
export type MainParameters = z.output<typeof parameters>;

export const main = {
  parameters,
  data: { seed: 'required', corpus: 'required' },
  models: { base: 'required' },
  evaluation: ['forward', 'backward', 'curated'],
  roles: ['reverse', 'forward', 'learner', 'model'],
} satisfies RecipeSchema;
