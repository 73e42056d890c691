/** What an experiment file says of the making of a base model. */
import { z } from 'zod';
import type { RecipeSchema } from '../config.ts';
import { training } from '../training.ts';

const parameters = z.strictObject({
  lm: training.describe('On the rows of `text`.'),
  tail: training.exactOptional().describe('Afterwards, on the rows of `tail`.'),
  minimum: z.record(z.string(), z.number()).default({}).describe('Metrics of `evaluation.base` that the model must reach before the tail.'),
});

export type PretrainParameters = z.output<typeof parameters>;

export const pretrain = {
  parameters,
  data: { text: 'required', tail: 'optional' },
  models: { base: 'required' },
  evaluation: ['base'],
} satisfies RecipeSchema;
