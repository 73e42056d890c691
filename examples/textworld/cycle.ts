// Defines the text world for Cycle-Instruct: unpaired questions and answers: `textworld-cycle.texts`, `textworld-cycle.toAnswer` and so
// on.
import { z } from 'zod';
import { dataSuite, keep, operator, prompt, source, suite, template, type Chat, type Message } from '../../recipe/index.ts';
import { createDatasets, type Datasets } from './datasets.ts';
import { forms } from './forms.ts';
import { isAdvert, type Pair } from './interviews.ts';
import { scoreBackward, scoreForward, scorePairs } from './oracle.ts';
import { systemTurns } from './pretraining.ts';
import { seededRandom } from './random.ts';
import { World } from './world.ts';

export const namespace = 'textworld-cycle';

const world = new World(0);
const textSchema = z.strictObject({ text: z.string() });
const dataParams = z.strictObject({ seed: z.int().min(0), size: z.enum(['full', 'miniature']).default('full') });
type DataParams = z.infer<typeof dataParams>;
const datasets = ({ seed, size }: DataParams): Datasets => createDatasets(world, seed, size);

/** A true answer and a question for every fact: 864 of each, each in a form of its own, shuffled. */
export const texts = source({
  version: 1,
  output: textSchema,
  params: dataParams,
  rows(params) {
    const random = seededRandom(`cycle ${params.seed}`);
    const { corpus, topics } = datasets(params);
    const questions = topics.map((topic) => world.ask(random, { ...topic, form: random.pick(forms) }));
    return random.shuffle([...questions, ...corpus.filter((text) => !isAdvert(text))]).map((text) => ({ text }));
  },
});

interface Question {
  readonly question: string;
}
interface Answer {
  readonly answer: string;
}
const turns = (system: string, user: string): Message[] => [
  { role: 'system', content: system },
  { role: 'user', content: user },
];
const learnt = (asked: Message[], content: string): Chat => ({ messages: [...asked, { role: 'assistant', content }] });

export const answer = prompt<Question>({
  version: 1,
  template: 'textworld-cycle.toAnswer',
  render: ({ question }) => ({ messages: turns(systemTurns.answer, question) }),
});
export const ask = prompt<Answer>({
  version: 1,
  template: 'textworld-cycle.toQuestion',
  render: ({ answer }) => ({ messages: turns(systemTurns.ask, answer) }),
});
/** In the format of the base's pre-training interviews. */
export const baseAnswer = prompt<Question>({ version: 1, render: ({ question }) => ({ text: `Question: ${question} Answer:` }) });
export const baseAsk = prompt<Answer>({ version: 1, render: ({ answer }) => ({ text: `Answer: ${answer} Question:` }) });

export const toAnswer = template<Question & Answer, Chat>({
  version: 1,
  render: ({ question, answer }) => learnt(turns(systemTurns.answer, question), answer),
});
export const toQuestion = template<Question & Answer, Chat>({
  version: 1,
  render: ({ question, answer }) => learnt(turns(systemTurns.ask, answer), question),
});

type Item = z.infer<typeof textSchema>;
/** Completes the item greedily with a base model. */
const completing = (text: (item: string) => string) =>
  operator({
    version: 1,
    input: textSchema,
    output: textSchema,
    params: dataParams,
    roles: ['model'],
    capabilities: ['complete'],
    stochastic: () => false,
    async run(item: Item, { complete }) {
      return keep({ text: (await complete('model', { text: text(item.text) }, { temperature: 0, maxTokens: 40 })).text.trim() });
    },
  });

/** Measures whether a base answers instructions correctly. */
export const baseForward = suite({
  version: 1,
  oracle: true,
  params: dataParams,
  items: (params) => datasets(params).forwardTests.map((text) => ({ text })),
  ask: completing((question) => `Question: ${question} Answer:`),
  measure: (answers) =>
    scoreForward(
      world,
      answers.map(({ item, answer }) => ({ instruction: item.text, response: answer?.text ?? '' })),
    ),
});

/** Measures whether a base asks the question of an answer. */
export const baseBackward = suite({
  version: 1,
  oracle: true,
  params: dataParams,
  items: (params) => datasets(params).backwardTests.map((text) => ({ text })),
  ask: completing((answer) => `Answer: ${answer} Question:`),
  measure: (answers) =>
    scoreBackward(
      world,
      answers.map(({ item, answer }) => ({ instruction: answer?.text ?? '', response: item.text })),
    ),
});

/** Measures the quality of a dataset of pairs. */
export const pairs = dataSuite({
  version: 1,
  oracle: true,
  params: dataParams,
  async measure(rows: AsyncIterable<{ readonly value: Question & Answer }>, params: DataParams) {
    const all: Pair[] = [];
    for await (const { value } of rows) all.push({ instruction: value.question, response: value.answer });
    return scorePairs(world, all, datasets(params).topics);
  },
});
