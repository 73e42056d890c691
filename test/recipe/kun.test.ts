/** The acceptance facts of Kun, K1 to K7, and the faults of its published code. */
import { join } from 'node:path';
import test from 'ava';
import type { Pair } from '../../operators/humpback/records.ts';
import type { Judged } from '../../operators/kun/records.ts';
import { codePoints } from '../../operators/lengths.ts';
import { findRepetition, findKeyword } from '../../operators/kun/rules.ts';
import type { DatasetRef, ModelRef } from '../../schemas/call.ts';
import { checkIn } from '../support/judge-check.ts';
import { beyond, planOf } from '../support/planned.ts';
import { jsonl, stage } from '../support/recipe.ts';
import {
  askedOf,
  brim,
  countsOf,
  defaults,
  fitting,
  given,
  labelled,
  long,
  made,
  modelOf,
  name,
  pairs,
  ran,
  records,
  seedPairs,
  steps,
  texts,
  tokensOf,
  valuesOf,
} from '../support/kun.ts';

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
    t.is(findKeyword(instruction, defaults.words.instruction), undefined);
    t.is(findKeyword(response, defaults.words.response), undefined);
    t.true(codePoints(response) >= 20);
    t.is(findRepetition(response), undefined);
  }
  const [asked, answered] = [(await countsOf(ran, 'label')).dropped, (await countsOf(ran, 'polish')).dropped];
  t.true(asked['keyword']! > 10 && asked['repeated-lines']! > 3);
  for (const reason of ['keyword', 'short', 'repetitive']) t.true(answered[reason]! > 2, reason);
});

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
  const drawn = ran.step('unjudged/drawn').call.inputs as unknown as { readonly inputs: { readonly of: DatasetRef } };
  t.is(drawn.inputs.of.digest, ran.step('label').data.digest, 'also those that the judge calls bad');
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

test.serial('the judge is measured on instructions of the seed and on responses in their place', async (t) => {
  const run = await made.run(given({ judgeCheck: { pairs: 4 } }));
  const { real, shuffled, judges, metrics, beyond } = await checkIn(name, made, run);
  t.deepEqual(beyond, []);
  const own = new Map(seedPairs.map(({ instruction, response }) => [instruction, response]));
  t.is(real.length, 4);
  t.true(real.every(({ instruction, text }) => own.get(instruction as string) === text));
  t.true(shuffled.length > 0 && shuffled.every(({ instruction, text }) => !own.has(instruction as string) && instruction !== text));
  t.deepEqual(
    judges.map(({ digest }) => digest),
    [run.step('primary-chat').model.digest],
  );
  t.true(metrics['auc']! >= 0);
  t.deepEqual(run.results, ran.results);
});
