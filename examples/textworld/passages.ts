// Defines the text world for Self-Lengthen: instructions to tell about three things, short texts of true facts, and lessons that let a small
// model write, judge and extend them: `textworld-passages.seeds`, `textworld-passages.lessons`, `textworld-passages.tell` and so on.
import { z } from 'zod';
import { dataSuite, keep, operator, prompt, source, suite, template, type Chat, type Message } from '../../recipe/index.ts';
import { demandFor, lengthDemand, lengthScore, phraseOf } from '../../operators/self-lengthen/lengths.ts';
import type { Lesson, Piece, Thinned } from '../../operators/self-lengthen/records.ts';
import { countWords } from '../../operators/self-lengthen/text.ts';
import { demands } from '../../schemas/recipes/self-lengthen.ts';
import { createDatasets } from './datasets.ts';
import { interviewTopics } from './pretraining.ts';
import { seededRandom, type Random } from './random.ts';
import type { Kind } from './relations.ts';
import { topicKey, World, type Topic } from './world.ts';

export const namespace = 'textworld-passages';

const world = new World(0);
const dataParams = z.strictObject({ seed: z.int().min(0), size: z.enum(['full', 'miniature']).default('full') });
type DataParams = z.infer<typeof dataParams>;

/** The longest text of a lesson: instruction, outline and text fit into the base's context. */
const MOST_FACTS = 10;

// ─────────────────────────────────────────── instructions and texts ───────────────────────────────────────────

const plurals: { readonly [kind in Kind]: string } = { town: 'towns', river: 'rivers', ship: 'ships', bird: 'birds' };
const openings = ['Tell me about', 'Write about', 'Say what you know about'];

/** Names of one kind of things. Things without a fact to tell are left out. */
interface Subject {
  readonly kind: Kind;
  readonly names: readonly string[];
}
const instructionFor = (random: Random, { kind, names }: Subject): string =>
  names.length === 1
    ? `${random.pick(openings)} the ${kind} ${names[0]}.`
    : `${random.pick(openings)} the ${plurals[kind]} ${names.slice(0, -1).join(', ')} and ${names.at(-1)}.`;
const namesIn = (instruction: string): readonly string[] => world.things.flatMap(({ name }) => (instruction.includes(name) ? name : []));

/** Three things of one kind, or one. */
function subject(random: Random, things: readonly string[], count = 3): Subject {
  const byKind = Map.groupBy(things, (name) => world.kindOf(name));
  const kind = random.pick([...byKind].flatMap(([kind, some]) => (some.length >= count ? kind : [])));
  return { kind, names: random.shuffle(byKind.get(kind)!).slice(0, count) };
}

/** Each fact is a line. */
const textOf = (random: Random, topics: readonly Topic[]): string =>
  topics.map((topic) => world.answer(random, { ...topic, form: 'plain' })).join('\n');

/** Things about which the lessons have right texts: the labelled and the interviewed. */
function knownThings(seed: number, size: DataParams['size']): string[] {
  const labelled = createDatasets(world, seed, size).seed.flatMap(({ response }) => world.parseAnswer(response)?.thing ?? []);
  return [...new Set([...interviewTopics(world).map(({ thing }) => thing), ...labelled])];
}

/** Instructions of the kind that the base makes up: about three of the things that no lesson tells about. */
export const seeds = source({
  version: 1,
  output: z.strictObject({ instruction: z.string() }),
  params: dataParams,
  rows({ seed, size }) {
    const random = seededRandom(`passages ${seed}`);
    const told = toldThings(seed, size);
    return Array.from({ length: size === 'full' ? 60 : 6 }, () => ({ instruction: instructionFor(random, subject(random, told)) }));
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
const counts = { invent: 200, judge: 100, tell: 400, extend: 700, demand: 250 } as const;

/** What the base must be able to do before the first round. It tells in two or three facts, but can extend texts of any length. Facts are
 *  about labelled and interviewed things only; the other lessons need no knowledge, and may be about any thing. */
export const lessons = source({
  version: 1,
  output: z.strictObject({ prompt: z.string(), reply: z.string() }),
  params: dataParams,
  rows({ seed, size }) {
    const random = seededRandom(`passages lessons ${seed}`);
    const share = size === 'full' ? 1 : 0.02;
    const known = knownThings(seed, size);
    const any = world.things.map(({ name }) => name);
    const times = (count: number, make: () => Lesson) => Array.from({ length: Math.ceil(count * share) }, make);
    const instruction = (things: readonly string[], count = 3) => instructionFor(random, subject(random, things, count));
    return random.shuffle([
      ...times(counts.invent, () => {
        const [one, other, third] = [0, 1, 2].map(() => instruction(any));
        return lesson(inventing([one!, other!]), random.next() < 0.15 ? instruction(any, 1) : third!);
      }),
      ...times(counts.judge, () => {
        const count = random.pick([1, 3]);
        return lesson(judging(instruction(any, count)), count === 3 ? 'yes' : 'no');
      }),
      ...times(counts.tell, () => {
        const about = subject(random, known);
        return lesson(telling(instructionFor(random, about)), textOf(random, factsAbout(random, about, random.pick([2, 3]))));
      }),
      ...times(counts.extend, () => extendLesson(random, subject(random, known))),
      ...times(counts.demand, () => {
        const bare = instruction(any);
        const { phrase } = phraseOf(demandFor(20 + random.below(60), demands.parse({}), random.next), 'english');
        return lesson(demanding(bare, phrase), demandedBy(bare, phrase));
      }),
    ]);
  },
});
const lesson = (asked: readonly Message[], reply: string): Lesson => ({ prompt: asked.map(({ content }) => content).join('\n'), reply });
const demandedBy = (instruction: string, phrase: string): string => instruction.replace(/\.$/, ` in ${phrase}.`);

/** Different facts about the things, those of one thing together. */
function factsAbout(random: Random, { names }: Subject, count: number): Topic[] {
  const all = names.flatMap((name) => random.shuffle(world.topicsOf(name)));
  const taken = new Set(random.shuffle(all).slice(0, count));
  return all.filter((topic) => taken.has(topic));
}

/** A text of so many facts, and its outline of half as many or more. */
function extendLesson(random: Random, about: Subject): Lesson {
  const facts = factsAbout(random, about, 2 + random.below(MOST_FACTS - 1));
  const least = Math.ceil(facts.length / 2);
  const count = Math.min(facts.length - 1, least + random.below(Math.max(1, Math.floor(facts.length / 4))));
  const taken = new Set(random.shuffle(facts).slice(0, count));
  const outline = textOf(
    random,
    facts.filter((fact) => taken.has(fact)),
  );
  return lesson(extending({ instruction: instructionFor(random, about), outline }), textOf(random, facts));
}

// ─────────────────────────────────────────── what came of it ───────────────────────────────────────────

interface Told {
  readonly words: number;
  /** Different true facts about the things of the instruction. */
  readonly facts: number;
  readonly lines: number;
  /** Lines with a true fact about one of these things. */
  readonly right: number;
}
function judge(instruction: string, text: string): Told {
  const names = namesIn(instruction);
  const lines = text.split('\n').filter((line) => line.trim() !== '');
  const right = lines.flatMap((line) => {
    const fact = world.parseAnswer(line.trim());
    return fact !== null && names.includes(fact.thing) ? topicKey(fact) : [];
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
    const { text } = await chat('model', telling(instruction), { temperature: 0, maxTokens: 130 });
    return keep({ text: text.trim() });
  },
});
const testSubjects = (random: Random, { seed, size }: DataParams): Subject[] =>
  Array.from({ length: size === 'full' ? 60 : 5 }, () => subject(random, toldThings(seed, size)));

/** Of texts about things that no lesson tells about: the mean words and the mean number of different true facts, the share of lines that are
 *  true, and the share of these that repeat a fact. */
export const texts = suite({
  version: 1,
  oracle: true,
  params: dataParams,
  items(params) {
    const random = seededRandom(`passages tests ${params.seed}`);
    return testSubjects(random, params).map((about) => ({ instruction: instructionFor(random, about), demand: null }));
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
    return testSubjects(random, params).map((about) => {
      const demand = demandFor(20 + random.below(50), demands.parse({}), random.next);
      return { instruction: demandedBy(instructionFor(random, about), phraseOf(demand, 'english').phrase), demand };
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
