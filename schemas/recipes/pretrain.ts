/** What an experiment file says of the making of a base model. */
import { z } from 'zod';
import type { RecipeSchema } from '../config.ts';
import { training, trainingChange } from '../training.ts';

const parameters = z.strictObject({
  lm: training.describe('On the rows of `text`.'),
  tailLm: trainingChange.default({}).describe('What differs from `lm` on the rows of `tail`.'),
  minimum: z
    .record(z.string(), z.number())
    .default({})
    .describe('What the metrics of `evaluation.base` must reach before the tail, by name.'),
});

export type PretrainParameters = z.output<typeof parameters>;

export const pretrain = {
  parameters,
  data: { text: 'required', tail: 'optional' },
  models: { base: 'required' },
  evaluation: ['base'],
  roles: ['model'],
} satisfies RecipeSchema;
