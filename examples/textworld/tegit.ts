// Defines the text world for TeGit: passages of several facts and clutter, whose first sentence makes a task: `textworld-tegit.documents`,
// `textworld-tegit.meta`, `textworld-tegit.wrapping` and so on.
import { z } from 'zod';
import { dataSuite, prompt, source, template, type Chat, type Message } from '../../recipe/index.ts';
import { marked } from '../../operators/tegit/parse.ts';
import type { Grounded, Source, Task } from '../../operators/tegit/records.ts';
import { createDatasets } from './datasets.ts';
import { forms } from './forms.ts';
import { advert } from './interviews.ts';
import { scorePairs } from './oracle.ts';
import { interviewTopics, systemTurns } from './pretraining.ts';
import { seededRandom, type Random } from './random.ts';
import { World, type Meaning, type Topic } from './world.ts';

export const namespace = 'textworld-tegit';

const world = new World(0);
const dataParams = z.strictObject({ seed: z.int().min(0), size: z.enum(['full', 'miniature']).default('full') });
type DataParams = z.infer<typeof dataParams>;

/** One fact in a form, then one or two plain sentences about other things, and usually an advert. */
function passage(random: Random, answer: string, others: readonly Topic[]): string {
  const plain = () => world.answer(random, { ...random.pick(others), form: 'plain' });
  const clutter = [plain(), ...(random.next() < 0.5 ? [plain()] : []), ...(random.next() < 0.8 ? [advert(plain())] : [])];
  return [answer, ...random.shuffle(clutter)].join(' ');
}

/** A passage for each of 864 facts, its own first. */
export const documents = source({
  version: 1,
  output: z.strictObject({ text: z.string() }),
  params: dataParams,
  rows({ seed, size }) {
    const random = seededRandom(`tegit ${seed}`);
    const { topics } = createDatasets(world, seed, size);
    return random
      .shuffle(topics)
      .map((topic) => ({ text: passage(random, world.answer(random, { ...topic, form: random.pick(forms) }), topics) }));
  },
});

/** Passages about labelled and interviewed things, each with its task: a question about the first fact, and only that fact as output. */
export const meta = source({
  version: 1,
  output: z.strictObject({ text: z.string(), instruction: z.string(), input: z.string(), output: z.string() }),
  params: dataParams,
  rows({ seed, size }) {
    const random = seededRandom(`tegit meta ${seed}`);
    const labelled = createDatasets(world, seed, size).seed.flatMap(({ response }) => world.parseAnswer(response) ?? []);
    const known: Topic[] = [...interviewTopics(world), ...labelled].map(({ thing, relation }) => ({ thing, relation }));
    return Array.from({ length: size === 'full' ? 1000 : 24 }, () => {
      const meaning: Meaning = { ...random.pick(known), form: random.pick(forms) };
      const output = world.answer(random, meaning);
      return { text: passage(random, output, known), instruction: world.ask(random, meaning), input: '', output };
    });
  },
});

const turns = (system: string, user: string): Message[] => [
  { role: 'system', content: system },
  { role: 'user', content: user },
];
const learnt = (asked: readonly Message[], content: string): Chat => ({ messages: [...asked, { role: 'assistant', content }] });

export const wrapping = prompt<Source>({
  version: 1,
  template: 'textworld-tegit.toTask',
  render: ({ text }) => ({ messages: turns(systemTurns.ask, text) }),
});
export const toTask = template<Task, Chat>({
  version: 1,
  render: (task) => learnt(turns(systemTurns.ask, task.text), marked(task)),
});
export const toOutput = template<Task, Chat>({
  version: 1,
  render: ({ instruction, output }) => learnt(turns(systemTurns.answer, instruction), output),
});
export const toText = template<Task, Chat>({
  version: 1,
  render: ({ instruction, text }) => learnt(turns(systemTurns.answer, instruction), text),
});

/** Measures the quality of a set of tasks, as pairs of instruction and output, and of instruction and document. */
export const tasks = dataSuite({
  version: 1,
  oracle: true,
  params: dataParams,
  async measure(rows: AsyncIterable<{ readonly value: Grounded }>, { seed, size }: DataParams) {
    const all: Grounded[] = [];
    for await (const { value } of rows) all.push(value);
    const { topics } = createDatasets(world, seed, size);
    const of = (response: (task: Grounded) => string) =>
      scorePairs(
        world,
        all.map((task) => ({ instruction: task.instruction, response: response(task) })),
        topics,
      );
    const output = of((task) => task.output);
    const grounding = all.reduce((sum, task) => sum + task.grounding, 0) / Math.max(1, all.length);
    return { ...output, textPrecision: of((task) => task.text).keptPrecision, grounding };
  },
});
