/** The acceptance facts of back-and-forth translation, B1 to B8, and what the recipe offers beyond the paper. */
import { join } from 'node:path';
import test from 'ava';
import { TooLong } from '../../inference/client.ts';
import { betweenMarkers, letterIn, markers } from '../../operators/back-and-forth/parse.ts';
import type { Rewritten } from '../../operators/back-and-forth/records.ts';
import { parseRating } from '../../operators/humpback/parse.ts';
import type { Judged, Labelled, Pair } from '../../operators/humpback/records.ts';
import type { DatasetRef, ModelRef, ReportRef } from '../../schemas/call.ts';
import type { BoundConfig } from '../../schemas/config.ts';
import type { BackAndForthParameters } from '../../schemas/recipes/back-and-forth.ts';
import { recipeSchemas } from '../../schemas/recipes/index.ts';
import { sha256 } from '../../schemas/canonical.ts';
import { beyond, planOf } from '../support/planned.ts';
import { jsonl, stage, type Given, type Ran } from '../support/recipe.ts';

const lot = (text: string, sides: number) => Number.parseInt(sha256(text).slice(0, 8), 16) % sides;
const seedPairs = Array.from({ length: 20 }, (_, n) => ({ instruction: `Seed question ${n}?`, response: `Seed answer ${n}.` }));
const documents = [
  ...Array.from({ length: 60 }, (_, n) => ({ text: `Document ${n} of the head.`, split: 'head' })),
  ...Array.from({ length: 5 }, (_, n) => ({ text: `Document ${n} of no split.` })),
  { text: 'A document of the middle.', split: 'middle' },
  { text: 'A document of the tail.', split: 'tail' },
  { text: `A long document. ${'word '.repeat(100)}`, split: 'head' },
  { text: `A document beyond the context. ${'word '.repeat(300)}`, split: 'head' },
];
const items = Array.from({ length: 8 }, (_, n) => ({ instruction: `What is tide ${n}?`, reference: `Reference ${n}.` }));

/** Two thirds of the ratings are a 5; a third of the rewritings lacks a marker, and a tenth gets it at the second try. */
const judgements = ['I cannot say.', 'Score: 8', 'Score: 3', 'Fine.\nScore: 5', 'Score: 5', 'Score: 5'];
const rewritings = (text: string) => [
  `Certainly!\n[RES] Better: ${text} [/RES]\nI kept its words.`,
  `[RES]Better: ${text}[/RES]`,
  `[RES]\nBetter: ${text}\n[/RES]`,
  `Better: ${text}`,
  `[RES] Better: ${text}`,
  `Better: ${text} [/RES]`,
];
const times = new Map<string, number>();
function reply(role: string, model: string, content: string): string {
  if (role === 'backward' && content.length > 1200) throw new TooLong('the prompt is too long');
  if (role === 'backward') return ` What is ${sha256(content).slice(0, 8)}?\n`;
  if (role === 'scorer') return judgements[lot(content, judgements.length)]!;
  if (role === 'model') return `An answer of ${model.slice(0, 8)}.`;
  if (role === 'judge') return lot(content, 3) === 0 ? 'A.' : lot(content, 3) === 1 ? 'Answer B is better' : 'Neither.';
  if (!content.includes('Draft')) return `Distilled ${sha256(content).slice(0, 8)}.`;
  const before = times.get(content) ?? 0;
  times.set(content, before + 1);
  const [first] = documents.filter(({ text }) => content.includes(text));
  const said = rewritings(first!.text);
  return lot(content, 10) === 0 ? said[before === 0 ? 3 : 0]! : said[lot(content, said.length)]!;
}

const name = 'back-and-forth';
const made = await stage(
  name,
  { reply, score: () => [{ id: 0, logprob: -1, entropy: null }] },
  {
    'seed.jsonl': jsonl(seedPairs),
    'documents.jsonl': jsonl(documents),
    'base/': '{}',
    'student/': '{"of": "students"}',
    'rewriter/': '{"of": "others"}',
    'teacher/': '{"of": "judges"}',
  },
);
const { folder } = made;
const model = (name: string) => ({ path: join(folder, name) });
const source = (path: string) => ({ source: 'std.jsonl', params: { path }, folder });
const winRate = { id: 'back-and-forth.winRate', with: { judge: 'teacher' } };
const evaluation: BoundConfig['evaluation'] = {
  forward: { ...winRate, params: { items } },
  forwardWeb: { ...winRate, params: { items, prompts: { respond: 'humpback.response' } } },
  pairs: { id: 'humpback.pairs', params: {} },
};
const arms = ['both', 'rewrite', 'filter', 'distil'] as const;
const given = (parameters: object = {}, models: BoundConfig['models'] = {}): Given => ({
  parameters: { minimum: 1, size: 30, arms, maxChars: 400, ...parameters },
  data: { seed: source('seed.jsonl'), documents: source('documents.jsonl') },
  models: { base: model('base'), student: model('student'), rewriter: model('rewriter'), teacher: model('teacher'), ...models },
  evaluation,
});
const ran = await made.run(given());
const inputsOf = (run: Ran, path: string) =>
  run.step(path).call.inputs as { from: ModelRef; data: DatasetRef; over: DatasetRef; with: Record<string, ModelRef> };
const valuesOf = async <T>(run: Ran, path: string) => (await made.rows<T>(run.step(path).data)).map(({ value }) => value);
const modelOf = (path: string): string => ran.step(path).model.digest;
const of = (role: string, run = ran) => run.asked.filter((one) => one.role === role);
const sorted = (pairs: readonly Pair[]) => pairs.map(({ instruction, response }) => JSON.stringify([instruction, response])).toSorted();
const pool = await valuesOf<Pair>(ran, 'backtranslate');
const rewriter = of('rewriter');
const marked = /\[RES\][^]*\[\/RES\]/;

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

for (const [title, reply, found] of [
  ['both, with talk around them', 'Sure:\n[RES]\n It rains. \n[/RES]\nHope that helps', 'It rains.'],
  ['none', 'It rains.', 'no-markers'],
  ['none at its end', '[RES] It rains.', 'no-end-marker'],
  ['none at its beginning', 'It rains. [/RES]', 'no-markers'],
  ['them in the wrong order', '[/RES] It rains. [RES]', 'no-end-marker'],
  ['two pairs', '[RES] It rains. [/RES] [RES] It pours. [/RES]', 'several-markers'],
  ['an end that comes twice', '[RES] It rains. [/RES] or not [/RES]', 'several-markers'],
  ['a beginning that comes twice', '[RES] It [RES] rains. [/RES]', 'several-markers'],
  ['nothing between them', '[RES] \n [/RES]', 'empty'],
] as const)
  test(`B3 of markers a reply has ${title}`, (t) => {
    const between = betweenMarkers(reply);
    t.is(typeof between === 'string' ? between : between.dropped, found);
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
    ...given({ prompts: { rewrite: 'back-and-forth.rewritingOpened' }, arms: ['rewrite'] }),
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
      return letterIn(reply) === undefined ? null : letterIn(reply) === own;
    }),
  );
  const read = verdicts.filter((one) => one !== null);
  t.true(read.length > 0 && read.length < verdicts.length);
  t.is(metrics['winRate'], read.filter(Boolean).length / read.length);
  t.is(metrics['judged'], read.length / verdicts.length);
});

for (const [verdict, letter] of [
  ['A', 'A'],
  ['**B**', 'B'],
  ['Answer A is better.', 'A'],
  ['Answer: b', 'B'],
  ['A good answer is B.', undefined],
  ['Both are good.', undefined],
  ['An answer', undefined],
  ['', undefined],
] as const)
  test(`the verdict "${verdict}" is ${letter ?? 'none'}`, (t) => t.is(letterIn(verdict), letter));

test('what it does is within its longest plan, in calls and records too', async (t) => {
  const plan = await planOf(name, made, ran.given);
  t.deepEqual(await beyond(plan, ran, made), []);
  const at = (path: string) => plan.steps.find((step) => step.path === path)!;
  t.is(at('rewrite/rewrite').requests, 2 * at('rewrite/rewrite').in!);
  t.is(at('both/mixed').in, 30 + seedPairs.length);
});
