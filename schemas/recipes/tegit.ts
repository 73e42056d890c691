/** Parameters of TeGit, later DoG-Instruct (2309.05447). Formats follow its code; settings that we could not obtain are parameters with our
 *  defaults. */
import { z } from 'zod';
import { promptName, registered, type RecipeSchema } from '../config.ts';
import { sampling } from '../sampling.ts';
import { training, trainingChange } from '../training.ts';
import { judgeCheck } from './shared.ts';

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
    .describe('From this share of word 3-grams in common with the request on, a field counts as an echo of it.'),
  discriminate: z
    .boolean()
    .default(false)
    .describe('Let the model `discriminator`, by default the teacher, judge each task, and drop bad ones.'),
  judgeCheck: judgeCheck.describe(
    'Measures the discriminator on the tasks of the meta-set, each with its own output and with that of another task. null: it is not measured.',
  ),
  nearDuplicates: z
    .number()
    .gt(0)
    .max(1)
    .nullable()
    .default(0.7)
    .describe(
      'From this Jaccard index of word 3-grams on, an instruction counts as a repetition of an earlier one and its task is dropped. null: drop none.',
    ),
  minimum: z.int().min(1).default(100).describe('Minimum of tasks; with fewer the experiment waits for a person.'),
  arms: z
    .array(z.enum(['text']))
    .default([])
    .describe('Controls: `text` learns the same instructions with the whole document as output, as instruction back-translation does.'),
  sampling: z
    .strictObject({ design: sampling.default(greedy), wrap: sampling.default(greedy), discriminate: sampling.default(greedy) })
    .prefault({}),
  sft: sft.prefault({}).describe('Training of wrapper and student.'),
  wrapperSft: trainingChange.default({}).describe('Differences from `sft` for the wrapper.'),
  templates: z
    .strictObject({
      toTask: registered.default('tegit.toTask'),
      toOutput: registered.default('tegit.toOutput'),
      toText: registered.default('tegit.toText'),
    })
    .prefault({}),
  prompts: z
    .strictObject({
      design: promptName.default('tegit.design'),
      wrap: promptName.default('tegit.wrapping'),
      discriminate: promptName.default('tegit.discriminating'),
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
