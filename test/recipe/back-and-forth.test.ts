/** The acceptance facts of back-and-forth translation, B1 to B8, and what the recipe offers beyond the paper. */
import test from 'ava';
import { parseLetter, markers } from '../../operators/back-and-forth/parse.ts';
import type { Rewritten } from '../../operators/back-and-forth/records.ts';
import { parseRating } from '../../operators/humpback/parse.ts';
import type { Judged, Labelled, Pair } from '../../operators/humpback/records.ts';
import type { DatasetRef, ModelRef, ReportRef } from '../../schemas/call.ts';
import type { BackAndForthParameters } from '../../schemas/recipes/back-and-forth.ts';
import { recipeSchemas } from '../../schemas/recipes/index.ts';
import { checkIn } from '../support/judge-check.ts';
import { beyond, planOf } from '../support/planned.ts';
import {
  arms,
  documents,
  given,
  inputsOf,
  items,
  made,
  marked,
  model,
  modelOf,
  name,
  of,
  pool,
  ran,
  rewriter,
  seedPairs,
  sorted,
  times,
  valuesOf,
} from '../support/back-and-forth.ts';

test('B1 a prompt to rewrite holds the document and its instruction, one to distil the instruction alone', (t) => {
  const [drafts, bare] = [true, false].map((draft) => rewriter.filter(({ content }) => content.includes('Draft') === draft)) as [
    typeof rewriter,
    typeof rewriter,
  ];
  t.true(drafts.length > 30 && bare.length > 10);
  for (const { content } of drafts)
    t.is(pool.filter((pair) => content.includes(pair.instruction) && content.includes(pair.response)).length, 1);
  for (const { content } of bare) {
    t.is(pool.filter((pair) => content.includes(pair.instruction)).length, 1);
    t.false(pool.some((pair) => content.includes(pair.response)));
  }
});

test('B2 what is kept and rewritten was rated 5 as it was found, and is never rated again', async (t) => {
  const rewritten = await valuesOf<Rewritten>(ran, 'both/rewrite');
  t.true(rewritten.length > 10);
  for (const { instruction, draft, response, score } of rewritten) {
    const said = of('scorer').filter(({ content }) => content.includes(instruction) && content.includes(draft));
    t.deepEqual([said.length, score, parseRating(said[0]!.reply)], [1, 5, 5]);
    t.false(of('scorer').some(({ content }) => content.includes(response)));
  }
  t.true((await valuesOf<Judged>(ran, 'filter/pairs')).every(({ score }) => score === 5));
});

test('B3 a rewritten response is the text between the two markers; a record without them reaches no training', async (t) => {
  for (const path of ['both', 'rewrite'] as const) {
    const rewritten = await valuesOf<Rewritten>(ran, `${path}/rewrite`);
    for (const { draft, response } of rewritten) t.is(response, `Better: ${draft}`);
    const asked = rewriter.filter(({ content }) => content.includes('Draft'));
    const unmarked = pool.filter((pair) => {
      const replies = asked.filter(({ content }) => content.includes(pair.response) && content.includes(pair.instruction));
      return replies.length > 0 && replies.every(({ reply }) => !(reply.includes(markers.open) && reply.includes(markers.close)));
    });
    t.true(unmarked.length > 5);
    const trained = new Set((await made.trained<Labelled & Rewritten>(ran, `${path}/student-600`)).map(({ record }) => record.instruction));
    t.false(unmarked.some(({ instruction }) => trained.has(instruction)));
  }
});

test.serial('B3 a reply without markers is asked for again, and no more often than said', async (t) => {
  const asking = async (rewrite: number) => {
    times.clear();
    const run = await made.run({
      ...given({ attempts: { rewrite }, arms: ['rewrite'], size: 60, sampling: { rewrite: { temperature: 0.9, maxTokens: 9 } } }),
      evaluation: {},
    });
    return [...Map.groupBy(of('rewriter', run), ({ content }) => content).values()].map((asked) =>
      asked.map(({ reply }) => marked.test(reply)),
    );
  };
  const twice = await asking(2);
  t.true(twice.some((tries) => tries.join() === 'false,true') && twice.some((tries) => tries.join() === 'false,false'));
  t.true(twice.every((tries) => ['true', 'false,true', 'false,false'].includes(tries.join())));
  t.true((await asking(1)).every(({ length }) => length === 1));
});

test.serial('B3 a prompt that begins the reply with the first marker needs the second alone', async (t) => {
  const opened = await made.run({
    ...given({ prompts: { rewrite: 'back-and-forth.rewritingShown' }, arms: ['rewrite'] }),
    evaluation: {},
  });
  const asked = of('rewriter', opened);
  t.true(asked.length > 30 && asked.every(({ content }) => content.endsWith(markers.open)));
  const kept = await valuesOf<Rewritten>(opened, 'rewrite/rewrite');
  t.true(kept.length > 5 && kept.every(({ draft, response }) => response === `Better: ${draft}`));
});

test('B4 the rewriter is no other model, and no training begins with it', (t) => {
  const [own] = new Set(rewriter.map(({ model }) => model));
  t.is(own, modelOf('model-rewriter'));
  t.true(rewriter.every(({ model }) => model === own));
  t.true(ran.trainings.length >= 14);
  for (const { call, model } of ran.trainings) {
    const { from } = call.inputs as { from: ModelRef };
    t.is(from.digest, modelOf(/student/.test(call.path) ? 'model-student' : 'model-base'));
    t.not(model.digest, own);
  }
  t.false(['model-base', 'model-student', 'backward', 'forward'].map(modelOf).includes(own!));
});

for (const role of ['base', 'student'])
  test.serial(`B4 a rewriter that is the ${role} is refused`, async (t) => {
    const { message } = await t.throwsAsync(made.run(given({}, { rewriter: model(role) })));
    t.regex(message, /models\.rewriter is the model that is trained: .*another lineage/);
  });

test('each arm rewrites, distils or takes the pairs that it is to show: filtered ones, or those of any document', (t) => {
  const over = (path: string) => (ran.step(path).call.inputs as unknown as { readonly over: DatasetRef }).over.digest;
  const [pool, filtered] = ['backtranslate', 'filtered'].map((path) => ran.step(path).data.digest);
  t.deepEqual(['both/rewrite', 'rewrite/rewrite', 'distil/distil'].map(over), [filtered, pool, filtered]);
});

test('B5 every arm is trained on equally many pairs, as many as the smallest has, and on the whole seed', async (t) => {
  const sizes = await Promise.all(arms.map(async (arm) => (await valuesOf(ran, `${arm}/pairs`)).length));
  const found = ['both/rewrite', 'rewrite/rewrite', 'filtered', 'distil/distil'].map((path) => ran.step(path).data.rows);
  t.true(new Set(found).size > 1, 'they had different numbers');
  t.deepEqual(
    sizes,
    arms.map(() => Math.min(...found)),
  );
  for (const arm of arms)
    for (const steps of [600, 900, 1200]) {
      const rows = (await made.trained<Labelled>(ran, `${arm}/student-${steps}`)).map(({ record }) => record);
      t.deepEqual(sorted(rows.filter(({ part }) => part === 'seed')), sorted(seedPairs));
      t.is(rows.filter(({ part }) => part === 'augmented').length, Math.min(...found));
    }
});

test.serial('B5 the smallest may be any of the arms', async (t) => {
  const two = await made.run({ ...given({ arms: ['filter', 'both'], steps: [600] }), evaluation: {} });
  const { rows } = two.step('both/rewrite').data;
  t.true(rows < two.step('filtered').data.rows);
  for (const arm of ['filter', 'both']) t.is(two.step(`${arm}/pairs`).data.rows, rows);
});

test.serial('B5 where all have more, each has just as many as was said', async (t) => {
  const few = await made.run({ ...given({ size: 8 }), evaluation: {} });
  for (const arm of arms) t.is(few.step(`${arm}/pairs`).data.rows, 8);
  for (const arm of ['both', 'rewrite']) t.is(few.step(`${arm}/rewrite`).data.rows, 8, 'no more are rewritten than are needed');
});

test('B6 each arm has a student of each length, all are measured and kept, and the best of them is handed over', (t) => {
  const { sft, steps } = recipeSchemas[name]!.parameters.parse({}) as BackAndForthParameters;
  t.deepEqual(steps, [600, 900, 1200]);
  t.like(sft, { learningRate: 1e-5, schedule: 'cosine', batch: 32, weightDecay: 0.1, dropout: 0.1 });
  const students = arms.flatMap((arm) => steps.map((length) => [arm, length] as const));
  for (const [arm, length] of students) {
    const { spec } = ran.trainings.find(({ call }) => call.path === `${arm}/student-${length}`)!;
    t.like(spec, { steps: length, batch: 32, schedule: 'cosine' });
    t.is((ran.results as Record<string, ModelRef>)[`${arm}-${length}`]!.digest, modelOf(`${arm}/student-${length}`));
  }
  const scores = steps.flatMap((length) =>
    ['forward', 'forwardWeb'].map((tag) => ({
      length,
      score: (ran.step(`both/evaluate-${tag}-${length}`).result as ReportRef).metrics['winRate']!,
    })),
  );
  t.true(new Set(scores.map(({ score }) => score)).size > 1);
  const best = scores.toSorted((a, b) => b.score - a.score || a.length - b.length)[0]!;
  t.is((ran.results as { model: ModelRef }).model.digest, modelOf(`both/student-${best.length}`));
});

test.serial('B6 without a metric to choose by the longest training is handed over; a metric that no suite gives is named', async (t) => {
  const none = await made.run(given({ pickBest: null }));
  t.is((none.results as { model: ModelRef }).model.digest, modelOf('both/student-1200'));
  const { message } = await t.throwsAsync(made.run(given({ pickBest: 'winrate' })));
  t.regex(message, /pickBest is winrate, and the suites give judged, responseChars, winRate: name one of these/);
});

test.serial('B6 the paper trains 70B in one length: one student an arm, and nothing to choose', async (t) => {
  const one = await made.run({ ...given({ steps: [1600], arms: ['both'] }) });
  t.deepEqual(Object.keys(one.results), ['model']);
  t.is((one.results as { model: ModelRef }).model.digest, one.step('both/student').model.digest);
});

test('B7 pairs are judged once, by the model of the seed alone', async (t) => {
  t.deepEqual(
    ran.performed.filter(({ call }) => call.operation.startsWith('humpback.rating')).map(({ call }) => call.path),
    ['judge'],
  );
  t.is(inputsOf(ran, 'judge').with['scorer']!.digest, modelOf('forward'));
  t.is(of('scorer').length, pool.length);
  const rows = await made.trained<Labelled>(ran, 'forward');
  t.deepEqual(sorted(rows.map(({ record }) => record)), sorted(seedPairs));
  t.is(inputsOf(ran, 'forward').from.digest, modelOf('model-base'));
});

test.serial('B8 instructions are written for documents of the head that fit a context, and for no other', async (t) => {
  const wanted = documents.filter(({ text, ...of }) => !('split' in of && of.split !== 'head') && text.length < 400);
  t.deepEqual(pool.map(({ response }) => response).toSorted(), wanted.map(({ text }) => text).toSorted());
  const whole = await made.run({ ...given({ split: null, maxChars: null, arms: ['rewrite'] }), evaluation: {} });
  const texts = (await valuesOf<Pair>(whole, 'backtranslate')).map(({ response }) => response);
  t.deepEqual(
    documents.filter(({ text }) => !texts.includes(text)).map(({ text }) => text.slice(0, 30)),
    ['A document beyond the context.'],
  );
});

test('the backward model learns to ask for a text, in the words that it is then asked with', async (t) => {
  for (const { record, chat } of await made.trained<Pair>(ran, 'backward')) {
    t.deepEqual(chat.messages.at(-1), { role: 'assistant', content: record.instruction });
    t.true(of('backward').every(({ content }) => content.startsWith(chat.messages[0]!.content.split('\n')[0]!)));
  }
});

test.serial('an arm that needs no judge trains none', async (t) => {
  const alone = await made.run({ ...given({ arms: ['rewrite'] }), evaluation: {} });
  t.deepEqual(
    alone.performed.filter(({ call }) => ['judge', 'forward', 'filtered'].includes(call.path)),
    [],
  );
});

test.serial('one gate stands before all trainings, where the arms have too few pairs', async (t) => {
  const { short } = await made.run(given({ minimum: 50 }));
  t.deepEqual(
    short.map(({ path, short }) => [path, short]),
    [['gate', `wants at least 50 records and has ${ran.step('both/pairs').data.rows}`]],
  );
});

test.serial('a share of the pairs can be kept by their likelihood, where a model cannot rate', async (t) => {
  const half = await made.run({ ...given({ judge: 'likelihood', keep: { share: 0.5 }, arms: ['both'] }), evaluation: {} });
  t.is(half.step('filtered').data.rows, Math.floor(pool.length / 2));
  t.is(of('scorer', half).length, 0);
});

test('a suite is judged by the model that the file casts, in both orders, and what cannot be read does not count', (t) => {
  const asked = of('judge');
  t.true(asked.length > 0 && asked.every(({ model }) => model === modelOf('model-teacher')));
  const { metrics } = ran.step('both/evaluate-forward-600').result as ReportRef;
  const answer = of('model').find(({ model }) => model === modelOf('both/student-600'))!.reply;
  const verdicts = items.flatMap(({ reference }) =>
    [
      ['A', answer, reference],
      ['B', reference, answer],
    ].map(([own, first, second]) => {
      const { reply } = asked.find(
        ({ content }) => content.includes(`Answer A:\n${first}\n`) && content.includes(`Answer B:\n${second}\n`),
      )!;
      return parseLetter(reply) === undefined ? null : parseLetter(reply) === own;
    }),
  );
  const read = verdicts.filter((one) => one !== null);
  t.true(read.length > 0 && read.length < verdicts.length);
  t.is(metrics['winRate'], read.filter(Boolean).length / read.length);
  t.is(metrics['judged'], read.length / verdicts.length);
});

test('what it does is within its longest plan, in calls and records too', async (t) => {
  const plan = await planOf(name, made, ran.given);
  t.deepEqual(await beyond(plan, ran, made), []);
  const at = (path: string) => plan.steps.find((step) => step.path === path)!;
  t.is(at('rewrite/rewrite').requests, 2 * at('rewrite/rewrite').in!);
  t.is(at('both/mixed').in, 30 + seedPairs.length);
});

test.serial('the judge of all arms is measured once, on seed pairs', async (t) => {
  const run = await made.run(given({ judgeCheck: { pairs: 6, gate: true, minAuc: 1 } }));
  const { real, shuffled, judges, metrics, beyond } = await checkIn(name, made, run);
  t.deepEqual(beyond, []);
  t.deepEqual(
    judges.map(({ digest }) => digest),
    [run.step('forward').model.digest],
  );
  t.deepEqual([real.length, shuffled.length], [6, 6]);
  t.true(metrics['auc']! < 1);
  t.deepEqual(
    run.short.map(({ path }) => path),
    ['judge-check-gate'],
  );
  t.deepEqual(run.results, ran.results);
});
