/** Parameters of the pre-training of a base model. */
import { z } from 'zod';
import type { RecipeSchema } from '../config.ts';
import { training, trainingChange } from '../training.ts';

const parameters = z.strictObject({
  lm: training.describe('Training on the rows of `text`.'),
  tailLm: trainingChange.default({}).describe('Differences from `lm` for the rows of `tail`.'),
  minimum: z.record(z.string(), z.number()).default({}).describe('Minimum of each metric of `evaluation.base` before the tail, by name.'),
});

export type PretrainParameters = z.output<typeof parameters>;

export const pretrain = {
  parameters,
  data: { text: 'required', tail: 'optional' },
  models: { base: 'required' },
  evaluation: ['base'],
  roles: ['model'],
} satisfies RecipeSchema;
