/** The acceptance facts of Humpback, H1 to H8, and what the recipe offers beyond the paper. */
import test from 'ava';
import { resolve } from '../../steps/resolve.ts';
import { lengthOf } from '../../steps/train.ts';
import { parseRating } from '../../operators/humpback/parse.ts';
import { tags } from '../../operators/humpback/prompts.ts';
import type { Judged, Labelled, Pair } from '../../operators/humpback/records.ts';
import type { Chat } from '../../recipe/index.ts';
import type { DatasetRef, ModelRef } from '../../schemas/call.ts';
import type { HumpbackParameters } from '../../schemas/recipes/humpback.ts';
import { recipeSchemas } from '../../schemas/recipes/index.ts';
import { humpback, instructions, seedPairs, type Ran } from '../support/humpback.ts';
import { beyond, planOf } from '../support/planned.ts';

const paper = await humpback();
const ran = await paper.run({ arms: ['random'] });
const { bench } = paper;
const { asked } = ran;
const modelOf = (path: string): string => ran.step(path).model.digest;
const inputsOf = (run: Ran, path: string) =>
  run.step(path).call.inputs as { from: ModelRef; data: DatasetRef; template: string; over: DatasetRef; with: Record<string, ModelRef> };

const rowsOf = (run: Ran, path: string) => paper.trained<Labelled>(run, path);
const tagsIn = (chat: Chat) =>
  Object.entries(tags).flatMap(([part, tag]) => (chat.messages.some(({ content }) => content.includes(tag)) ? [part] : []));
const pairOf = ({ instruction, response }: Pair) => JSON.stringify([instruction, response]);

/** Replies without a rating, or with one off the scale, in order. */
const unrated = ['I cannot say.', 'Score: 3 and more', 'Score: 8'];

for (const [t_, scorer] of [
  [1, 'forward'],
  [2, 'r1/forward'],
] as const) {
  test(`H1 A^(${t_}) is just what M_${t_ - 1} rated 4.5 or better; no rating, or one off the scale, never enters`, async (t) => {
    const pool = (await paper.rows<Pair>(ran.step('backtranslate').data)).map(({ value }) => value);
    const said = asked.filter(({ role, model }) => role === 'scorer' && model === modelOf(scorer));
    const rated = pool.map((pair) => ({
      pair,
      reply: said.find(({ content }) => content.includes(pair.instruction) && content.includes(pair.response))!.reply,
    }));
    const wanted = rated.filter(
      ({ pair, reply }) => /(^|\n)Score: 5$/.test(reply) && pair.instruction.length >= 10 && pair.instruction.length <= 800,
    );
    const curated = (await paper.rows<Judged>(ran.step(`r${t_}/curated`).data)).map(({ value }) => value);
    t.deepEqual(curated.map(pairOf).toSorted(), wanted.map(({ pair }) => pairOf(pair)).toSorted());
    t.true(curated.every(({ score, judgement }) => score >= 4.5 && score <= 5 && score === parseRating(judgement)));
    t.true(rated.some(({ reply }) => unrated.includes(reply)));
  });
}

test('the output of a judge tells how the replies end that hold no rating, the most frequent first', async (t) => {
  const { call } = ran.step('r1/judge');
  const { stepKey } = await resolve(call, bench.context, await bench.services.registry([]));
  const { unread, dropped } = (await bench.services.store.output(stepKey))!;
  const said = asked.filter(({ role, model }) => role === 'scorer' && model === modelOf('forward')).map(({ reply }) => reply);
  t.deepEqual(
    unread!.map(({ ending }) => ending).toSorted(),
    unrated.filter((reply) => said.includes(reply)),
  );
  t.is(
    unread!.reduce((sum, { count }) => sum + count, 0),
    dropped['no-score']!,
  );
  t.deepEqual(
    unread!.map(({ count }) => count),
    unread!.map(({ count }) => count).toSorted((a, b) => b - a),
  );
});

test('H2 every model descends from the base alone', async (t) => {
  const base = modelOf('model-base');
  const trained = ['backward', 'forward', 'r1/forward', 'r2/forward'].map(modelOf);
  const parents = await Promise.all(trained.map(async (digest) => (await bench.services.store.model({ digest })).from));
  t.deepEqual(parents, [base, base, base, base]);
  t.is(new Set([base, ...trained]).size, 5);
});

test('H3 M_yx learns to give the instruction of a response', async (t) => {
  const rows = await rowsOf(ran, 'backward');
  t.is(rows.length, seedPairs.length);
  for (const { record, chat } of rows) {
    t.deepEqual(chat.messages.at(-1), { role: 'assistant', content: record.instruction });
    const given = chat.messages
      .slice(0, -1)
      .map(({ content }) => content)
      .join('\n');
    t.true(given.includes(record.response) && !given.includes(record.instruction));
  }
});

test('H3 M_yx writes one instruction for each segment, once', async (t) => {
  const { over } = inputsOf(ran, 'backtranslate');
  t.is(asked.filter(({ role }) => role === 'backward').length, over.rows);
  t.true(asked.every(({ role, model }) => (role === 'backward') === (model === modelOf('backward'))));
  const pool = await paper.rows(ran.step('backtranslate').data);
  t.is(new Set(pool.flatMap(({ from }) => from)).size, pool.length);
  t.is(inputsOf(ran, 'r1/judge').over.digest, inputsOf(ran, 'r2/judge').over.digest);
  t.is(inputsOf(ran, 'r1/judge').over.digest, ran.step('backtranslate').data.digest);
});

test('H4 each pool is judged by the model of the round before, and the last model is not asked to judge', (t) => {
  t.is(inputsOf(ran, 'r1/judge').with['scorer']!.digest, modelOf('forward'));
  t.is(inputsOf(ran, 'r2/judge').with['scorer']!.digest, modelOf('r1/forward'));
  t.deepEqual(
    new Set(asked.flatMap(({ role, model }) => (role === 'scorer' ? [model] : []))),
    new Set([modelOf('forward'), modelOf('r1/forward')]),
  );
  t.is((ran.results as { model: ModelRef }).model.digest, modelOf('r2/forward'));
});

for (const t_ of [1, 2]) {
  test(`H5 D_${t_} is the whole seed under S_a and all that was curated under S_w`, async (t) => {
    const curated = (await paper.rows<Judged>(ran.step(`r${t_}/curated`).data)).map(({ value }) => value);
    const rows = await rowsOf(ran, `r${t_}/forward`);
    const tagged = (tag: string) =>
      rows
        .filter(({ chat }) => tagsIn(chat).join() === tag)
        .map(({ record }) => pairOf(record))
        .toSorted();
    t.deepEqual(tagged('seed'), seedPairs.map(pairOf).toSorted());
    t.deepEqual(tagged('augmented'), curated.map(pairOf).toSorted());
    t.is(rows.length, seedPairs.length + curated.length);
    t.true(curated.length > 0);
  });
}

test('H5 M_0 sees the seed under S_a, and models are evaluated with both tags in the prompt', async (t) => {
  t.true((await rowsOf(ran, 'forward')).every(({ chat }) => tagsIn(chat).join() === 'seed'));
  const prompts = asked.filter(({ role }) => role === 'model');
  t.true(instructions.every((instruction) => prompts.some(({ content }) => content.startsWith(instruction))));
  t.true(prompts.every(({ content }) => content.includes(tags.seed) && content.includes(tags.augmented)));
});

test.serial('H5 replayed rows are a third part without a tag, in every forward training', async (t) => {
  const replay = [{ instruction: 'Rate this answer.', response: 'Score: 1' }];
  const replayed = await paper.run({}, { replay });
  for (const path of ['forward', 'r1/forward', 'r2/forward']) {
    const rows = await rowsOf(replayed, path);
    const bare = rows.filter(({ chat }) => tagsIn(chat).length === 0);
    t.deepEqual(
      bare.map(({ chat }) => chat.messages.map(({ content }) => content)),
      [[replay[0]!.instruction, replay[0]!.response]],
    );
    t.is(rows.filter(({ record }) => record.part === 'seed').length, seedPairs.length);
  }
});

const { sft } = recipeSchemas['humpback']!.parameters.parse({}) as HumpbackParameters;
for (const [rows, batch, steps] of [
  [100, 8, 30],
  [800, 8, 300],
  [1600, 8, 600],
  [2999, 8, 500],
  [3000, 32, 500],
  [3200, 32, 500],
  [6400, 32, 600],
  [12_800, 32, 600],
  [25_600, 32, 1200],
  [45_000, 32, 1600],
  [51_200, 32, 1600],
] as const) {
  test(`H6 ${rows} rows are trained on for ${steps} steps of ${batch}`, (t) => t.deepEqual(lengthOf(sft, rows), { batch, steps }));
}

test('H6 every training goes in a straight line from 1e-5 to 9e-6', async (t) => {
  for (const { spec, model } of ran.trainings) {
    t.deepEqual(spec.learningRate, { from: 1e-5, to: 9e-6 });
    t.like(spec, { schedule: 'linear', warmup: 0, weightDecay: 0.1, dropout: 0.1, batch: 8 });
    t.is((await bench.services.store.model(model)).lastLearningRate, 9e-6);
  }
});

test.serial('H7 another threshold judges and generates nothing anew in its first round', async (t) => {
  const looser = await paper.run({ arms: ['random'], keep: { threshold: 4 } });
  t.true(looser.step('r1/curated').data.rows > ran.step('r1/curated').data.rows);
  t.deepEqual(looser.trainings.map(({ call }) => call.path).toSorted(), [
    'r1/forward',
    'r1/random/forward',
    'r2/forward',
    'r2/random/forward',
  ]);
  const anew = looser.asked.filter(({ role }) => role !== 'model');
  t.true(anew.length > 0 && anew.every(({ role, model }) => role === 'scorer' && model === looser.step('r1/forward').model.digest));
});

test.serial('H7 a threshold that keeps the same pairs asks and trains nothing at all', async (t) => {
  const same = await paper.run({ arms: ['random'], keep: { threshold: 4.9 } });
  t.deepEqual([same.asked, same.trainings], [[], []]);
  t.deepEqual(same.results, ran.results);
});

test('H8 every segment has 600 to 3000 characters under a header that is no shout', async (t) => {
  const segments = await paper.rows<{ text: string; header: string }>(ran.step('data-corpus').data);
  t.is(segments.length, 61);
  t.true(segments.every(({ value: { text } }) => text.length >= 600 && text.length <= 3000));
  t.true(segments.every(({ value: { header } }) => header !== '' && header !== header.toUpperCase()));
});

test('H8 M_yx and M_0 are trained side by side', async (t) => {
  const begun = { backward: Promise.withResolvers<void>(), forward: Promise.withResolvers<void>() };
  const other = await humpback();
  await other.run(
    { rounds: 1 },
    {
      async before({ path }) {
        if (path !== 'backward' && path !== 'forward') return;
        begun[path].resolve();
        await Promise.all([begun.backward.promise, begun.forward.promise]); // for ever, if one waits for the other
      },
    },
  );
  t.pass();
});

test('the random arm trains on as many pairs as were curated, drawn afresh from the whole pool', async (t) => {
  const pool = new Set((await paper.rows(ran.step('backtranslate').data)).map(({ id }) => id));
  const draws = await Promise.all([1, 2].map(async (t_) => (await paper.rows(ran.step(`r${t_}/random/curated`).data)).map(({ id }) => id)));
  t.deepEqual(
    draws.map(({ length }) => length),
    [1, 2].map((t_) => ran.step(`r${t_}/curated`).data.rows),
  );
  t.true(draws.flat().every((id) => pool.has(id)));
  t.notDeepEqual(new Set(draws[0]), new Set(draws[1]));
  const rows = await rowsOf(ran, 'r1/random/forward');
  t.is(rows.length, seedPairs.length + ran.step('r1/curated').data.rows);
});

test.serial('of near-duplicates only the first is given an instruction', async (t) => {
  const { step } = await paper.run({ rounds: 1, nearDuplicates: 0.7 });
  const asked = await paper.rows<{ header: string }>((step('backtranslate').call.inputs as { over: DatasetRef }).over);
  t.deepEqual([asked.length, asked.some(({ value }) => value.header === 'Section 0 again')], [60, false]);
});

test.serial('keep: all asks no judge and trains on the whole pool', async (t) => {
  const naive = await paper.run({ rounds: 1, keep: 'all' });
  t.true(naive.asked.every(({ role }) => role === 'model'));
  t.is(naive.step('r1/mixed').data.rows, seedPairs.length + naive.step('backtranslate').data.rows);
});

for (const judge of ['expected', 'likelihood'] as const) {
  test.serial(`the ${judge} judge asks for no text; of its scores a share is kept, the best ones`, async (t) => {
    const half = await paper.run({ rounds: 1, judge, keep: { share: 0.5 } });
    t.is(half.asked.filter(({ role }) => role === 'scorer').length, 0);
    const judged = (await paper.rows<Judged>(half.step('r1/judge').data)).map(({ value }) => value.score).toSorted((a, b) => b - a);
    const curated = (await paper.rows<Judged>(half.step('r1/curated').data)).map(({ value }) => value.score).toSorted((a, b) => b - a);
    t.deepEqual(curated, judged.slice(0, Math.floor(judged.length / 2)));
    t.true(judged.every((score) => (judge === 'expected' ? score >= 1 && score <= 5 : score < 0)));
  });
}

test.serial('at most `take` pairs are kept', async (t) => {
  const few = await paper.run({ rounds: 1, take: 7 });
  t.is(few.step('r1/curated').data.rows, 7);
});

test.serial('a round with too few curated pairs stands at its gate', async (t) => {
  const { short } = await paper.run({ minimum: 40 });
  t.deepEqual(
    short,
    [1, 2].map((round) => ({
      path: `r${round}/gate`,
      round,
      short: `wants at least 40 records and has ${ran.step(`r${round}/curated`).data.rows}`,
    })),
  );
});

test.serial('`seedSft` changes the trainings on the seed alone', async (t) => {
  const { trainings } = await paper.run({ rounds: 1, seedSft: { batch: 4, length: { steps: 3 } } });
  const specs = trainings.map(({ call, spec: { batch, steps } }) => `${call.path}: ${steps} of ${batch}`);
  t.deepEqual(specs.toSorted(), ['backward: 3 of 4', 'forward: 3 of 4', 'r1/forward: 30 of 8']);
});

test('a scorer that is given judges in every round, in place of the model of the round before', async (t) => {
  const run = await paper.run({}, { scorer: true });
  const judged = run.asked.filter(({ role }) => role === 'scorer').map(({ model }) => model);
  t.deepEqual([...new Set(judged)], [run.step('model-scorer').model.digest]);
  t.true(['r1/judge', 'r2/judge'].every((path) => inputsOf(run, path).with['scorer']!.digest === judged[0]));
});

for (const parameters of [
  { attempts: 3 },
  { judge: 'expected', keep: { share: 0.5 } },
  { judge: 'likelihood', keep: { share: 0.5 } },
  { keep: 'all' },
] as const)
  test.serial(`what it does is within its longest plan, in calls and records too: ${JSON.stringify(parameters)}`, async (t) => {
    const run = await paper.run({ arms: ['random'], nearDuplicates: 0.7, ...parameters });
    const plan = await planOf('humpback', paper, run.given);
    t.deepEqual(await beyond(plan, run, paper), []);
    const judging = plan.steps.find(({ path }) => path === 'r1/judge');
    if ('attempts' in parameters) t.is(judging!.requests, 3 * judging!.in!);
    if ('judge' in parameters) t.is(judging!.requests, judging!.in);
  });
