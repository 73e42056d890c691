/** The acceptance facts of Kun, K1 to K7, and the faults of its published code. */
import { join } from 'node:path';
import test from 'ava';
import { resolve } from '../../steps/resolve.ts';
import type { Pair } from '../../operators/humpback/records.ts';
import type { Judged, Labelled, Polished } from '../../operators/kun/records.ts';
import { codePoints } from '../../operators/lengths.ts';
import { isGood, repeatedIn, tidied, wordIn } from '../../operators/kun/rules.ts';
import type { ModelRef } from '../../schemas/call.ts';
import type { KunParameters } from '../../schemas/recipes/kun.ts';
import { recipeSchemas } from '../../schemas/recipes/index.ts';
import { sha256 } from '../../schemas/canonical.ts';
import { beyond, planOf } from '../support/planned.ts';
import { jsonl, stage, type Given, type Ran } from '../support/recipe.ts';

const lot = (text: string, sides: number) => Number.parseInt(sha256(text).slice(0, 8), 16) % sides;
const seedPairs = Array.from({ length: 10 }, (_, n) => ({ instruction: `Seed question ${n}?`, response: `Seed answer ${n}.` }));
const words = (count: number) => Array.from({ length: count }, (_, n) => `w${n}`).join(' ');
const [long, brim, fitting] = [words(513), words(512), words(505)];
const texts = [
  ...Array.from({ length: 80 }, (_, n) => `Fact number ${n} tells about the tides.`),
  ...Array.from({ length: 40 }, (_, n) => `第${n}条事实说的是潮汐。`),
  long,
  brim,
  fitting,
  'A riddle of words.',
];

const instructions = (text: string) => [
  `What is ${sha256(text).slice(0, 8)}?`,
  `请说明${sha256(text).slice(0, 8)}是什么。`,
  `How do tides work, ${sha256(text).slice(0, 8)}?     And here is more`,
  `Say ${sha256(text).slice(0, 8)}.\nSay ${sha256(text).slice(0, 8)}.`,
  'Say one.\nSay two.\nSay two.',
  'Summarise the articles.',
  '请总结这篇文章。',
];
const verdicts = ['【好】', '【好】', '【好】\n因为它很清楚', '[GOOD]', '【差】', '【好】还是【差】?', '不知道', ' '];
const responses = (text: string) => [
  `A polished answer, made of ${sha256(text).slice(0, 8)}.`,
  `这是一个经过润色的、足够长的回答：${sha256(text).slice(0, 8)}。`,
  'According to the text, the tides come and go each day.',
  '抱歉，我没有办法回答这个问题，请您换一个问题再来问我。',
  'No.',
  'It is '.repeat(12),
];
/** Any other reply is to an evaluation. */
function reply(role: string, _model: string, content: string): string {
  if (role === 'label')
    return /w500/.test(content) ? 'Why is it, and when, and where do they all say so?' : of(instructions(content), content);
  if (role === 'point') return /Why is it/.test(content) ? '【好】' : of(verdicts, content);
  return of(responses(content), content);
}
const of = <T>(choice: readonly T[], content: string): T => choice[lot(content, choice.length)]!;
/** Words, and Han characters. */
const tokensOf = (text: string) => text.match(/\p{Script=Han}|[^\s\p{Script=Han}]+/gu) ?? [];

const name = 'kun';
const made = await stage(
  name,
  {
    reply,
    score: ({ continuation }) =>
      tokensOf(continuation).map((_, id) => ({ id, logprob: continuation.includes('riddle') ? -8 : -1, entropy: null })),
  },
  { 'seed.jsonl': jsonl(seedPairs), 'texts.jsonl': jsonl(texts.map((text) => ({ text }))), 'base/': '{}', 'other/': '{"of": "others"}' },
);
const source = (path: string) => ({ source: 'std.jsonl', params: { path }, folder: made.folder });
const given = (parameters: object = {}, models: Given['models'] = {}): Given => ({
  parameters: { minimum: 1, maxPerplexity: 100, arms: ['unpolished', 'unjudged'], ...parameters },
  data: { seed: source('seed.jsonl'), texts: source('texts.jsonl') },
  models: { base: { path: join(made.folder, 'base') }, ...models },
  evaluation: {
    labelled: { id: 'std.degeneracy', params: { text: 'instruction', source: 'text' } },
    pairs: { id: 'humpback.pairs', params: {} },
  },
});
const ran = await made.run(given());
const records = <T>(run: Ran, path: string) => made.rows<T>(run.step(path).data);
const valuesOf = async <T>(path: string) => (await records<T>(ran, path)).map(({ value }) => value);
const modelOf = (path: string): string => ran.step(path).model.digest;
const askedOf = (role: string, run = ran) => run.asked.filter((one) => one.role === role);
const countsOf = async (run: Ran, path: string) => {
  const { services, context } = made.bench;
  const { stepKey } = await resolve(run.step(path).call, context, await services.registry([]));
  return (await services.store.output(stepKey))!;
};
const defaults = recipeSchemas[name]!.parameters.parse({}) as KunParameters;
const steps = ['measure', 'label', 'point', 'budget', 'polish'] as const;
const labelled = await valuesOf<Labelled>('label');
const pairs = await valuesOf<Polished>('polish');

test('K1 the judge is shown the instruction, and never the text', (t) => {
  const asked = askedOf('point');
  t.is(asked.length, labelled.length);
  for (const { content } of asked) {
    t.true(labelled.some(({ instruction }) => content.includes(instruction)));
    t.false(texts.some((text) => content.includes(text)));
  }
});

test('K2 kept is what was called good and not bad; an empty verdict keeps nothing', async (t) => {
  const kept = new Set((await valuesOf<Judged>('point')).map(({ instruction }) => instruction));
  for (const { content, reply } of askedOf('point')) {
    const own = labelled.findLast(({ instruction }) => content.endsWith(instruction))!;
    t.is(kept.has(own.instruction), /【好】|GOOD/.test(reply) && !reply.includes('【差】'), reply);
  }
  const { dropped } = await countsOf(ran, 'point');
  for (const reason of ['bad', 'no-verdict', 'empty']) t.true(dropped[reason]! > 0, reason);
});
for (const [verdict, good] of [
  ['【好】', true],
  ['【差】', false],
  ['这条指令【好】，不是【差】', undefined],
  ['好', undefined],
  ['【 好 】。', true],
  ['[Good]', true],
  ['[BAD]: vague', false],
  ['[GOOD] [BAD]', undefined],
  ['Good', undefined],
  ['', undefined],
] as const)
  test(`K2 the verdict "${verdict}" is ${good === undefined ? 'none' : good ? 'good' : 'bad'}`, (t) => t.is(isGood(verdict), good));

test('K3 every response was written by the answer model, from the text that it stays attached to', async (t) => {
  const asked = askedOf('answer');
  t.true(pairs.length > 8);
  for (const { instruction, text, response } of pairs) {
    t.true(
      asked.some(
        ({ content, reply, model }) =>
          reply === response && content.includes(text) && content.includes(instruction) && model === modelOf('primary-chat'),
      ),
    );
    t.true(texts.includes(text));
    t.not(response, text);
  }
});

test('K4 label model and chat model begin with the base, and the label model learns to ask', async (t) => {
  for (const path of ['label-model', 'primary-chat']) {
    const training = ran.trainings.find(({ call }) => call.path === path)!;
    t.is((training.call.inputs as { from: ModelRef }).from.digest, modelOf('model-base'));
  }
  t.like(ran.trainings.find(({ call }) => call.path === 'label-model')!.spec.learningRate, { from: 1e-5 });
  t.deepEqual([defaults.labelSft.length, defaults.chatSft.length], [{ epochs: 6 }, { epochs: 4 }]);
  for (const { record, chat } of await made.trained<Pair>(ran, 'label-model')) {
    t.is(chat.messages.at(-1)!.content, record.instruction);
    t.true(chat.messages[0]!.content.includes(record.response));
  }
  for (const { record, chat } of await made.trained<Pair>(ran, 'primary-chat'))
    t.deepEqual(
      chat.messages.map(({ content }) => content),
      [record.instruction, record.response],
    );
});
test('K5 what enters each step leaves it as kept or with a reason, and no text is lost between them', async (t) => {
  let entering = texts.length;
  for (const path of steps) {
    const { in: entered, kept, dropped } = await countsOf(ran, path);
    t.is(entered, entering, path);
    t.is(entered, kept + Object.values(dropped).reduce((sum, count) => sum + count, 0), path);
    entering = kept;
  }
});

for (const count of [1, 127, 129])
  test.serial(`K5 and none of ${count} texts is lost where they do not fill whole files`, async (t) => {
    const some = Array.from({ length: count }, (_, n) => ({ text: `Remainder ${n} of ${count}.` }));
    const own = await stage(
      name,
      {
        reply: (role) => (role === 'point' ? '【好】' : 'A reply that is long enough to be kept.'),
        score: ({ continuation }) => tokensOf(continuation).map((_, id) => ({ id, logprob: -1, entropy: null })),
      },
      { 'seed.jsonl': jsonl(seedPairs), 'texts.jsonl': jsonl(some), 'base/': '{}' },
    );
    const base = given({ arms: [] }, { base: { path: join(own.folder, 'base') } });
    const data = Object.fromEntries(Object.entries(base.data).map(([label, of]) => [label, { ...of, folder: own.folder }]));
    const run = await own.run({ ...base, data });
    t.is(run.step('polish').data.rows, count);
  });

test('K6 no instruction and no response that is kept has a word that rules it out, and no response is a stump', async (t) => {
  for (const { instruction, response } of pairs) {
    t.is(wordIn(instruction, defaults.words.instruction), undefined);
    t.is(wordIn(response, defaults.words.response), undefined);
    t.true(codePoints(response) >= 20);
    t.is(repeatedIn(response), undefined);
  }
  const [asked, answered] = [(await countsOf(ran, 'label')).dropped, (await countsOf(ran, 'polish')).dropped];
  t.true(asked['keyword']! > 10 && asked['repeated-lines']! > 3);
  for (const reason of ['keyword', 'short', 'repetitive']) t.true(answered[reason]! > 2, reason);
});
for (const [text, word] of [
  ['Read the News.', 'news'],
  ['Describe these pictures', 'picture'],
  ['Summarise ＡＲＴＩＣＬＥ 3', 'article'],
  ['请根据图片回答', '图片'],
  ['What is the context of linking and curling?', undefined],
  ['如何学习游泳？', undefined],
] as const)
  test(`K6 "${text}" has ${word ?? 'no such word'}`, (t) =>
    t.is(wordIn(text, ['news', 'picture', 'article', 'text', 'link', 'url', '图片']), word));
test('K6 a year is found in Chinese, where no blank parts it from its sign', (t) => {
  t.is(wordIn('截至2023年', ['2023']), '2023');
  t.is(wordIn('截至２０２３年', ['2023']), '2023');
  t.is(wordIn('Nr. 120231', ['2023']), undefined);
});
for (const [instruction, tidy] of [
  ['How does it work?     Answer: so.', 'How does it work?'],
  ['  Why?  ', 'Why?'],
  ['Why?\nWhy?', 'Why?'],
  ['One.\nTwo.\nTwo.', undefined],
  ['One.\n\nTwo.', 'One.\n\nTwo.'],
] as const)
  test(`K6 of the instruction ${JSON.stringify(instruction)} there is left ${JSON.stringify(tidy)}`, (t) =>
    t.is(tidied(instruction), tidy));
for (const [text, unit] of [
  ['哈哈哈哈哈哈', '哈'],
  ['No no no no no', undefined],
  ['It rains. '.repeat(6), true],
  [`A start of its own, then ${'again and '.repeat(6)}`, true],
  ['a line\n==========\nanother', undefined],
  ['Wait......', undefined],
] as const)
  test(`K6 ${JSON.stringify(text.slice(0, 30))} ${unit === undefined ? 'does not repeat itself' : 'repeats itself'}`, (t) =>
    t.is(repeatedIn(text) !== undefined, unit !== undefined));
test('K7 a text of more than 512 tokens is given no instruction, and with its instruction it must fit as well', async (t) => {
  const shown = (role: string, text: string) => askedOf(role).some(({ content }) => content.includes(text));
  t.deepEqual([shown('label', long), shown('label', brim), shown('label', fitting)], [false, true, true]);
  t.false(shown('answer', brim) || shown('answer', fitting), 'their instructions have eleven words more');
  t.is((await countsOf(ran, 'label')).dropped['too-long'], 1);
  t.is((await countsOf(ran, 'budget')).dropped['too-long'], 2);
  const budget = await valuesOf<Judged>('budget');
  t.true(budget.every(({ text, instruction }) => tokensOf(text).length + tokensOf(instruction).length <= 512));
});

test.serial('K7 texts that perplex the reader are dropped, by a model of one’s choice', async (t) => {
  t.is((await countsOf(ran, 'label')).dropped['perplexing'], 1);
  const other = await made.run(given({}, { reader: { path: join(made.folder, 'other') } }));
  const inputs = other.step('measure').call.inputs as { with: Record<string, ModelRef> };
  t.is(inputs.with['reader']!.digest, other.step('model-reader').model.digest);
});

test('fault 1 each role is asked by its own prompt, of its own model', (t) => {
  const wording = { label: /^下面是一段回答/, point: /^判断一条指令的质量/, answer: /^已知：/ };
  for (const [role, own] of Object.entries(wording)) {
    const asked = askedOf(role);
    t.true(asked.length > 10 && asked.every(({ content }) => own.test(content)), role);
  }
  t.true(askedOf('label').every(({ model }) => model === modelOf('label-model')));
  t.true([...askedOf('point'), ...askedOf('answer')].every(({ model }) => model === modelOf('primary-chat')));
});

test('fault 2 cleaning responses leaves instruction and text as they were', (t) => {
  for (const { instruction, text } of pairs) t.true(labelled.some((one) => one.instruction === instruction && one.text === text));
});

test.serial('fault 4 a step that did not come to its end is not taken for done, and those before it are', async (t) => {
  const other = given({ arms: [], sampling: { label: { temperature: 0.4, maxTokens: 64 }, polish: { temperature: 0.4, maxTokens: 64 } } });
  let dies = true;
  const before = async ({ path }: { path: string }) => {
    if (path !== 'polish' || !dies) return;
    dies = false;
    throw new Error('killed');
  };
  await t.throwsAsync(made.run({ ...other, before }), { message: 'killed' });
  const again = await made.run({ ...other, before });
  t.deepEqual(new Set(again.asked.map(({ role }) => role)), new Set(['answer']));
  t.is(again.step('polish').data.digest, ran.step('polish').data.digest, 'the same replies make the same bytes');
});

test('fault 5 a record is known by what it holds and comes from, whatever its place', async (t) => {
  const all = await Promise.all(['data-texts', ...steps].map((path) => records<{ text: string }>(ran, path)));
  for (const [i, path] of steps.entries()) {
    const before = new Map(all[i]!.map((record) => [record.id, record]));
    const after = all[i + 1]!;
    t.is(new Set(after.map(({ id }) => id)).size, after.length, path);
    const given = new Set(all[i]!.map(({ value }) => value.text));
    t.true(
      after.every(({ value }) => given.has(value.text)),
      path,
    );
    if (ran.step(path).call.operation.includes('>')) continue; // what is between the operators of a chain is no step
    for (const { from, value } of after)
      t.deepEqual(
        from.map((one) => before.get(one)?.value.text),
        [value.text],
        path,
      );
  }
});

test('fault 6 neither text nor instruction is ever cut', (t) => {
  for (const { content } of askedOf('answer'))
    t.true(labelled.some(({ text, instruction }) => content === `已知：${text}\n\n请回答：${instruction}`));
});

test.serial('fault 7 the final model is another one beside the model that it begins with, which stays a result', async (t) => {
  const { model, primary } = ran.results as { model: ModelRef; primary: ModelRef };
  t.not(model.digest, primary.digest);
  const store = made.bench.services.store;
  t.is((await store.model(model)).from, primary.digest);
  t.is((await store.model(primary)).from, modelOf('model-base'));
  const fromBase = await made.run(given({ finalFrom: 'base' }));
  t.is((await store.model((fromBase.results as { model: ModelRef }).model)).from, modelOf('model-base'));
});

test('the final model learns the polished pairs, its control the same instructions with the texts, the other as many drawn blindly', async (t) => {
  const rows = async (path: string) => (await made.trained<Pair>(ran, path)).map(({ chat }) => chat.messages.map(({ content }) => content));
  t.deepEqual(
    await rows('final-chat'),
    pairs.map(({ instruction, response }) => [instruction, response]),
  );
  t.deepEqual(
    await rows('unpolished/final-chat'),
    pairs.map(({ instruction, text }) => [instruction, text]),
  );
  t.is(ran.step('unjudged/drawn').data.rows, ran.step('point').data.rows);
});

test.serial('a judge and an answer model that are given take the place of the chat model', async (t) => {
  const other = { path: join(made.folder, 'other') };
  const run = await made.run(given({ arms: [] }, { point: other, answer: other }));
  const models = new Set([...askedOf('point', run), ...askedOf('answer', run)].map(({ model }) => model));
  t.deepEqual([...models], [run.step('model-point').model.digest]);
});

test.serial('too few pairs stand at a gate', async (t) => {
  const { short } = await made.run(given({ minimum: 1000 }));
  t.deepEqual(
    short.map(({ short }) => short),
    [`wants at least 1000 records and has ${pairs.length}`],
  );
});

test.serial('all of it can be said in English', async (t) => {
  const english = await made.run(
    given({
      arms: [],
      templates: { toInstruction: 'kun.toInstructionEnglish' },
      prompts: { label: 'kun.labellingEnglish', point: 'kun.pointingEnglish', polish: 'kun.polishingEnglish' },
    }),
  );
  t.true(
    english.asked.length > 100 &&
      english.asked.every(({ content }) => texts.some((text) => content.includes(text)) || /^\p{ASCII}/u.test(content)),
  );
  t.true(english.step('polish').data.rows > 10);
});

test('what it does is within its longest plan, in calls and records too', async (t) => {
  const plan = await planOf(name, made, ran.given);
  t.deepEqual(await beyond(plan, ran, made), []);
});
