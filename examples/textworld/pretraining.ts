// Generates the base model's pre-training text. It states every fact, asks about everything, and pairs questions with answers for a
// quarter of the things only: the recipes have to learn the rest.
import { z } from 'zod';
import { forms } from './forms.ts';
import { answerFirst, doubleInterview, interview, pairRated, questionFirst, type Pair, type Rating } from './interviews.ts';
import { seededRandom, type Random } from './random.ts';
import { kinds } from './relations.ts';
import type { Thing, Topic, World } from './world.ts';

/** The system turn tells the model which of three tasks to do. */
export const systemTurns = { answer: 'Answer.', ask: 'Ask.', rate: 'Rate.' } as const;

const message = z.strictObject({ role: z.enum(['system', 'user', 'assistant']), content: z.string() });
/** What a base model learns: texts, and conversations with all their turns. */
export const learnt = z.union([z.strictObject({ text: z.string() }), z.strictObject({ messages: z.array(message) })]);
type Learnt = z.infer<typeof learnt>;
export const conversation = (system: string, user: string, assistant: string): Extract<Learnt, { messages: unknown }> => ({
  messages: [
    { role: 'system', content: system },
    { role: 'user', content: user },
    { role: 'assistant', content: assistant },
  ],
});

const interviewThingsPerKind = 15;

/** The topics of the interviews: 240 facts, the same for every seed of the text. */
export function interviewTopics(world: World): Topic[] {
  const random = seededRandom('interviews');
  return kinds
    .flatMap((kind) => random.shuffle(world.things.filter((thing) => thing.kind === kind)).slice(0, interviewThingsPerKind))
    .flatMap(({ name }) => world.topicsOf(name));
}

/** One document per text, everything `epochs` times in fresh wording; 112,000 tokens per epoch. */
export function pretrainingText(world: World, seed: number, epochs: number): string[] {
  const random = seededRandom(`pretraining ${seed}`);
  return Array.from({ length: epochs }, () => epoch(world, random)).flat();
}

/** Text for the base model's last steps, which teaches it to rate: conversations about interviews, with ratings off by one in 15 % of
 *  them, and nearly as many (shorter) documents of ordinary text. */
export function ratingText(world: World, seed: number): Learnt[] {
  const random = seededRandom(`ratings ${seed}`);
  const topics = interviewTopics(world);
  const rated = Array.from({ length: 4100 }, () => {
    const deserved = random.pick<Rating>([5, 5, 5, 5, 4, 3, 2, 1, 1, 1]);
    const pair = pairRated(world, random, topics, deserved);
    const rating = random.next() < 0.15 ? offByOne(random, deserved) : deserved;
    return conversation(systemTurns.rate, questionFirst(pair), `Score: ${rating}`);
  });
  return random.shuffle([
    ...rated,
    ...epoch(world, random)
      .slice(0, 3700)
      .map((text) => ({ text })),
  ]);
}

/** Rated pairs without mistakes, half of them 5 and half 1: the ratings that the base model can distinguish. */
export function replayPairs(world: World, seed: number, count: number): (Pair & { readonly rating: Rating })[] {
  const random = seededRandom(`replay ${seed}`);
  const topics = interviewTopics(world);
  return Array.from({ length: count }, (_, index) => {
    const rating = index % 2 === 0 ? 5 : 1;
    return { ...pairRated(world, random, topics, rating), rating };
  });
}

/** An answer about each of the 180 things without interviews; a base model has to generate its question. */
export function baseTests(world: World): string[] {
  const random = seededRandom('base tests');
  const interviewed = new Set(interviewTopics(world).map(({ thing }) => thing));
  return world.things
    .filter(({ name }) => !interviewed.has(name))
    .map(({ name }) => world.answer(random, { ...random.pick(world.topicsOf(name)), form: random.pick(forms) }));
}

/** The tokenizer's training text. It treats all things alike: interviews would give single tokens to the names of their things only. */
export function tokenizerText(world: World): string[] {
  const random = seededRandom('tokenizer');
  const labels = Array.from({ length: 300 }, () => 'Question: Answer: 1 2 3 4 5 Rate. Ask.');
  return [...world.things.flatMap((thing) => documentsAbout(world, random, thing)), ...labels];
}

function epoch(world: World, random: Random): string[] {
  const interviews = interviewTopics(world).flatMap((topic) => [
    ...times(3, () => questionFirst(interview(world, random, topic))),
    ...times(4, () => answerFirst(interview(world, random, topic))),
    ...times(2, () => questionFirst(doubleInterview(world, random, topic))),
  ]);
  return random.shuffle([...world.things.flatMap((thing) => documentsAbout(world, random, thing)), ...interviews]);
}

/** Two passages, two sentences per fact, and the thing's questions without answers in two lists: these repeat the name, so the model
 *  learns to copy a name into a question. */
function documentsAbout(world: World, random: Random, { name }: Thing): string[] {
  const topics = world.topicsOf(name);
  const passages = times(2, () =>
    random
      .shuffle(topics)
      .map((topic) => world.answer(random, { ...topic, form: 'plain' }))
      .join(' '),
  );
  const sentences = topics.flatMap((topic) => times(2, () => world.answer(random, { ...topic, form: random.pick(forms) })));
  const questions = random.shuffle(topics).map((topic) => world.ask(random, { ...topic, form: random.pick(forms) }));
  const cut = random.pick([1, 2]);
  return [...passages, ...sentences, questions.slice(0, cut).join(' '), questions.slice(cut).join(' ')];
}

function offByOne(random: Random, rating: Rating): number {
  return Math.min(5, Math.max(1, rating + random.pick([-1, 1])));
}

const times = <T>(count: number, make: () => T): T[] => Array.from({ length: count }, make);
