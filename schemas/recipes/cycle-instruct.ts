/** What an experiment file says of Cycle-Instruct (2508.16100). What could not be had of the paper is a parameter, and its default ours. */
import { z } from 'zod';
import { registered, type RecipeSchema } from '../config.ts';
import { sampling } from '../sampling.ts';
import { trainingChange, trainingWith } from '../training.ts';

const share = z.number().min(0).max(1);
const greedy = { temperature: 0, maxTokens: 256 };
/** A base model goes on with the next question by itself. */
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
    clusters: z.int().min(1).default(200).describe('Of k-means over what was found; at most as many as there are records.'),
    share: share.default(0.05).describe('Of each cluster, those whose reconstruction lies farthest away.'),
    together: z.boolean().default(false).describe('Questions and answers in the same clusters, not each in their own.'),
    maxTokens: z.int().min(1).default(512).describe('Of a text that is embedded.'),
  })
  .describe('The cycle-consistency filter.');

const prompts = z.strictObject({
  answer: registered.default('cycle-instruct.answer'),
  ask: registered.default('cycle-instruct.ask'),
  baseAnswer: registered.default('cycle-instruct.baseAnswer').describe('Of the base, which has not been trained with any template yet.'),
  baseAsk: registered.default('cycle-instruct.baseAsk'),
  rewriteQuestion: registered.default('cycle-instruct.rewriteQuestion'),
  rewriteAnswer: registered.default('cycle-instruct.rewriteAnswer'),
});

const parameters = z.strictObject({
  rounds: z.int().min(1).max(1000).default(2).describe('In each, both models are trained.'),
  order: z
    .enum(['gauss-seidel', 'jacobi'])
    .default('gauss-seidel')
    .describe(
      'Whether A2Q asks as it was trained in this round, as in the paper; or both models speak as they were, at once: half the time, another method.',
    ),
  from: z.enum(['previous', 'base']).default('previous').describe('Where the trainings of a round begin.'),
  breakSeed: z.int().default(0).describe('Seed of the lots by which one side of each of `pairs` goes.'),
  split: z.enum(['paragraphs', 'none']).default('paragraphs').describe('`none`: a document is one passage, as a turn of a dialogue is.'),
  shortest: z.int().min(1).default(10).describe('Characters, a Han, Kana or Hangul one counted twice; shorter passages are dropped.'),
  rewrite: z
    .boolean()
    .default(false)
    .describe(
      'Models are shown each passage written anew, as a question or an answer that stands by itself. What is learnt stays as it was found.',
    ),
  minimum: z.int().min(1).default(100).describe('Questions, and answers; with fewer of either the experiment waits for a person.'),
  stop: z
    .strictObject({
      copies: share.default(0.5).describe('Or more of the questions, or of the answers, of a round copy what they were written for.'),
      distinct: share.default(0).describe('Or less of their word pairs are distinct.'),
    })
    .prefault({})
    .describe('No further round where this is so.'),
  finalData: z
    .enum(['anew', 'last'])
    .default('anew')
    .describe('Whether the last models label all once more for the final data, or the labels of the last round are it.'),
  finalFrom: z.enum(['base', 'previous']).default('base').describe('Where the model begins that is handed over.'),
  filter: filter.nullable().prefault({}),
  arms: z
    .array(z.enum(['unfiltered', 'generated']))
    .default([])
    .describe(
      '`unfiltered` is trained on all final pairs. `generated` is the control: its models learn what was generated, given what was found.',
    ),
  sampling: z
    .strictObject({
      rewrite: sampling.default({ ...greedy, stop: headers }),
      base: sampling.default({ ...greedy, stop: headers }).describe('Of the base in the first round.'),
      generate: sampling.default(greedy),
    })
    .prefault({}),
  sft: sft.prefault({}).describe('Of every model.'),
  finalSft: trainingChange.default({}).describe('What differs from `sft` in the model that is handed over.'),
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
