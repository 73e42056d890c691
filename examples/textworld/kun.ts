// Defines the text world for Kun: drafts among texts about "it" and about people, whose instructions nobody can follow; and a seed that
// teaches to ask, to judge and to polish: `textworld-kun.seed`, `textworld-kun.texts` and so on.
import { z } from 'zod';
import { dataSuite, prompt, source, template, type Chat, type Message } from '../../recipe/index.ts';
import type { Labelled } from '../../operators/kun/records.ts';
import { createDatasets } from './datasets.ts';
import { drafts, invented, isDraftOf, namesakes, rewriting } from './drafts.ts';
import { constraintsOf, dress, forms, suffixesOf, type Form } from './forms.ts';
import { answerFirst, type Pair } from './interviews.ts';
import { scorePairs } from './oracle.ts';
import { interviewTopics, systemTurns } from './pretraining.ts';
import { seededRandom, type Random } from './random.ts';
import { kinds, relations, relationsOf } from './relations.ts';
import { World } from './world.ts';

export const namespace = 'textworld-kun';

const world = new World(0);
const dataParams = z.strictObject({ seed: z.int().min(0), size: z.enum(['full', 'miniature']).default('full') });
type DataParams = z.infer<typeof dataParams>;

// ─────────────────────────────────────────── texts that nobody should ask about ───────────────────────────────────────────

const people = relations.town.founder.values;
/** The people of the seed; the texts are about the others. */
const isKnown = (person: string): boolean => people.indexOf(person) % 2 === 0;

/** All relations, and those that a person can have. */
const all = kinds.flatMap((kind) => Object.values(relationsOf(kind)));
const personal = [relations.town.region, relations.bird.food, relations.bird.home];

interface Unfit {
  readonly text: string;
  readonly instruction: string;
}

/** Every statement about one of the subjects in every form, each with a question in that form, shuffled. */
function unfit(random: Random, subjects: readonly string[], among: typeof all): Unfit[] {
  const fill = (pattern: string, subject: string, value = '') => pattern.replace('{thing}', subject).replace('{value}', value);
  const about = (subject: string, { values, statements, questions }: (typeof all)[number]) =>
    values.flatMap((value) =>
      withoutKind(statements).flatMap((statement) =>
        forms.map((form) => ({
          text: dress(fill(statement, subject, value), form),
          instruction: fill(random.pick(withoutKind(questions)), subject) + suffix(random, form),
        })),
      ),
    );
  return random.shuffle(subjects.flatMap((subject) => among.flatMap((relation) => about(subject, relation))));
}
/** "The bird it eats nuts" is no sentence, but "the food of it is nuts" is. */
const withoutKind = (patterns: readonly string[]): string[] => patterns.filter((pattern) => !kinds.some((kind) => pattern.includes(kind)));
const suffix = (random: Random, form: Form): string =>
  constraintsOf(form)
    .map((constraint) => random.pick(suffixesOf(constraint)))
    .join('');

/** Returns what an instruction asks about. */
function subjectOf(instruction: string): 'it' | 'person' | 'thing' {
  const question = instruction.slice(0, instruction.indexOf('?')).split(/\W+/);
  if (question.includes('it')) return 'it';
  return question.some((word) => people.includes(word)) ? 'person' : 'thing';
}

// ─────────────────────────────────────────── data ───────────────────────────────────────────

/** A draft about each of 864 facts, among 648 texts about "it" and 648 about people. */
export const texts = source({
  version: 1,
  output: z.strictObject({ text: z.string() }),
  params: dataParams,
  rows({ seed, size }) {
    const random = seededRandom(`kun ${seed}`);
    const { corpus, topics } = createDatasets(world, seed, size);
    const unfitOf = (subjects: readonly string[], among: typeof all) => unfit(random, subjects, among).slice(0, topics.length * 0.75);
    const strangers = people.filter((person) => !isKnown(person));
    const useless = [...unfitOf(['it'], all), ...unfitOf(strangers, personal)].map(({ text }) => text);
    return random.shuffle([...drafts(world, random, corpus), ...useless]).map((text) => ({ text }));
  },
});

/** The tags of a verdict. */
const verdicts = { good: '[GOOD]', bad: '[BAD]' } as const;
const tasks = ['answer', 'judge', 'polish'] as const;
interface Lesson extends Pair {
  readonly text: string;
  readonly task: (typeof tasks)[number];
}
/** Pairs to polish and verdicts. A quarter of the verdicts are about "it", and a quarter about people. */
const counts = { full: { polish: 400, judge: 1200 }, miniature: { polish: 12, judge: 8 } } as const;

/** The labelled pairs; drafts about labelled and interviewed things, polished; and instructions about namesakes, with verdicts. Each has
 *  the text that its instruction asks about. */
export const seed = source({
  version: 1,
  output: z.strictObject({ text: z.string(), instruction: z.string(), response: z.string(), task: z.enum(tasks) }),
  params: dataParams,
  rows({ seed, size }): Lesson[] {
    const random = seededRandom(`kun seed ${seed}`);
    const pairs = createDatasets(world, seed, size).seed;
    const known = [...interviewTopics(world), ...pairs.flatMap(({ response }) => world.parseAnswer(response) ?? [])];
    const names = namesakes(world);
    const { polish, judge } = counts[size];
    const times = <T>(count: number, make: () => T) => Array.from({ length: count }, make);
    const polished = times(polish, () => rewriting(world, random, random.pick(known).thing));
    const good = times(judge / 2, () => invented(random, random.pick(names)));
    const bad = [...unfit(random, ['it'], all).slice(0, judge / 4), ...unfit(random, people.filter(isKnown), personal).slice(0, judge / 4)];
    return random.shuffle([
      ...pairs.map((pair) => ({ ...pair, text: pair.response, task: 'answer' as const })),
      ...polished.map(({ instruction, draft, answer }) => ({ text: draft, instruction, response: answer, task: 'polish' as const })),
      ...good.map(({ instruction, draft }) => ({ text: draft, instruction, response: verdicts.good, task: 'judge' as const })),
      ...bad.map((one) => ({ ...one, response: verdicts.bad, task: 'judge' as const })),
    ]);
  },
});

// ─────────────────────────────────────────── prompts and templates ───────────────────────────────────────────

const turns = (system: string, user: string): Message[] => [
  { role: 'system', content: system },
  { role: 'user', content: user },
];
type Known = Pick<Lesson, 'text' | 'instruction'>;
const requests: { readonly [task in Lesson['task']]: (known: Known) => Message[] } = {
  answer: ({ instruction }) => turns(systemTurns.answer, instruction),
  judge: ({ instruction }) => turns(systemTurns.rate, instruction),
  polish: ({ instruction, text }) => turns('Write.', answerFirst({ instruction, response: text })),
};
const learnt = (asked: readonly Message[], content: string): Chat => ({ messages: [...asked, { role: 'assistant', content }] });

export const ask = prompt<Pick<Known, 'text'>>({
  version: 1,
  template: 'textworld-kun.toInstruction',
  render: ({ text }) => ({ messages: turns(systemTurns.ask, text) }),
});
export const judge = prompt<Known>({
  version: 1,
  template: 'textworld-kun.toResponse',
  render: (known) => ({ messages: requests.judge(known) }),
});
export const polish = prompt<Known>({
  version: 1,
  template: 'textworld-kun.toResponse',
  render: (known) => ({ messages: requests.polish(known) }),
});

export const toInstruction = template<Lesson, Chat>({
  version: 1,
  render: ({ text, instruction }) => learnt(turns(systemTurns.ask, text), instruction),
});
/** A pair of the final training has no task: it answers. */
export const toResponse = template<Lesson | (Pair & { readonly text?: string; readonly task?: never }), Chat>({
  version: 1,
  render: ({ text = '', instruction, response, task = 'answer' }) => learnt(requests[task]({ text, instruction }), response),
});

// ─────────────────────────────────────────── what came of it ───────────────────────────────────────────

/** Measures instructions with their texts, or pairs: as `textworld.pairs` does; also the shares of instructions about "it", and about
 *  people, and the share whose text states truly what the instruction asks for. */
export const pairs = dataSuite({
  version: 1,
  oracle: true,
  params: dataParams,
  async measure(rows: AsyncIterable<{ readonly value: Labelled | Pair }>, { seed, size }: DataParams) {
    const [made, found]: [Pair[], Pair[]] = [[], []];
    for await (const { value } of rows) {
      const { instruction, response, text } = { response: '', text: '', ...value };
      made.push({ instruction, response: response || text });
      found.push({ instruction, response: text || response });
    }
    const share = (test: (pair: Pair) => boolean) => found.filter(test).length / Math.max(1, found.length);
    const { keptPrecision, keptCoverage } = scorePairs(world, made, createDatasets(world, seed, size).topics);
    return {
      pairs: made.length,
      keptPrecision,
      keptCoverage,
      aboutIt: share(({ instruction }) => subjectOf(instruction) === 'it'),
      aboutPeople: share(({ instruction }) => subjectOf(instruction) === 'person'),
      fromDrafts: share((pair) => isDraftOf(world, pair)),
    };
  },
});
