/** Parameters that several recipes share. */
import { z } from 'zod';
import type { trainingWith } from '../training.ts';

export const nearDuplicates = z
  .number()
  .positive()
  .max(1)
  .nullable()
  .default(null)
  .describe('From this Jaccard index of word 3-grams on, a text counts as a repetition of an earlier one and is dropped. null: drop none.');

/** Nucleus sampling as in Humpback (2308.06259, 3.1); also used where other papers state none. */
export const nucleus = { temperature: 0.7, topP: 0.9, maxTokens: 512 };

/** How a judge rates a pair: as in Humpback (2308.06259, 2.3), or a substitute for models too small to rate. */
export const judge = z
  .enum(['rating', 'expected', 'likelihood'])
  .default('rating')
  .describe(
    "The score of a pair: the rating that the scorer writes; the mean rating under the scorer's probabilities; or nats per token of the response after the instruction.",
  );
/** Which judged pairs to keep, by their scores. */
export const byScore = [
  z.strictObject({ threshold: z.number().describe('Lowest kept score.') }),
  z.strictObject({ share: z.number().positive().max(1).describe('Kept share of the rated pairs, highest scores first.') }),
] as const;
export const unscaled = { path: ['keep'], error: 'a likelihood has no scale of its own: say keep: { share: ... }' };

/** How a judge is measured before it is trusted. */
export const judgeCheck = z
  .strictObject({
    pairs: z.int().min(2).max(1000).default(64).describe('Pairs to judge, each once as it is and once with the response of another pair.'),
    minAuc: z
      .number()
      .min(0.5)
      .max(1)
      .default(0.7)
      .describe('Lowest AUC of a judge that tells them apart. Below it `status`, `watch` and the Temporal UI say so. 0.5 is chance.'),
    gate: z.boolean().default(false).describe('Below `minAuc` the experiment waits for a person, before the judge judges anything else.'),
  })
  .nullable()
  .prefault({})
  .describe('Measures every judge on pairs whose parts belong together and on pairs whose parts do not. null: no judge is measured.');
export type JudgeCheck = z.output<typeof judgeCheck>;

/** Training on a few hundred to about ten thousand pairs as in Humpback (2308.06259, 3.2, appendix B). */
export const seedTraining = {
  learningRate: { from: 1e-5, to: 9e-6 },
  length: {
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
  },
  batch: {
    byRows: [
      [0, 8],
      [3000, 32],
    ],
  },
  maxTokens: 2048,
  weightDecay: 0.1,
  dropout: 0.1,
} satisfies Parameters<typeof trainingWith>[0];
