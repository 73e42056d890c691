// Defines the text world for Back-and-Forth: drafts that state more than anybody asks for, among adverts; and what a rewriter of another
// lineage has learnt: `textworld-back-and-forth.documents`, `textworld-back-and-forth.lessons` and so on.
import { z } from 'zod';
import { prompt, source, type Message } from '../../recipe/index.ts';
import { markers } from '../../operators/back-and-forth/parse.ts';
import { createDatasets } from './datasets.ts';
import { drafts, rewriting } from './drafts.ts';
import { forms } from './forms.ts';
import { advert, answerFirst, type Pair } from './interviews.ts';
import { conversation, interviewTopics, learnt, pretrainingText, systemTurns } from './pretraining.ts';
import { seededRandom } from './random.ts';
import { World } from './world.ts';

export const namespace = 'textworld-back-and-forth';

const world = new World(0);
const seed = z.int().min(0);
const dataParams = z.strictObject({ seed, size: z.enum(['full', 'miniature']).default('full') });
const textSchema = z.strictObject({ text: z.string() });

/** A draft about each of 864 facts, and half as many adverts. */
export const documents = source({
  version: 1,
  output: textSchema,
  params: dataParams,
  rows({ seed, size }) {
    const random = seededRandom(`back and forth ${seed}`);
    const { corpus, topics } = createDatasets(world, seed, size);
    const adverts = random
      .shuffle(topics)
      .slice(0, topics.length / 2)
      .map((topic) => advert(world.answer(random, { ...topic, form: 'plain' })));
    return random.shuffle([...drafts(world, random, corpus), ...adverts]).map((text) => ({ text }));
  },
});

// ─────────────────────────────────────────── the rewriter ───────────────────────────────────────────

const turns = (system: string, user: string): Message[] => [
  { role: 'system', content: system },
  { role: 'user', content: user },
];
const requests = {
  rewrite: (pair: Pair) => turns('Write.', answerFirst(pair)),
  distil: ({ instruction }: Pick<Pair, 'instruction'>) => turns(systemTurns.answer, instruction),
};
export const rewrite = prompt<Pair>({ version: 1, render: (pair) => ({ messages: requests.rewrite(pair) }) });
export const distil = prompt<Pick<Pair, 'instruction'>>({ version: 1, render: (asked) => ({ messages: requests.distil(asked) }) });

/** The rewriter's training text: conversations in which drafts of any thing become answers, some answers about interviewed things, and
 *  ordinary text. */
export const lessons = source({
  version: 1,
  output: learnt,
  params: z.strictObject({ seed, rewritings: z.int().min(0), answers: z.int().min(0), ordinary: z.int().min(0) }),
  rows(params) {
    const random = seededRandom(`back and forth lessons ${params.seed}`);
    const times = (count: number, make: () => ReturnType<typeof conversation>) => Array.from({ length: count }, make);
    const told = ([system, user]: Message[], reply: string) => conversation(system!.content, user!.content, reply);
    return random.shuffle([
      ...times(params.rewritings, () => {
        const { instruction, draft, answer } = rewriting(world, random, random.pick(world.things).name);
        return told(requests.rewrite({ instruction, response: draft }), `${markers.open} ${answer} ${markers.close}`);
      }),
      ...times(params.answers, () => {
        const meaning = { ...random.pick(interviewTopics(world)), form: random.pick(forms) };
        return told(requests.distil({ instruction: world.ask(random, meaning) }), world.answer(random, meaning));
      }),
      ...pretrainingText(world, params.seed, 1)
        .slice(0, params.ordinary)
        .map((text) => ({ text })),
    ]);
  },
});
