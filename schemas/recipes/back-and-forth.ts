/** Parameters of instruction back-and-forth translation. Defaults come from the paper (2408.04614, sections 2 and 3, appendix A), or from
 *  Humpback for the parts that the paper takes from it. */
import { z } from 'zod';
import { promptName, registered, type RecipeSchema } from '../config.ts';
import { sampling } from '../sampling.ts';
import { trainingWith } from '../training.ts';
import { byScore, judge, judgeCheck, seedTraining, unscaled } from './shared.ts';

export const arm = z.enum(['both', 'rewrite', 'filter', 'distil']);
export type Arm = z.output<typeof arm>;

const sampled = { temperature: 1, topP: 0.9, maxTokens: 512 };

const parameters = z
  .strictObject({
    split: z
      .string()
      .nullable()
      .default('head')
      .describe('Drop documents whose field `split` has another value. Documents without the field stay. null: keep all.'),
    maxChars: z
      .int()
      .min(1)
      .nullable()
      .default(null)
      .describe('Length of a document. One that does not fit the context of a model with its prompt and reply is dropped in any case.'),
    judge,
    keep: z.union(byScore).default({ threshold: 5 }).describe('What the filter keeps of the judged pairs.'),
    judgeCheck,
    arms: z
      .array(arm)
      .min(1)
      .refine((arms) => new Set(arms).size === arms.length, 'it names an arm twice')
      .default(['both'])
      .describe(
        'Students to train: on kept and rewritten pairs (`both`), on rewritten pairs without the filter (`rewrite`), on kept pairs as they are (`filter`), on kept instructions that the rewriter answers without the document (`distil`). The student of the first arm is the result.',
      ),
    size: z.int().min(1).default(12_800).describe('Pairs of an arm. If one arm has fewer, all arms get as many as it has.'),
    minimum: z.int().min(1).default(100).describe('Minimum of pairs of an arm; with fewer the experiment waits for a person.'),
    attempts: z
      .strictObject({ judge: z.int().min(1).default(1), rewrite: z.int().min(1).default(2) })
      .prefault({})
      .describe(
        'Maximum of samples of a judgement, until one has a rating, and of a rewritten response, until one stands between its two markers.',
      ),
    steps: z
      .array(z.int().min(1))
      .min(1)
      .refine((steps) => new Set(steps).size === steps.length, 'it holds a number twice')
      .default([600, 900, 1200])
      .describe('Lengths of training, in steps. Each arm trains a student of each length, and all students are kept.'),
    pickBest: z
      .string()
      .nullable()
      .default('winRate')
      .describe(
        'Metric of `evaluation.forward` and `evaluation.forwardWeb` whose highest value chooses among the students of an arm. This is a choice on a test set, and recorded as one. null: the student with the longest training is the result.',
      ),
    sampling: z
      .strictObject({
        backtranslate: sampling.default(sampled),
        judge: sampling.default(sampled),
        rewrite: sampling.default({ ...sampled, maxTokens: 1024 }).describe('Also for distil.'),
      })
      .prefault({}),
    seedSft: trainingWith(seedTraining).prefault({}).describe('Training of the backward model and the scorer.'),
    sft: trainingWith({ learningRate: 1e-5, batch: 32, maxTokens: 2048, schedule: 'cosine', weightDecay: 0.1, dropout: 0.1 })
      .omit({ length: true })
      .prefault({})
      .describe('Training of the students.'),
    templates: z
      .strictObject({
        toInstruction: registered.default('back-and-forth.toInstruction'),
        toResponse: registered.default('humpback.toResponse'),
      })
      .prefault({}),
    prompts: z
      .strictObject({
        backtranslate: promptName.default('back-and-forth.backward'),
        judge: promptName.default('humpback.curation'),
        respond: promptName.default('back-and-forth.respond').describe('For the likelihood judge.'),
        rewrite: promptName.default('back-and-forth.rewriting'),
        distil: promptName.default('back-and-forth.answering'),
      })
      .prefault({}),
  })
  .refine(({ judge, keep }) => judge !== 'likelihood' || 'share' in keep, unscaled);

export type BackAndForthParameters = z.output<typeof parameters>;

export const backAndForth = {
  parameters,
  data: { seed: 'required', documents: 'required' },
  models: { base: 'required', student: 'optional', rewriter: 'required' },
  evaluation: ['forward', 'forwardWeb', 'backward', 'pairs'],
  roles: ['backward', 'scorer', 'rewriter', 'model'],
} satisfies RecipeSchema;
