// Defines the text world for CRAB: questions without constraints whose answers keep some, and lessons for a small annotator:
// `textworld-crab.pairs`, `textworld-crab.lessons`, `textworld-crab.listing` and so on.
import { z } from 'zod';
import { dataSuite, keep, operator, prompt, source, suite, template, type Chat, type Message } from '../../recipe/index.ts';
import type { Listing } from '../../operators/crab/prompts.ts';
import type { Lesson, Tidied } from '../../operators/crab/records.ts';
import { createDatasets } from './datasets.ts';
import { constraintsOf, doubleForms, forms, suffixesOf, undress, type Constraint, type Form } from './forms.ts';
import { seededRandom, type Random } from './random.ts';
import { topicKey, World, type Topic } from './world.ts';

export const namespace = 'textworld-crab';

const world = new World(0);
const dataParams = z.strictObject({ seed: z.int().min(0), size: z.enum(['full', 'miniature']).default('full') });
type DataParams = z.infer<typeof dataParams>;

/** No pair has these two constraints together; each of them is in other pairs. */
const heldOut: Form = 'dash+done';
const paired = [...doubleForms.filter((form) => form !== heldOut), 'dash', 'done'] as const;

/** Pairs are about every third fact, tests about another third. */
const third = ({ seed, size }: DataParams, n: number): Topic[] => createDatasets(world, seed, size).topics.filter((_, at) => at % 3 === n);

/** Questions that ask for no form, and right answers in some form. */
export const pairs = source({
  version: 1,
  output: z.strictObject({ instruction: z.string(), response: z.string() }),
  params: dataParams,
  rows(params) {
    const random = seededRandom(`crab ${params.seed}`);
    return random.shuffle(third(params, 0)).map((topic) => ({
      instruction: world.ask(random, { ...topic, form: 'plain' }),
      response: world.answer(random, { ...topic, form: random.pick(paired) }),
    }));
  },
});

// ─────────────────────────────────────────── the annotator ───────────────────────────────────────────

const turns = (task: string, user: string): Message[] => [
  { role: 'system', content: task },
  { role: 'user', content: user },
];
type Asked = Pick<Listing, 'instruction' | 'response'>;
const refining = ({ instruction, response }: Asked) => turns('Ask.', `${instruction}\n${response}`);
const listing = (names: readonly string[], response: string) => turns('Name.', `${names.join(' ')}\n${response}`);
const checking = (constraint: string, response: string) => turns('Check.', `${constraint}\n${response}`);

export const refine = prompt<Asked>({ version: 1, render: (asked) => ({ messages: refining(asked) }) });
export const list = prompt<Listing>({
  version: 1,
  render: ({ types, response }) => ({
    messages: listing(
      types.map(({ name }) => name),
      response,
    ),
  }),
});
export const check = prompt<Asked & { readonly constraint: string }>({
  version: 1,
  render: ({ constraint, response }) => ({ messages: checking(constraint, response) }),
});
/** The loss is on the reply; the first line of the prompt is the system turn. */
export const toReply = template<Lesson, Chat>({
  version: 1,
  render({ prompt, reply }) {
    const [task = '', ...rest] = prompt.split('\n');
    return { messages: [...turns(task, rest.join('\n')), { role: 'assistant', content: reply }] };
  },
});

/** The types of the experiment file, as the requests list them. */
const listed: readonly (readonly Constraint[])[] = [
  ['note', 'done'],
  ['dash', 'quote'],
];
const counts = { refine: 60, list: 700, check: 700 } as const;

/** The annotator's lessons. They need no knowledge, so they are about any thing, and their answers may be false. */
export const lessons = source({
  version: 1,
  output: z.strictObject({ prompt: z.string(), reply: z.string() }),
  params: dataParams,
  rows({ seed, size }) {
    const random = seededRandom(`crab lessons ${seed}`);
    const share = size === 'full' ? 1 : 0.02;
    const any = world.things.flatMap(({ name }) => world.topicsOf(name));
    const times = (count: number, make: () => Lesson) => Array.from({ length: Math.ceil(count * share) }, make);
    const answer = () => {
      const meaning = { ...random.pick(any), form: random.pick([...forms, ...doubleForms]) };
      return { meaning, response: world.answer(random, meaning) };
    };
    return random.shuffle([
      ...times(counts.refine, () => {
        const { meaning, response } = answer();
        const ask = () => world.ask(random, { ...meaning, form: 'plain' });
        return lesson(refining({ instruction: ask(), response }), ask());
      }),
      ...times(counts.list, () => {
        const { meaning, response } = answer();
        const names = random.pick(listed);
        const kept = names.filter((name) => constraintsOf(meaning.form).includes(name)).map((name) => [name, sentenceOf(random, name)]);
        return lesson(listing(names, response), JSON.stringify(Object.fromEntries(kept)));
      }),
      ...times(counts.check, () => {
        const { meaning, response } = answer();
        const own = constraintsOf(meaning.form);
        const kept = own.length > 0 && random.next() < 0.6; // in use most of them are
        const one = random.pick(kept ? own : constraints.filter((other) => !own.includes(other)));
        const verdict = kept ? { satisfaction: 'YES' } : { satisfaction: 'NO', constraint_validity: 'NO' };
        return lesson(checking(sentenceOf(random, one), response), JSON.stringify(verdict));
      }),
    ]);
  },
});
const constraints: readonly Constraint[] = ['note', 'dash', 'quote', 'done'];
const sentenceOf = (random: Random, constraint: Constraint): string => random.pick(suffixesOf(constraint)).trim();
const lesson = (asked: readonly Message[], reply: string): Lesson => ({ prompt: asked.map(({ content }) => content).join('\n'), reply });

// ─────────────────────────────────────────── what came of it ───────────────────────────────────────────

const item = z.strictObject({ text: z.string(), thing: z.string(), relation: z.string(), form: z.enum(doubleForms) });

/** Asks about facts of no pair, under two constraints in the plainest layout of CRAB: the shares of greedy answers, and of samples at
 *  temperature 1, that keep exactly both; the same of the two that no pair has together; and the share of greedy answers that state the
 *  fact. */
export const forward = suite({
  version: 1,
  oracle: true,
  params: dataParams,
  items(params) {
    const random = seededRandom(`crab tests ${params.seed}`);
    return third(params, 1)
      .filter((_, at) => at % 2 === 0)
      .map(({ thing, relation }) => {
        const form = random.pick(doubleForms);
        const asked = random.shuffle(constraintsOf(form)).map((one) => sentenceOf(random, one));
        const question = world.ask(random, { thing, relation, form: 'plain' });
        return { text: `${question}\n\n${asked.join('\n')}`, thing, relation, form };
      });
  },
  ask: operator({
    version: 1,
    input: item,
    output: z.strictObject({ greedy: z.string(), sampled: z.string() }),
    params: dataParams,
    roles: ['model'],
    capabilities: ['chat'],
    stochastic: () => true,
    calls: () => 2,
    async run({ text }, { chat }) {
      const answer = async (temperature: number) =>
        (await chat('model', [{ role: 'user', content: text }], { temperature, maxTokens: 40 })).text.trim();
      return keep({ greedy: await answer(0), sampled: await answer(1) });
    },
  }),
  measure(answers) {
    const both = (of: 'greedy' | 'sampled', some = answers) =>
      share(some, ({ item, answer }) => undress(answer?.[of] ?? '').form === item.form);
    const unseen = answers.filter(({ item }) => item.form === heldOut);
    return {
      both: both('greedy'),
      bothSampled: both('sampled'),
      newTogether: both('greedy', unseen),
      facts: share(answers, ({ item, answer }) => {
        const fact = world.parseAnswer(answer?.greedy ?? '');
        return fact !== null && topicKey(fact) === topicKey(item);
      }),
    };
  },
});

/** Of the pairs with their constraints: the share of the named constraints that the response keeps, and the share of those that it keeps
 *  that were named. */
export const named = dataSuite({
  version: 1,
  oracle: true,
  async measure(rows: AsyncIterable<{ readonly value: Tidied }>) {
    let [all, right, kept] = [0, 0, 0];
    for await (const { value } of rows) {
      const own = constraintsOf(undress(value.response).form ?? 'plain');
      const found = value.constraints.flatMap(({ text, rule }) => (rule === null ? [text] : []));
      const wordings = own.map((one) => suffixesOf(one).map((suffix) => suffix.trim()));
      all += found.length;
      kept += own.length;
      right += wordings.filter((some) => found.some((text) => some.includes(text))).length;
    }
    return { namedPrecision: all === 0 ? 0 : right / all, namedRecall: kept === 0 ? 0 : right / kept };
  },
});

const share = <T>(items: readonly T[], test: (item: T) => boolean): number =>
  items.length === 0 ? 0 : items.filter(test).length / items.length;
