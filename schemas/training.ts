/** Trainings in an experiment file: `Settings` of `recipe/api.ts` but for the objective, which the recipe gives. */
import { z } from 'zod';

const table = (value: string) => z.array(z.tuple([z.int().min(0), z.int().min(1)])).min(1).describe(`[rows, ${value}] pairs, by ascending rows.`);

export const training = z.strictObject({
  learningRate: z
    .union([z.number().positive(), z.strictObject({ from: z.number().positive(), to: z.number().min(0) })])
    .describe('At the first step after the warm-up, and at the last; a plain number decays to 0.'),
  length: z
    .union([
      z.strictObject({ epochs: z.number().positive() }),
      z.strictObject({ steps: z.int().min(1) }),
      z.strictObject({ stepsByRows: table('steps').describe('[rows, steps] pairs; the one nearest in ratio counts.') }),
    ])
    .describe('Of the training.'),
  batch: z
    .union([z.int().min(1), z.strictObject({ byRows: table('batch').describe('[rows, batch] pairs; the last that begins at or below counts.') })])
    .describe('Rows of a step.'),
  maxTokens: z.int().min(2).describe('Of a row.'),
  lora: z.null().default(null).describe('null trains all weights, which is all that this release can.'),
  adapter: z.enum(['continue', 'merge']).default('merge').describe('Of a model that is an adapter: train on in it, or merge it first.'),
  schedule: z.enum(['linear', 'cosine']).exactOptional().describe('Default: linear.'),
  warmup: z.number().min(0).max(1).exactOptional().describe('Share of the steps. Default: 0.'),
  weightDecay: z.number().min(0).exactOptional().describe('Default: 0.'),
  betas: z.tuple([z.number(), z.number()]).exactOptional().describe('Default: 0.9 and 0.999.'),
  clip: z.number().positive().exactOptional().describe('Norm that gradients are clipped to. Default: none.'),
  dropout: z.number().min(0).lt(1).exactOptional().describe('Default: 0.'),
  seed: z.int().min(0).exactOptional().describe("Default: the experiment's."),
  optimizer: z.enum(['adamw', 'muon']).exactOptional().describe('Default: adamw. muon is for language modelling.'),
});

/** What differs from another training. */
export const trainingChange = training.omit({ lora: true, adapter: true }).partial();
