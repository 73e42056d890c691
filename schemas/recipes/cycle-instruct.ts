/** Parameters of Cycle-Instruct (2508.16100). We had only parts of the paper: settings that they do not state are parameters with our
 *  defaults. */
import { z } from 'zod';
import { promptName, registered, type RecipeSchema } from '../config.ts';
import { sampling } from '../sampling.ts';
import { trainingChange, trainingWith } from '../training.ts';
import { judgeCheck } from './shared.ts';

const share = z.number().min(0).max(1);
const greedy = { temperature: 0, maxTokens: 256 };
/** Stop strings: otherwise a base model continues with the next question. */
const headers = ['\nQuestion:', '\nAnswer:', '\nText:'];

const sft = trainingWith({
  learningRate: 1e-4,
  length: { epochs: 3 },
  batch: 8,
  maxTokens: 2048,
  lora: { rank: 8, alpha: 16, dropout: 0.05 },
  adapter: 'merge',
  schedule: 'cosine',
  warmup: 0.03,
});

const filter = z
  .strictObject({
    clusters: z.int().min(1).default(200).describe('Clusters of k-means over the found texts; at most as many as there are records.'),
    share: share.default(0.05).describe('Share of each cluster to drop: the records whose reconstruction has the largest distance.'),
    together: z.boolean().default(false).describe('Cluster questions and answers together, not separately.'),
    maxTokens: z.int().min(1).default(512).describe('Maximum of tokens of an embedded text.'),
  })
  .describe('The cycle-consistency filter.');

const prompts = z.strictObject({
  answer: promptName.default('cycle-instruct.answer'),
  ask: promptName.default('cycle-instruct.ask'),
  baseAnswer: promptName.default('cycle-instruct.baseAnswer').describe('For the base, which has not been trained with any template yet.'),
  baseAsk: promptName.default('cycle-instruct.baseAsk'),
  rewriteQuestion: promptName.default('cycle-instruct.rewriteQuestion'),
  rewriteAnswer: promptName.default('cycle-instruct.rewriteAnswer'),
});

const parameters = z.strictObject({
  rounds: z.int().min(1).max(1000).default(2).describe('Rounds; each trains both models.'),
  order: z
    .enum(['gauss-seidel', 'jacobi'])
    .default('gauss-seidel')
    .describe(
      'gauss-seidel: A2Q generates with its training of this round, as in the paper. jacobi: both models generate at once, as they were before the round: half the time, another method.',
    ),
  from: z.enum(['previous', 'base']).default('previous').describe('Model from which the trainings of a round start.'),
  breakSeed: z.int().default(0).describe('Seed of the choice which side of each of `pairs` is discarded.'),
  split: z.enum(['paragraphs', 'none']).default('paragraphs').describe('`none`: a document is one passage, such as a turn of a dialogue.'),
  shortest: z.int().min(1).default(10).describe('Minimum of characters of a passage; a Han, Kana or Hangul character counts twice.'),
  rewrite: z
    .boolean()
    .default(false)
    .describe('Show the models each passage rewritten, as a question or an answer that stands by itself. They still learn the found text.'),
  minimum: z
    .int()
    .min(1)
    .default(100)
    .describe('Minimum of questions, and of answers; with fewer of either the experiment waits for a person.'),
  stop: z
    .strictObject({
      copies: share.default(0.5).describe('From this share of copies on, among the questions or the answers of a round.'),
      distinct: share.default(0).describe('Up to this share of distinct word pairs.'),
    })
    .prefault({})
    .describe('When to end the rounds early.'),
  finalData: z
    .enum(['anew', 'last'])
    .default('anew')
    .describe('anew: the last models label everything once more for the final data. last: the labels of the last round.'),
  finalFrom: z.enum(['base', 'previous']).default('base').describe('Model from which the final training starts.'),
  filter: filter.nullable().prefault({}),
  judgeCheck: judgeCheck.describe(
    'Measures the distances of the filter on texts, each with its own reconstruction and with that of another text. null: they are not measured.',
  ),
  arms: z
    .array(z.enum(['unfiltered', 'generated']))
    .default([])
    .describe(
      '`unfiltered` trains on all final pairs. `generated` is the control: its models learn the generated text, given the found text.',
    ),
  sampling: z
    .strictObject({
      rewrite: sampling.default({ ...greedy, stop: headers }),
      base: sampling.default({ ...greedy, stop: headers }).describe('For the base in the first round.'),
      generate: sampling.default(greedy),
    })
    .prefault({}),
  sft: sft.prefault({}).describe('Training of every model.'),
  finalSft: trainingChange.default({}).describe('Differences from `sft` for the final model.'),
  templates: z
    .strictObject({ toAnswer: registered.default('cycle-instruct.toAnswer'), toQuestion: registered.default('cycle-instruct.toQuestion') })
    .prefault({}),
  prompts: prompts.prefault({}),
});
export type CycleInstructParameters = z.output<typeof parameters>;

export const cycleInstruct = {
  parameters,
  data: { documents: 'either', pairs: 'either' },
  models: { base: 'required', rewriter: 'optional', encoder: 'encoder' },
  evaluation: ['forward', 'backward', 'baseForward', 'baseBackward', 'pairs'],
  roles: ['rewriter', 'q2a', 'a2q', 'model'],
} satisfies RecipeSchema;
