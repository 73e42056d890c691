/** What an experiment file says of TeGit, later DoG-Instruct (2309.05447). Formats are its code's; what could not be had is a parameter, and
 *  its default ours. */
import { z } from 'zod';
import { registered, type RecipeSchema } from '../config.ts';
import { sampling } from '../sampling.ts';
import { training, trainingChange } from '../training.ts';

const of = training.shape;
const sft = training.extend({
  learningRate: of.learningRate.default(1e-4),
  length: of.length.default({ epochs: 3 }),
  batch: of.batch.default(32),
  maxTokens: of.maxTokens.default(2048),
  lora: of.lora.default({ rank: 8, alpha: 16 }),
  schedule: of.schedule.unwrap().default('cosine'),
  warmup: of.warmup.unwrap().default(0.03),
});

const greedy = { temperature: 0, maxTokens: 1024 };

const parameters = z.strictObject({
  echo: z
    .number()
    .gt(0)
    .max(1)
    .default(0.8)
    .describe('Share of the word 3-grams of a field that the request itself holds, from which the field is an echo of it.'),
  discriminate: z
    .boolean()
    .default(false)
    .describe('A model judges whether each task is sound, and those that are not go: `discriminator`, by default the teacher.'),
  nearDuplicates: z
    .number()
    .gt(0)
    .max(1)
    .nullable()
    .default(0.7)
    .describe('Jaccard index of word 3-grams from which an instruction repeats an earlier one and its task goes; null: none goes.'),
  minimum: z.int().min(1).default(100).describe('Tasks; with fewer the experiment waits for a person.'),
  arms: z
    .array(z.enum(['text']))
    .default([])
    .describe('Controls: `text` learns the same instructions with the whole document as output, as instruction back-translation does.'),
  sampling: z
    .strictObject({ design: sampling.default(greedy), wrap: sampling.default(greedy), discriminate: sampling.default(greedy) })
    .prefault({}),
  sft: sft.prefault({}).describe('Of wrapper and student.'),
  wrapperSft: trainingChange.default({}).describe('What differs from `sft` in the wrapper.'),
  templates: z
    .strictObject({
      toTask: registered.default('tegit.toTask'),
      toOutput: registered.default('tegit.toOutput'),
      toText: registered.default('tegit.toText'),
    })
    .prefault({}),
  prompts: z
    .strictObject({
      design: registered.default('tegit.design'),
      wrap: registered.default('tegit.wrapping'),
      discriminate: registered.default('tegit.discriminating'),
    })
    .prefault({}),
});
export type TegitParameters = z.output<typeof parameters>;

export const tegit = {
  parameters,
  data: { documents: 'required', meta: 'either', metaDocuments: 'either' },
  models: { base: 'required', teacher: 'optional', discriminator: 'optional' },
  evaluation: ['forward', 'tasks'],
  roles: ['teacher', 'wrapper', 'discriminator', 'model'],
} satisfies RecipeSchema;
