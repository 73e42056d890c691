/** What an experiment file says of instruction back-and-forth translation. Defaults are the paper's (2408.04614, sections 2 and 3,
 *  appendix A) where it has them; what it takes over from Humpback has Humpback's. */
import { z } from 'zod';
import { registered, type RecipeSchema } from '../config.ts';
import { sampling } from '../sampling.ts';
import { trainingWith } from '../training.ts';
import { byScore, judge, seedTraining, unscaled } from './shared.ts';

export const arm = z.enum(['both', 'rewrite', 'filter', 'distil']);
export type Arm = z.output<typeof arm>;

const sampled = { temperature: 1, topP: 0.9, maxTokens: 512 };

const parameters = z
  .strictObject({
    split: z
      .string()
      .nullable()
      .default('head')
      .describe('Documents whose field `split` says another are dropped; documents without the field are taken. null: all are taken.'),
    maxChars: z
      .int()
      .min(1)
      .nullable()
      .default(null)
      .describe('Of a document. One that does not fit the context of a model with its prompt and reply is dropped in any case.'),
    judge,
    keep: z.union(byScore).default({ threshold: 5 }).describe('What the filter keeps of the judged pairs.'),
    arms: z
      .array(arm)
      .min(1)
      .refine((arms) => new Set(arms).size === arms.length, 'it names an arm twice')
      .default(['both'])
      .describe(
        'Students to train: on pairs that were kept and then rewritten (`both`), on any pairs rewritten (`rewrite`), on kept pairs as they are (`filter`), on kept instructions that the rewriter answers without the document (`distil`). The model of the first is handed over.',
      ),
    size: z
      .int()
      .min(1)
      .default(12_800)
      .describe('Pairs of an arm. All arms have equally many: where one has fewer, all have as many as it.'),
    minimum: z.int().min(1).default(100).describe('Pairs of an arm; with fewer the experiment waits for a person.'),
    attempts: z
      .strictObject({ judge: z.int().min(1).default(1), rewrite: z.int().min(1).default(2) })
      .prefault({})
      .describe('Samples of a judgement until one holds a rating, and of a rewritten response until one stands between its two markers.'),
    steps: z
      .array(z.int().min(1))
      .min(1)
      .refine((steps) => new Set(steps).size === steps.length, 'it holds a number twice')
      .default([600, 900, 1200])
      .describe('Lengths of training; each arm has a student of each, and all are kept.'),
    pickBest: z
      .string()
      .nullable()
      .default('winRate')
      .describe(
        'Metric of `evaluation.forward` and `evaluation.forwardWeb` whose highest value chooses among the students of an arm. It is a choice on a test set, and recorded as one. null: the student trained longest is handed over.',
      ),
    sampling: z
      .strictObject({
        backtranslate: sampling.default(sampled),
        judge: sampling.default(sampled),
        rewrite: sampling.default({ ...sampled, maxTokens: 1024 }).describe('And distil.'),
      })
      .prefault({}),
    seedSft: trainingWith(seedTraining).prefault({}).describe('Of the backward model and the scorer.'),
    sft: trainingWith({ learningRate: 1e-5, batch: 32, maxTokens: 2048, schedule: 'cosine', weightDecay: 0.1, dropout: 0.1 })
      .omit({ length: true })
      .prefault({})
      .describe('Of the students.'),
    templates: z
      .strictObject({
        toInstruction: registered.default('back-and-forth.toInstruction'),
        toResponse: registered.default('humpback.toResponse'),
      })
      .prefault({}),
    prompts: z
      .strictObject({
        backtranslate: registered.default('back-and-forth.backward'),
        judge: registered.default('humpback.curation'),
        respond: registered.default('back-and-forth.respond').describe('Of the likelihood judge.'),
        rewrite: registered.default('back-and-forth.rewriting'),
        distil: registered.default('back-and-forth.answering'),
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
