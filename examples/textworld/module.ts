// Registers the text world for experiments: `textworld.seed`, `textworld.toResponse`, `textworld.forward` and so on.
import { z } from 'zod';
import { dataSuite, keep, operator, prompt, source, suite, template, type Chat, type Message, type Sampling } from '../../recipe/index.ts';
import { createDatasets, type Datasets } from './datasets.ts';
import { questionFirst, type Pair } from './interviews.ts';
import { isRight, scoreBackward, scoreForward, scorePairs } from './oracle.ts';
import { baseTests, conversation, learnt, pretrainingText, ratingText, replayPairs, systemTurns } from './pretraining.ts';
import { World } from './world.ts';

export const namespace = 'textworld';

const world = new World(0);
const pairSchema = z.strictObject({ instruction: z.string(), response: z.string() });
const textSchema = z.strictObject({ text: z.string() });
const seedSchema = z.int().min(0).describe('Seed of the choice of labelled things, and of every wording.');
const dataParams = z.strictObject({ seed: seedSchema, size: z.enum(['full', 'miniature']).default('full') });
type DataParams = z.infer<typeof dataParams>;
const datasets = ({ seed, size }: DataParams): Datasets => createDatasets(world, seed, size);

// ─────────────────────────────────────────── sources ───────────────────────────────────────────

/** Labelled pairs: 96, or 32 in the miniature. */
export const seed = source({ version: 1, output: pairSchema, params: dataParams, rows: (params) => datasets(params).seed });

/** The noisy corpus: 864 true answers among 1,296 adverts, or 16 among 24. */
export const corpus = source({
  version: 1,
  output: textSchema,
  params: dataParams,
  rows: (params) => datasets(params).corpus.map((text) => ({ text })),
});

/** Rated pairs for every training set, so that the model does not forget how to rate: prompts and replies. */
export const replay = source({
  version: 2,
  output: pairSchema,
  params: z.strictObject({ seed: seedSchema, count: z.int().min(2).default(240) }),
  rows: ({ seed, count }) =>
    replayPairs(world, seed, count).map((pair) => ({ instruction: questionFirst(pair), response: `Score: ${pair.rating}` })),
});

/** The base model's text. */
export const pretrain = source({
  version: 1,
  output: textSchema,
  params: z.strictObject({ seed: seedSchema, epochs: z.int().min(1) }),
  rows: ({ seed, epochs }) => pretrainingText(world, seed, epochs).map((text) => ({ text })),
});

/** Training data that teaches the base model to rate. */
export const ratings = source({
  version: 2,
  output: learnt,
  params: z.strictObject({ seed: seedSchema }),
  rows: ({ seed }) => ratingText(world, seed),
});

// ─────────────────────────────────────────── prompts and templates ───────────────────────────────────────────

const turns = (system: string, user: string): Message[] => [
  { role: 'system', content: system },
  { role: 'user', content: user },
];

/** Prompts the backward model for the instruction that a text answers. */
export const ask = prompt<{ readonly text: string }>({
  version: 1,
  template: 'textworld.toInstruction',
  render: ({ text }) => ({ messages: turns(systemTurns.ask, text) }),
});

/** Prompts the forward model with an instruction. */
export const answer = prompt<Pick<Pair, 'instruction'>>({
  version: 1,
  template: 'textworld.toResponse',
  render: ({ instruction }) => ({ messages: turns(systemTurns.answer, instruction) }),
});

/** Prompts the forward model to rate a pair. It replies as in the paper, `Score: n`. */
export const rate = prompt<Pair>({
  version: 1,
  template: 'textworld.toResponse',
  render: (pair) => ({ messages: turns(systemTurns.rate, questionFirst(pair)) }),
});

/** Response to instruction. */
export const toInstruction = template<Pair, Chat>({
  version: 1,
  render: ({ instruction, response }) => conversation(systemTurns.ask, response, instruction),
});

/** A rating is one token, an answer a dozen: with equal weights, ratings would hardly affect the loss. */
const ratingWeight = 8;

/** Instruction to response; a replayed rating has the system turn of its prompt. */
export const toResponse = template<Pair & { readonly part: string }, Chat>({
  version: 2,
  render: ({ instruction, response, part }) =>
    part === 'replay'
      ? { ...conversation(systemTurns.rate, instruction, response), weight: ratingWeight }
      : conversation(systemTurns.answer, instruction, response),
});

// ─────────────────────────────────────────── suites ───────────────────────────────────────────

const greedy: Sampling = { temperature: 0, maxTokens: 40 };
type Item = z.infer<typeof textSchema>;

/** Replies greedily to the item under a system turn. */
const reply = (system: string) =>
  operator({
    version: 1,
    input: textSchema,
    output: textSchema,
    params: dataParams,
    roles: ['model'],
    capabilities: ['chat'],
    stochastic: () => false,
    async run({ text }: Item, { chat }) {
      return keep({ text: (await chat('model', turns(system, text), greedy)).text.trim() });
    },
  });

interface Measured {
  readonly item: Item;
  readonly answer: Item | undefined;
}
const answered = ({ item, answer }: Measured): Pair => ({ instruction: item.text, response: answer?.text ?? '' });
const asked = ({ item, answer }: Measured): Pair => ({ instruction: answer?.text ?? '', response: item.text });

/** Measures whether a model answers instructions correctly. */
export const forward = suite({
  version: 1,
  oracle: true,
  params: dataParams,
  items: (params) => datasets(params).forwardTests.map((text) => ({ text })),
  ask: reply(systemTurns.answer),
  measure: (answers) => scoreForward(world, answers.map(answered)),
  each: (one) => ({ exact: isRight(world, answered(one)) }),
});

/** Measures whether a model asks the question of an answer. */
export const backward = suite({
  version: 1,
  oracle: true,
  params: dataParams,
  items: (params) => datasets(params).backwardTests.map((text) => ({ text })),
  ask: reply(systemTurns.ask),
  measure: (answers) => scoreBackward(world, answers.map(asked)),
  each: (one) => ({ exact: isRight(world, asked(one)) }),
});

/** Measures whether a base model has learnt from its text alone to ask about things without interviews. It runs before any recipe, so a
 *  gate may use it. */
export const base = suite({
  version: 1,
  params: z.strictObject({}),
  items: () => baseTests(world).map((text) => ({ text })),
  ask: operator({
    version: 1,
    input: textSchema,
    output: textSchema,
    roles: ['model'],
    capabilities: ['complete'],
    stochastic: () => false,
    async run({ text }: Item, { complete }) {
      return keep({ text: (await complete('model', { text: `Answer: ${text} Question:` }, greedy)).text.trim() });
    },
  }),
  measure: (answers) => ({ rawBackwardExact: scoreBackward(world, answers.map(asked)).backwardExact }),
});

/** Measures the quality of a dataset of pairs. */
export const pairs = dataSuite({
  version: 1,
  oracle: true,
  params: dataParams,
  async measure(rows: AsyncIterable<{ readonly value: Pair }>, params: DataParams) {
    const kept: Pair[] = [];
    for await (const { value } of rows) kept.push(value);
    return scorePairs(world, kept, datasets(params).topics);
  },
});
