/** IFEval (2311.07911) on a dataset that an experiment file names: four accuracies, and what becomes of lines and answers that fail. */
import test from 'ava';
import { join } from 'node:path';
import { ifeval } from '../../operators/eval/index.ts';
import { resolve } from '../../steps/resolve.ts';
import type { ReportRef } from '../../schemas/call.ts';
import { jsonl, stage, type Ran } from '../support/recipe.ts';

const line = (prompt: string, rules: Readonly<Record<string, object>>) => ({
  key: 1,
  prompt,
  instruction_id_list: Object.keys(rules),
  kwargs: Object.values(rules),
});
const noComma = { 'punctuation:no_comma': {} };
const short = { 'length_constraints:number_words': { num_words: 4, relation: 'less than', keywords: null } };
const json = { 'detectable_format:json_format': {} };
/** Replies by prompt. */
const replies: Readonly<Record<string, string>> = {
  'Both.': 'Three words only',
  'One of two.': 'Three words, only',
  'Only loosely.': 'Sure, here it is:\n*Three words only*',
  'Nothing.': ' ',
};
const lines = [
  line('Both.', { ...noComma, ...short }),
  line('One of two.', { ...noComma, ...short }),
  line('Only loosely.', { ...noComma, ...short }),
  line('Nothing.', { ...noComma }),
];
const made = await stage(
  'humpback',
  { reply: (role, _, content) => (role === 'model' ? (replies[content] ?? content) : 'Score: 5') },
  {
    'pairs.jsonl': jsonl([{ instruction: 'q', response: 'a' }]),
    'texts.jsonl': jsonl([{ text: 'a text' }]),
    'base/': '{}',
    'prompts.jsonl': jsonl(lines),
    'fewer.jsonl': jsonl(lines.slice(0, 3)),
    'faulty.jsonl': jsonl([
      ...lines,
      line('No such kind.', { 'punctuation:no_coma': {} }),
      line('No relation.', { 'length_constraints:number_words': { num_words: 4 } }),
    ]),
  },
);
const source = (path: string) => ({ source: 'std.table', params: { path }, folder: made.folder });
const evaluated = (prompts: string, params: object = {}) =>
  made.run({
    parameters: { rounds: 1, minimum: 1, keep: 'all' },
    data: { seed: source('pairs.jsonl'), corpus: source('texts.jsonl'), items: source(prompts) },
    models: { base: { path: join(made.folder, 'base') } },
    evaluation: { forward: { id: 'eval.ifeval', params: ifeval.params!.parse(params) as object, data: 'items' } },
  });
const path = 'r1/evaluate-forward';
const metrics = (ran: Ran) => (ran.step(path).result as ReportRef).metrics;
const outputOf = async (ran: Ran) => {
  const { services, context } = made.bench;
  const { stepKey } = await resolve(ran.step(path).call, context, await services.registry([]));
  return (await services.store.output(stepKey))!;
};
interface Answered {
  readonly item: { readonly prompt: string };
  readonly answer: { readonly strict: boolean[]; readonly loose: boolean[] };
  readonly measured: object;
}
const answersOf = async (ran: Ran) =>
  Map.groupBy(
    (await made.rows<Answered>((await outputOf(ran)).answers)).map(({ value }) => value),
    ({ item }) => item.prompt,
  );

test.serial('four accuracies: of prompts and of rules, strict and loose; a prompt without an answer meets nothing', async (t) => {
  const all = await evaluated('prompts.jsonl');
  t.deepEqual(metrics(all), {
    promptStrict: 1 / 4,
    promptLoose: 2 / 4,
    instructionStrict: 3 / 7,
    instructionLoose: 5 / 7,
    average: (1 / 4 + 2 / 4 + 3 / 7 + 5 / 7) / 4,
    answered: 3 / 4,
    unread: 0,
  });
  const answers = await answersOf(all);
  t.like(answers.get('One of two.')![0], { answer: { strict: [false, true] }, measured: { missed: ['punctuation:no_comma'] } });
  t.like((await outputOf(all)).dropped, { empty: 1 });
});

test.serial(
  'the prompts are asked as they are, or by a prompt that the file names; greedily, unless the file says otherwise',
  async (t) => {
    const asked = async (params: object) => {
      const ran = await evaluated('prompts.jsonl', { sampling: { temperature: 0, maxTokens: 99 }, ...params });
      return new Set(ran.asked.flatMap(({ role, content }) => (role === 'model' ? content : [])));
    };
    t.deepEqual(await asked({}), new Set(Object.keys(replies)));
    t.true([...(await asked({ prompt: 'humpback.response' }))].every((content) => !(content in replies)));
    t.is((ifeval.params!.parse({}) as { sampling: { temperature: number } }).sampling.temperature, 0);
  },
);

test.serial('other items are another evaluation', async (t) => {
  t.is(metrics(await evaluated('fewer.jsonl')).answered, 1);
});

test.serial('a recipe that evaluates by it without a dataset is told that it needs one', async (t) => {
  const { call } = (await evaluated('prompts.jsonl')).step(path);
  const { items: _, ...inputs } = call.inputs;
  await t.throwsAsync(made.bench.perform({ ...call, inputs }), { name: 'ConfigError', message: /has no items of its own.*under `data`/ });
});

test.serial('a line with a rule that nobody knows is dropped with the place of the fault, and counts in no accuracy', async (t) => {
  const faulty = await evaluated('faulty.jsonl');
  t.deepEqual(metrics(faulty), { ...metrics(await evaluated('prompts.jsonl')), unread: 2 });
  const dropped = await made.rows<{ reason: string; evidence: string }>((await outputOf(faulty)).droppedRecords);
  const evidence = dropped.flatMap(({ value }) => (value.reason === 'invalid' ? value.evidence : []));
  t.is(evidence.length, 2);
  t.true(evidence.some((one) => /instruction_id_list\.0 is "punctuation:no_coma".*nearest is "punctuation:no_comma"/.test(one)));
  t.true(evidence.some((one) => /kwargs\.0\.relation is missing/.test(one)));
});

for (const [what, reply, loose] of [
  ['a first line', 'Here you are:\n[1]', true],
  ['a last line', '[1]\nI hope it helps.', true],
  ['both', 'Here:\n[1]\nBye.', true],
  ['asterisks', '**[1]**', true],
  ['all three', 'Here:\n**[1]**\nBye.', true],
  ['two lines before it', 'Here\nit is:\n[1]', false],
  ['underscores', '__[1]__', false],
] as const)
  test.serial(`${what} around an answer: ${loose ? 'met loosely, and not strictly' : 'met in neither way'}`, async (t) => {
    const { ask } = ifeval;
    const context = {
      prompt: () => ({ messages: [] }),
      chat: () => Promise.resolve({ text: reply, finish: 'stop' }),
      complete: () => Promise.reject(new Error('chat is enough')),
    };
    const outcome = await ask.run(line('?', json) as never, context as never, ifeval.params!.parse({}) as never);
    t.like(outcome, { kept: [{ strict: [false], loose: [loose] }] });
  });
