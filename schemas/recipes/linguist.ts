/** Parameters of LINGUIST (2209.09900). We had its abstract and summaries: where these are silent, the defaults are ours. */
import { z } from 'zod';
import { promptName, registered, type RecipeSchema } from '../config.ts';
import { sampling } from '../sampling.ts';
import { taggerTrainingWith, trainingWith } from '../training.ts';

const count = z.int().min(1);
const share = z.number().min(0).max(1);
const text = z.string().min(1);

export const segmentation = z
  .record(text, z.enum(['space', 'word', 'grapheme']))
  .describe(
    'Language -> how its texts are split into words: at spaces, which is the default, or by the Unicode rules for words or for characters (UAX 29).',
  );
export type Segmentation = z.output<typeof segmentation>;

export const drilling = z.strictObject({
  wildcard: share.default(0.5).describe('Probability that a request leaves the value of a slot open.'),
  labelDropout: share.default(0.2).describe('Probability that the name of a slot type becomes a code of one to five letters.'),
});
export type Drilling = z.output<typeof drilling>;

export const fallback = z
  .enum(['drop', 'copy'])
  .describe('What becomes of an utterance of which no sample is left: nothing, or it enters once more in its own language.');
export type Fallback = z.output<typeof fallback>;

const projection = z
  .strictObject({
    from: text.default('en').describe('Language of the utterances that are projected, and of all examples.'),
    languages: z.array(text).min(1).describe('Languages of the generated utterances.'),
    samples: count.default(10).describe('Requests for each utterance in each language.'),
    fallback: fallback.default('drop'),
  })
  .refine(({ from, languages }) => new Set([from, ...languages]).size === 1 + languages.length, {
    path: ['languages'],
    error: 'a language is there twice, or is that of the given utterances',
  });

const generatorSft = trainingWith({
  learningRate: 1e-5,
  length: { epochs: 3 },
  batch: 32,
  maxTokens: 1024,
  schedule: 'cosine',
  warmup: 0.1,
});
const studentSft = taggerTrainingWith({ learningRate: 5e-5, length: { epochs: 20 }, batch: 32, maxTokens: 128, warmup: 0.1 });

const parameters = z
  .strictObject({
    intents: z
      .array(text)
      .default([])
      .describe('Novel intents (setting A). For each there is a generator that has learnt from all other intents.'),
    projection: projection.optional().describe('Projects utterances of one language into others (setting B), in place of `intents`.'),
    language: text.default('en').describe('Language of rows that name none.'),
    segmentation: segmentation.default({ ja: 'word', km: 'word', lo: 'word', my: 'word', th: 'word', zh: 'word' }),
    starters: count.default(10).describe('Utterances of a novel intent that are known.'),
    draws: count.default(3).describe('Random draws of starters, each with students of its own.'),
    students: count.default(3).describe('Trainings of each student, each with a seed of its own.'),
    ontology: z
      .record(text, z.array(text).min(1))
      .default({})
      .describe('Intent -> slot types that it can have. Default: those of its known utterances.'),
    examples: z
      .int()
      .min(0)
      .max(10)
      .default(10)
      .describe('Examples of a request at most. A request from which the generator learns has any number up to this one.'),
    drills: drilling.prefault({}).describe('How requests vary from which the generator learns.'),
    wildcard: share.default(0.5).describe('Probability that a request for a new utterance leaves the value of a slot open.'),
    samples: count.default(100).describe('Requests for each starter in a pass.'),
    target: count.default(500).describe('Accepted utterances for each draw of starters; further ones are left out.'),
    passes: count.default(3).describe('Passes over the starters at most, until `target` is reached.'),
    checkIntent: z
      .boolean()
      .default(false)
      .describe(
        'Rule V8: a first student, which has learnt no generated utterance, must take one for an utterance of its intent. Trains one more student for each draw.',
      ),
    upsample: count.default(10).describe('How often each starter is among the rows of a student.'),
    arms: z
      .array(z.enum(['none', 'upsampled', 'paraphrase']))
      .default([])
      .describe(
        'Controls: `none` has the starters once, `upsampled` as many rows of starters as `target` and `upsample` allow; `paraphrase` has paraphrases by a chat model in place of the generated utterances. With `projection` only `none`, without other languages.',
      ),
    sampling: z
      .strictObject({
        generate: sampling.default({ temperature: 0.3, topK: 50, maxTokens: 128 }),
        paraphrase: sampling.default({ temperature: 0.9, topP: 0.95, maxTokens: 128 }),
      })
      .prefault({}),
    generatorSft: generatorSft.prefault({}),
    studentSft: studentSft.prefault({}),
    template: registered.default('linguist.toUtterance'),
    prompts: z
      .strictObject({
        generate: promptName.default('linguist.request').describe('Has the wording of `template`.'),
        paraphrase: promptName.default('linguist.rewriting'),
      })
      .prefault({}),
  })
  .refine(({ intents, projection }) => intents.length > 0 !== (projection !== undefined), {
    path: ['intents'],
    error: 'give the novel `intents`, or a `projection`',
  })
  .refine(({ intents }) => new Set(intents).size === intents.length, { path: ['intents'], error: 'an intent is there twice' })
  .refine(({ arms, projection }) => projection === undefined || arms.every((arm) => arm === 'none'), {
    path: ['arms'],
    error: 'a `projection` has no starters, and so only the arm `none`',
  });
export type LinguistParameters = z.output<typeof parameters>;

export const linguist = {
  parameters,
  data: { train: 'required', test: 'required', parallel: 'optional' },
  models: { base: 'required', encoder: 'required-encoder', paraphraser: 'optional' },
  evaluation: [],
  roles: ['generator', 'paraphraser'],
  lacks: ({ projection }: LinguistParameters, data: readonly string[]) =>
    projection && !data.includes('parallel')
      ? [[['projection'], 'the generator learns to project from a corpus `parallel` under `data`; give one'] as const]
      : [],
} satisfies RecipeSchema;
