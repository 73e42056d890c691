/** Parameters of Self-Lengthen. Defaults come from its code (2410.23933); where neither code nor abstract state one, from us. */
import { z } from 'zod';
import { promptName, registered, type RecipeSchema } from '../config.ts';
import { sampling } from '../sampling.ts';
import { trainingChange, trainingWith } from '../training.ts';

const count = z.int().min(1);
const share = z.number().min(0).max(1);
const range = (min: number, max: number) =>
  z
    .strictObject({ min: count.default(min), max: count.default(max) })
    .refine(({ min, max }) => min <= max, 'min is above max, so nothing would be kept')
    .prefault({});

export const lengthBias = z
  .strictObject({ scale: z.number().min(0).default(2), power: z.number().positive().default(3) })
  .describe(
    'Length-biased sampling: a text is kept with probability 1 - scale * rank^power. Its rank is 1 for the shortest of n texts, and 1/n for the longest. scale: 0 keeps all.',
  );
export type LengthBias = z.output<typeof lengthBias>;

export const repetition = z
  .strictObject({ english: count.default(10), chinese: count.default(13) })
  .describe('A text that repeats so many words in a row, or so many characters of Chinese, is rejected.');
export type Repetition = z.output<typeof repetition>;

export const extension = z.strictObject({
  iterations: count.max(50).default(3).describe('Two-stage extensions of a text in one attempt, each with two requests.'),
  gain: z.number().min(1).default(1.2).describe('An attempt succeeds if its text has more than so many times the words of its draft.'),
});
export type Extension = z.output<typeof extension>;

export const demands = z.strictObject({
  kinds: z
    .strictObject({ about: share.default(0.4), range: share.default(0.25), above: share.default(0.1), below: share.default(0.25) })
    .refine((kinds) => kinds.about + kinds.range + kinds.above + kinds.below > 0, 'at least one kind must be above 0')
    .prefault({})
    .describe('Probabilities of the kinds of a length demand, in relation to each other.'),
  coarse: share.default(0.2).describe('Share of the demands in multiples of 2,000 words; the others are in multiples of 1,000.'),
  spelled: share.default(0.5).describe('Share of the demands in Chinese whose numbers are spelled in Chinese numerals.'),
});
export type Demands = z.output<typeof demands>;

const sft = trainingWith({
  learningRate: 1e-4,
  length: { epochs: 4 },
  batch: 8,
  maxTokens: 16_384,
  lora: { rank: 8, alpha: 16 },
  adapter: 'continue',
  schedule: 'cosine',
  warmup: 0.1,
});

/** All weights: adapters of one model have the same base. */
const lessonSft = trainingWith({
  learningRate: 1e-5,
  length: { epochs: 3 },
  batch: 32,
  maxTokens: 2048,
  schedule: 'cosine',
  warmup: 0.1,
  lora: null,
});

/** For every request, the code has these and a shared list of stop strings. */
export const longSampling = { temperature: 0.7, topP: 0.8, topK: 20, repetitionPenalty: 1.1, maxTokens: 16_384 };
const long = { ...longSampling, stop: ['\n---', '\n\n\n'] };
const short = { ...long, maxTokens: 1024 };

const parameters = z.strictObject({
  rounds: z.int().min(1).max(1000).default(3).describe('Rounds; each trains both adapters further.'),
  perRound: count.default(5000).describe('Instructions that the base makes up in a round.'),
  collect: count.default(5000).describe('Instructions that it makes up after the last round.'),
  drafts: count.default(2).describe('Drafts of an instruction, each a task of its own.'),
  extensions: count.default(2).describe('Extensions of a draft, each a task of its own.'),
  attempts: z
    .strictObject({
      propose: count.default(10).describe('Each with two requests.'),
      write: count.default(20),
      extend: count.default(20).describe('Each with two requests for every iteration of `extension`.'),
      demand: count.default(3),
    })
    .prefault({})
    .describe('Maximum of fresh samples for a task, until one passes the checks.'),
  quorum: z
    .number()
    .gt(0)
    .max(1)
    .default(0.95)
    .describe(
      'Share of the drafts, and of the extensions, that a round waits for. The others are dropped as `straggler`; 1 waits for all.',
    ),
  instructionWords: range(4, 499).describe('Words of an instruction.'),
  repetition: repetition.prefault({}),
  extension: extension.prefault({}),
  lengthBias: lengthBias.prefault({}),
  keepLine: share
    .default(0.8)
    .describe('Probability that a line of the draft stays in the outline from which the extender learns to write.'),
  keepWords: range(2000, 7999).describe('Words of the texts of the final data.'),
  demands: demands.prefault({}).describe('How the final instructions demand a length.'),
  finalFrom: z.enum(['base', 'generator']).default('base').describe('Model from which the final training starts.'),
  minimum: count.default(100).describe('Minimum of texts of a round, and of the final data; with fewer the experiment waits for a person.'),
  sampling: z
    .strictObject({
      propose: sampling.default({ ...short, stop: [...short.stop, '\n4.'] }),
      judge: sampling.default(short),
      write: sampling.default(long),
      extend: sampling.default(long),
      demand: sampling.default(short),
    })
    .prefault({}),
  sft: sft.prefault({}),
  baseSft: lessonSft.prefault({}).describe('Training of the base, if there are `lessons`; without an adapter.'),
  arms: z
    .array(z.enum(['unextended']))
    .default([])
    .describe('Controls: the generator of `unextended` learns its own drafts in every round, and nothing extends them.'),
  finalSft: trainingChange.default({}).describe('Differences from `sft` for the final model.'),
  templates: z
    .strictObject({
      toText: registered.default('self-lengthen.toText'),
      toLonger: registered.default('self-lengthen.toLonger'),
      toReply: registered.default('self-lengthen.toReply'),
    })
    .prefault({}),
  prompts: z
    .strictObject({
      propose: promptName.default('self-lengthen.invent'),
      judge: promptName.default('self-lengthen.suits'),
      write: promptName.default('self-lengthen.answer').describe('Has the wording of the template `toText`.'),
      extend: promptName.default('self-lengthen.enrich').describe('Has the wording of the template `toLonger`.'),
      demand: promptName.default('self-lengthen.restate'),
    })
    .prefault({}),
});
export type SelfLengthenParameters = z.output<typeof parameters>;

export const selfLengthen = {
  parameters,
  data: { seeds: 'required', lessons: 'optional' },
  models: { base: 'required' },
  evaluation: ['length', 'quality', 'data'],
  roles: ['writer', 'generator', 'extender', 'model'],
} satisfies RecipeSchema;
