// Defines the text world for Self-Lengthen: instructions to tell about a thing, short texts of true facts, and lessons that let a small model
// write, judge and extend them: `textworld-passages.seeds`, `textworld-passages.lessons`, `textworld-passages.tell` and so on.
import { z } from 'zod';
import { dataSuite, keep, operator, prompt, source, suite, template, type Chat, type Message } from '../../recipe/index.ts';
import { demandFor, lengthDemand, lengthScore, phraseOf } from '../../operators/self-lengthen/lengths.ts';
import type { Lesson, Piece, Thinned } from '../../operators/self-lengthen/records.ts';
import { countWords } from '../../operators/self-lengthen/text.ts';
import { demands } from '../../schemas/recipes/self-lengthen.ts';
import { createDatasets } from './datasets.ts';
import { interviewTopics } from './pretraining.ts';
import { seededRandom, type Random } from './random.ts';
import { topicKey, World, type Topic } from './world.ts';

export const namespace = 'textworld-passages';

const world = new World(0);
const dataParams = z.strictObject({ seed: z.int().min(0), size: z.enum(['full', 'miniature']).default('full') });
type DataParams = z.infer<typeof dataParams>;

// ─────────────────────────────────────────── instructions and texts ───────────────────────────────────────────

const openings = ['Tell me about', 'Write about', 'Say what you know about'];
const instructionFor = (random: Random, thing: string): string => `${random.pick(openings)} the ${world.kindOf(thing)} ${thing}.`;
const thingIn = (instruction: string): string | undefined => world.things.find(({ name }) => instruction.includes(name))?.name;

/** Each fact is a line. */
const textOf = (random: Random, topics: readonly Topic[]): string =>
  topics.map((topic) => world.answer(random, { ...topic, form: 'plain' })).join('\n');

/** Things about which the lessons have right texts: the labelled and the interviewed. */
function knownThings(seed: number, size: DataParams['size']): string[] {
  const labelled = createDatasets(world, seed, size).seed.flatMap(({ response }) => world.parseAnswer(response)?.thing ?? []);
  return [...new Set([...interviewTopics(world).map(({ thing }) => thing), ...labelled])];
}

/** Instructions of the kind that the base makes up, about things that no lesson tells about. */
export const seeds = source({
  version: 1,
  output: z.strictObject({ instruction: z.string() }),
  params: dataParams,
  rows({ seed, size }) {
    const random = seededRandom(`passages ${seed}`);
    const things = random.shuffle(toldThings(seed, size)).slice(0, size === 'full' ? 60 : 6);
    return things.map((thing) => ({ instruction: instructionFor(random, thing) }));
  },
});
const toldThings = (seed: number, size: DataParams['size']): string[] => {
  const known = new Set(knownThings(seed, size));
  return world.things.flatMap(({ name }) => (known.has(name) ? [] : name));
};

// ─────────────────────────────────────────── prompts ───────────────────────────────────────────

const turns = (task: string, user: string): Message[] => [
  { role: 'system', content: task },
  { role: 'user', content: user },
];
const learnt = (asked: readonly Message[], content: string): Chat => ({ messages: [...asked, { role: 'assistant', content }] });
const listed = (examples: readonly string[]): string => examples.map((example, at) => `${at + 1}. ${example}`).join('\n');

const inventing = (examples: readonly string[]) => turns('Invent.', listed(examples));
const judging = (instruction: string) => turns('Judge.', instruction);
const telling = (instruction: string) => turns('Tell.', instruction);
const extending = ({ instruction, outline }: Pick<Thinned, 'instruction' | 'outline'>) => turns('Extend.', `${instruction}\n${outline}`);
const demanding = (instruction: string, phrase: string) => turns('Demand.', `${instruction}\n${phrase}`);

export const invent = prompt<{ readonly examples: readonly string[] }>({
  version: 1,
  render: ({ examples }) => ({ messages: inventing(examples) }),
});
export const suits = prompt<{ readonly instruction: string }>({
  version: 1,
  render: ({ instruction }) => ({ messages: judging(instruction) }),
});
export const tell = prompt<{ readonly instruction: string }>({
  version: 1,
  render: ({ instruction }) => ({ messages: telling(instruction) }),
});
export const extend = prompt<Pick<Thinned, 'instruction' | 'outline'>>({
  version: 1,
  render: (slots) => ({ messages: extending(slots) }),
});
export const restate = prompt<{ readonly instruction: string; readonly phrase: string }>({
  version: 1,
  render: ({ instruction, phrase }) => ({ messages: demanding(instruction, phrase) }),
});

export const toText = template<Piece, Chat>({ version: 1, render: ({ instruction, text }) => learnt(telling(instruction), text) });
export const toLonger = template<Thinned, Chat>({ version: 1, render: (record) => learnt(extending(record), record.text) });
/** The loss is on the reply; the first line of the prompt is the system turn. */
export const toReply = template<Lesson, Chat>({
  version: 1,
  render({ prompt, reply }) {
    const [task = '', ...rest] = prompt.split('\n');
    return learnt(turns(task, rest.join('\n')), reply);
  },
});

// ─────────────────────────────────────────── lessons ───────────────────────────────────────────

/** Lessons of each task. */
const counts = { invent: 150, judge: 100, tell: 500, extend: 800, demand: 200 } as const;

/** What the base must be able to do before the first round. It tells one fact, but can add one to a text of up to three. Facts are about
 *  labelled and interviewed things only; the other lessons need no knowledge, and are about any thing. */
export const lessons = source({
  version: 1,
  output: z.strictObject({ prompt: z.string(), reply: z.string() }),
  params: dataParams,
  rows({ seed, size }) {
    const random = seededRandom(`passages lessons ${seed}`);
    const share = size === 'full' ? 1 : 0.02;
    const known = knownThings(seed, size);
    const times = (count: number, make: () => Lesson) => Array.from({ length: Math.ceil(count * share) }, make);
    const any = () => random.pick(world.things).name;
    const wide = () => instructionFor(random, any());
    const narrow = () => world.ask(random, { ...random.pick(world.topicsOf(any())), form: 'plain' });
    const facts = (thing: string, count: number) => random.shuffle(world.topicsOf(thing)).slice(0, count);
    return random.shuffle([
      ...times(counts.invent, () => lesson(inventing([wide(), wide()]), random.next() < 0.15 ? narrow() : wide())),
      ...times(counts.judge, () => (random.next() < 0.5 ? lesson(judging(wide()), 'yes') : lesson(judging(narrow()), 'no'))),
      ...times(counts.tell, () => {
        const thing = random.pick(known);
        return lesson(telling(instructionFor(random, thing)), textOf(random, facts(thing, 1)));
      }),
      ...times(counts.extend, () => {
        const thing = random.pick(known);
        const text = facts(thing, random.pick([2, 3, 4]));
        const added = random.pick(text);
        const outline = textOf(
          random,
          text.filter((fact) => fact !== added),
        );
        return lesson(extending({ instruction: instructionFor(random, thing), outline }), textOf(random, text));
      }),
      ...times(counts.demand, () => {
        const bare = wide();
        const { phrase } = phraseOf(drawDemand(random), 'english');
        return lesson(demanding(bare, phrase), demandedBy(bare, phrase));
      }),
    ]);
  },
});
const lesson = (asked: readonly Message[], reply: string): Lesson => ({ prompt: asked.map(({ content }) => content).join('\n'), reply });
const drawDemand = (random: Random) => demandFor(6 + random.below(24), demands.parse({}), random.next); // words of one to four facts
const demandedBy = (instruction: string, phrase: string): string => instruction.replace(/\.$/, ` in ${phrase}.`);

// ─────────────────────────────────────────── what came of it ───────────────────────────────────────────

interface Told {
  readonly words: number;
  /** Different true facts about the thing of the instruction. */
  readonly facts: number;
  readonly lines: number;
  /** Lines with a true fact about this thing. */
  readonly right: number;
}
function judge(instruction: string, text: string): Told {
  const thing = thingIn(instruction);
  const lines = text.split('\n').filter((line) => line.trim() !== '');
  const right = lines.flatMap((line) => {
    const fact = world.parseAnswer(line.trim());
    return fact !== null && fact.thing === thing ? topicKey(fact) : [];
  });
  return { words: countWords(text), facts: new Set(right).size, lines: lines.length, right: right.length };
}
function summed(all: readonly Told[]) {
  const sum = (of: (one: Told) => number) => all.reduce((total, one) => total + of(one), 0);
  const per = (total: number, count: number) => (count === 0 ? 0 : total / count);
  const lines = sum((one) => one.lines);
  const right = sum((one) => one.right);
  return {
    words: per(
      sum((one) => one.words),
      all.length,
    ),
    facts: per(
      sum((one) => one.facts),
      all.length,
    ),
    truth: per(right, lines),
    repeated: per(right - sum((one) => one.facts), right),
  };
}

const asked = z.strictObject({ instruction: z.string(), demand: lengthDemand.nullable() });
const answering = operator({
  version: 1,
  input: asked,
  output: z.strictObject({ text: z.string() }),
  params: dataParams,
  roles: ['model'],
  capabilities: ['chat'],
  stochastic: () => false,
  async run({ instruction }, { chat }) {
    const { text } = await chat('model', telling(instruction), { temperature: 0, maxTokens: 64 });
    return keep({ text: text.trim() });
  },
});
const testThings = (random: Random, { seed, size }: DataParams): string[] =>
  random.shuffle(toldThings(seed, size)).slice(0, size === 'full' ? 120 : 5);

/** Of texts about things that no lesson tells about: the mean words and the mean number of different true facts, the share of lines that are
 *  true, and the share of these that repeat a fact. */
export const texts = suite({
  version: 1,
  oracle: true,
  params: dataParams,
  items(params) {
    const random = seededRandom(`passages tests ${params.seed}`);
    return testThings(random, params).map((thing) => ({ instruction: instructionFor(random, thing), demand: null }));
  },
  ask: answering,
  measure: (answers) => summed(answers.map(({ item, answer }) => judge(item.instruction, answer?.text ?? ''))),
  each: ({ item, answer }) => judge(item.instruction, answer.text),
});

/** The same of texts with a demanded length: the mean score of LonGen, and the share that is at most twice as long as demanded. */
export const lengths = suite({
  version: 1,
  oracle: true,
  params: dataParams,
  items(params) {
    const random = seededRandom(`passages demands ${params.seed}`);
    return testThings(random, params).map((thing) => {
      const demand = drawDemand(random);
      return { instruction: demandedBy(instructionFor(random, thing), phraseOf(demand, 'english').phrase), demand };
    });
  },
  ask: answering,
  measure(answers) {
    const told = answers.map(({ item, answer }) => ({ demand: item.demand, ...judge(item.instruction, answer?.text ?? '') }));
    const mean = (of: (one: (typeof told)[number]) => number) => told.reduce((sum, one) => sum + of(one), 0) / told.length;
    return {
      lengthScore: mean(({ demand, words }) => lengthScore(demand, words)),
      withinTwice: mean(({ demand, words }) => (words <= 2 * Math.max(...Object.values(demand).flat()) ? 1 : 0)),
      demandedTruth: summed(told).truth,
    };
  },
  each: ({ item: { demand }, answer: { text } }) => ({ words: countWords(text), score: lengthScore(demand, countWords(text)) }),
});

/** Of the texts from which a round's models learn, or the final one. */
export const learning = dataSuite({
  version: 1,
  oracle: true,
  async measure(rows: AsyncIterable<{ readonly value: Piece }>) {
    const all: Told[] = [];
    for await (const { value } of rows) all.push(judge(value.instruction, value.text));
    const { words, facts, truth } = summed(all);
    return { rows: all.length, learntWords: words, learntFacts: facts, learntTruth: truth };
  },
});
