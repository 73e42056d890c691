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
