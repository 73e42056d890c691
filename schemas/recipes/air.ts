/** Parameters of AIR. Defaults come from its paper and code (2502.17787), those of the training from us. */
import { z } from 'zod';
import { promptName, registered, type RecipeSchema } from '../config.ts';
import { sampling } from '../sampling.ts';
import { training } from '../training.ts';
import { constraintType, constraintTypes } from './air-types.ts';
import { judgeCheck } from './shared.ts';

const count = z.int().min(1);
const range = (min: number, max: number) =>
  z
    .strictObject({ min: count.default(min), max: count.default(max) })
    .refine(({ min, max }) => min <= max, 'min is above max, so nothing would be kept')
    .prefault({});

export const documentQuality = z.strictObject({
  symbols: z.number().min(0).max(1).default(0.5).describe('Highest share of characters other than letters, digits and spaces.'),
  repeatedLines: z.number().min(0).max(1).default(0.1).describe('Highest share of lines that repeat an earlier one.'),
  run: count.default(10).describe('Maximum of equal characters in a row, without spaces.'),
});
export type DocumentQuality = z.output<typeof documentQuality>;

export const lengths = z.strictObject({
  instruction: range(3, 50).describe('Words of the initial instruction.'),
  constraint: range(3, 26),
  type: range(2, 6).describe("Words of a type's name, as the judge writes it."),
  merged: range(4, 149).describe('Words of the merged instruction.'),
  answer: count.default(3).describe('Minimum of words of an answer, and of a polished document.'),
  response: count.default(4).describe('Minimum of words of a final response.'),
});
export type Lengths = z.output<typeof lengths>;

const of = training.shape;
const sft = training.extend({
  learningRate: of.learningRate.default(1e-5),
  length: of.length.default({ epochs: 3 }),
  batch: of.batch.default(32),
  maxTokens: of.maxTokens.default(2048),
  schedule: of.schedule.unwrap().default('cosine'),
  warmup: of.warmup.unwrap().default(0.03),
});

const cool = { temperature: 0.2, topP: 0.9, maxTokens: 4096 };

const parameters = z
  .strictObject({
    words: range(50, 2048).describe('Words of a document.'),
    quality: documentQuality
      .nullable()
      .prefault({})
      .describe("Limits for symbols and repetitions in a document. null: no limits, as in the paper's code, where a flag cannot be set."),
    pick: count
      .nullable()
      .default(60_000)
      .describe('Number of documents, selected by farthest-first traversal of their embeddings. null: all.'),
    minScore: z.int().min(0).max(5).default(4).describe('Lowest score, of 5, with which an initial instruction is refined.'),
    iterations: z
      .int()
      .min(1)
      .max(50)
      .default(5)
      .describe('Maximum of refinements of an instruction, that is of constraints that the judge may add.'),
    types: z
      .array(constraintType)
      .min(1)
      .default([...constraintTypes])
      .describe('Types of constraints; a document gets each at most once.'),
    lengths: lengths.prefault({}).describe('Limits of lengths, in words.'),
    levels: z
      .array(count)
      .min(1)
      .default([5])
      .describe('Numbers of constraints: for each number a document yields one final instruction, if it has enough constraints.'),
    hardOnly: z
      .boolean()
      .default(false)
      .describe('Count only constraints that the student still misses after it has seen them: those that the checker scores below 3.'),
    shots: z.int().min(0).max(5).default(3).describe('Examples in the prompt of a merge.'),
    size: count.default(10_000).describe('Maximum of final instructions of a level, a random sample.'),
    minimum: count.default(100).describe('Minimum of final instructions; with fewer the experiment waits for a person.'),
    judgeCheck: judgeCheck.describe(
      'Measures how the guidance scores its instructions beside documents in the place of instructions. null: it is not measured.',
    ),
    arms: z
      .array(z.enum(['initial', 'document']))
      .default([])
      .describe(
        'Controls: `initial` learns the initial instructions of the same documents, without constraints; `document` learns the merged ones with the polished documents as answers, in place of the guidance.',
      ),
    sampling: z
      .strictObject({
        guidance: sampling.default(cool),
        student: sampling.default(cool),
        merge: sampling.default({ ...cool, maxTokens: 800 }),
      })
      .prefault({}),
    sft: sft.prefault({}),
    guidanceSft: sft.prefault({}).describe('Training of the guidance model, if there are `lessons`.'),
    templates: z
      .strictObject({
        toResponse: registered.default('air.toResponse'),
        toDocument: registered.default('air.toDocument'),
        toReply: registered.default('air.toReply'),
      })
      .prefault({}),
    prompts: z
      .strictObject({
        backtranslate: promptName.default('air.ask'),
        rate: promptName.default('air.appraise'),
        polish: promptName.default('air.polish'),
        answer: promptName.default('air.answer').describe('For the student.'),
        judge: promptName.default('air.judge'),
        compare: promptName.default('air.compare'),
        check: promptName.default('air.check'),
        merge: promptName.default('air.combine'),
        respond: promptName.default('air.answer').describe('For the guidance.'),
      })
      .prefault({}),
  })
  .refine(({ levels, iterations }) => levels.every((level) => level <= iterations), {
    path: ['levels'],
    error: 'no document has more constraints than `iterations`',
  });
export type AirParameters = z.output<typeof parameters>;

export const air = {
  parameters,
  data: { documents: 'required', lessons: 'optional' },
  models: { guidance: 'required', student: 'required', encoder: 'encoder' },
  evaluation: ['forward', 'data'],
  roles: ['guidance', 'student', 'model'],
} satisfies RecipeSchema;
