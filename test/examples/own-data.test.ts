/** The experiment files for data and models of one's own, planned once those are there. */
import { copyFile, cp, mkdir, mkdtemp, readFile, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import test from 'ava';
import { plan } from '../../plan/planner.ts';
import { openServices } from '../../steps/services.ts';
import { loadExperiment } from '../../experiments/config.ts';
import { recipeSchemas } from '../../schemas/recipes/index.ts';

const root = resolve(import.meta.dirname, '../..');

/** The text world's base, with the context of a model of one's own. */
async function putModel(to: string): Promise<void> {
  await cp(join(root, 'examples/textworld/base/plain'), to, { recursive: true });
  const config = JSON.parse(await readFile(join(to, 'config.json'), 'utf8')) as object;
  await writeFile(join(to, 'config.json'), JSON.stringify({ ...config, max_position_embeddings: 32_768 }));
}

async function planned(
  recipe: string,
  files: Readonly<Record<string, readonly object[]>>,
  models: readonly string[] = ['base'],
  encoders: readonly string[] = [],
  sets: readonly string[] = [],
) {
  const folder = await mkdtemp(join(tmpdir(), 'backspin-example-'));
  const file = join(folder, `${recipe}.yaml`);
  await copyFile(join(root, `examples/${recipe}.yaml`), file);
  await mkdir(join(folder, recipe));
  for (const model of models) await putModel(join(folder, recipe, model));
  for (const encoder of encoders) await symlink(join(root, 'examples/textworld/base/encoder'), join(folder, recipe, encoder));
  for (const [name, rows] of Object.entries(files))
    await writeFile(join(folder, recipe, name), rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
  const { bound } = await loadExperiment(file, sets);
  const { steps, missing, warnings } = await plan(await openServices(join(folder, 'home')), bound);
  const trainings = steps.flatMap(({ kind, path, trainingSteps }) => (kind === 'train' ? [`${path}: ${trainingSteps}`] : []));
  return { bound, steps, missing, warnings, trainings };
}

test('humpback: what the paper does', async (t) => {
  const text = `# On tides\n\n${Array.from({ length: 100 }, (_, i) => `word${i * i}`).join(' ')}`;
  const { bound, missing, trainings } = await planned('humpback', {
    'seed.jsonl': [{ prompt: 'Why?', answer: 'Because.' }, { prompt: 'no answer' }],
    'documents.jsonl': [{ text }],
  });
  t.deepEqual(trainings, [
    'backward: 30',
    'forward: 30',
    'r1/forward: 30',
    'r1/random/forward: 30',
    'r2/forward: 30',
    'r2/random/forward: 30',
  ]);
  t.deepEqual(missing, []);
  const { arms, nearDuplicates, ...rest } = bound.parameters as Record<string, unknown>;
  const {
    arms: _,
    nearDuplicates: __,
    ...defaults
  } = recipeSchemas['humpback']!.parameters.parse({ sft: { schedule: 'linear' } }) as Record<string, unknown>;
  t.deepEqual(rest, defaults);
  t.deepEqual([arms, nearDuplicates], [['random'], 0.7]);
});

test('main: two trainings a round, and one behind them', async (t) => {
  const { missing, trainings } = await planned('main', {
    'seed.jsonl': Array.from({ length: 320 }, (_, n) => ({ instruction: `Why ${n}?`, response: `Because of ${n}.` })),
    'texts.jsonl': Array.from({ length: 1000 }, (_, n) => ({ text: `It is known of ${n} that it is a number of many.` })),
  });
  t.deepEqual(trainings.toSorted(), [
    'final: 51',
    'forward: 30',
    ...[1, 2, 3].flatMap((round) => [`r${round}/forward: 60`, `r${round}/reverse: 60`]),
    'reverse: 30',
  ]);
  t.deepEqual(missing, []);
});

test('the plan counts the records that a step will drop, and names the file and line of the first', async (t) => {
  const { missing, warnings } = await planned('main', {
    'seed.jsonl': [
      { instruction: 'Say nothing.', response: '' },
      { instruction: 'Why?', response: 'Because.' },
    ],
    'texts.jsonl': [{ text: 'Rivers begin in the mountains.' }],
  });
  t.deepEqual(missing, []);
  t.deepEqual(warnings, [
    'Step seed reads records by main.humanPair, and will drop 1 of the 2 that do not fit, such as response is ""; at least 1 characters are needed (main/seed.jsonl:1).',
  ]);
});

test('cycle-instruct: nothing is written anew, two trainings a round, clusters on the pool of the trainings', async (t) => {
  const { steps, missing, trainings } = await planned('cycle-instruct', {
    'documents.jsonl': Array.from({ length: 200 }, (_, n) => ({ text: `Why is ${n} a number?\n\nNobody knows why ${n} is one.` })),
  });
  t.deepEqual(
    trainings.map((training) => training.split(':')[0]!).toSorted(),
    ['final', ...[1, 2, 3].flatMap((round) => [`r${round}/a2q`, `r${round}/q2a`])].toSorted(),
  );
  const of = (path: string) => steps.find((step) => step.path === path);
  t.like(of('cluster-answers'), { kind: 'reduce', pool: 'cpu', requests: 0 });
  t.like(of('r1/answer'), { kind: 'map', needs: ['byQuestionMark', 'model-base'] });
  t.is(of('cleanQuestion'), undefined);
  t.deepEqual(missing, []);
});

test('musc: of each instruction two answers, measured as a batch on the pool of the trainings', async (t) => {
  const { steps, missing, trainings } = await planned(
    'musc',
    {
      'queries.jsonl': Array.from({ length: 200 }, (_, n) => ({ instruction: `Write text ${n}, briefly and without the letter e.` })),
      'demos.jsonl': Array.from({ length: 9 }, (_, n) => ({ instruction: `Demo ${n}`, input: null, constraints: ['task', 'short'] })),
    },
    ['policy'],
  );
  t.deepEqual(trainings, ['r1/policy: 450', 'r1/plain/policy: 450']);
  const of = (path: string) => steps.find((step) => step.path === path);
  t.like(of('r1/respond-made-up'), { kind: 'map', in: 1000, pool: 'cpu' });
  t.like(of('r1/measureConfidence'), { kind: 'map', in: 1200, pool: 'cpu', needs: ['r1/pairs', 'model-policy'] });
  t.deepEqual(missing, []);
});

test('air: documents are selected on the pool of the trainings, refined by two models, and train the student and its control', async (t) => {
  const { steps, missing, trainings } = await planned(
    'air',
    { 'documents.jsonl': Array.from({ length: 200 }, (_, n) => ({ text: `Text ${n}. ${'It says something of a river. '.repeat(9)}` })) },
    ['guidance', 'student', 'encoder'],
  );
  t.deepEqual(trainings, ['student: 21', 'initial/student: 21']);
  const of = (path: string) => steps.find((step) => step.path === path);
  t.like(of('diverse'), { kind: 'reduce', in: 200, pool: 'cpu', needs: ['readable', 'model-encoder'] });
  t.like(of('rate'), { kind: 'map', in: 200, requests: 400 });
  t.like(of('refine'), { kind: 'map', in: 200, requests: 200 * 21, needs: ['started', 'model-guidance', 'model-student'] });
  t.like(of('respond-5'), { kind: 'map', requests: 400 });
  t.deepEqual(missing, []);
});

test('crab: constraints of pairs by the annotator, one training of both objectives and its arm, then DPO; every model measured by IFEval', async (t) => {
  const pair = (n: number) => ({
    instruction: `Tell me of river ${n}.`,
    response: `River ${n} is long. ${'It says something of it. '.repeat(50)}`,
  });
  const { steps, missing, warnings, trainings } = await planned(
    'crab',
    {
      'pairs.jsonl': Array.from({ length: 200 }, (_, n) => ({ ...pair(n), source: n % 2 ? 'letters' : 'lessons' })),
      'general.jsonl': Array.from({ length: 120 }, (_, n) => ({
        messages: [
          { role: 'user', content: `Why ${n}?` },
          { role: 'assistant', content: 'So.' },
        ],
      })),
      'preferences.jsonl': Array.from({ length: 64 }, (_, n) => ({
        prompt: [{ role: 'user', content: `Why ${n}?` }],
        chosen: 'So.',
        rejected: 'No.',
      })),
      'ifeval.jsonl': [{ key: 1, prompt: 'Use no commas.', instruction_id_list: ['punctuation:no_comma'], kwargs: [{}] }],
    },
    ['annotator', 'base'],
  );
  t.deepEqual([missing, warnings], [[], []]);
  t.deepEqual(trainings.toSorted(), ['dpo: 1', 'no-reverse/sft: 8', 'sft: 12']);
  const of = (path: string) => steps.find((step) => step.path === path);
  t.like(of('describe'), { kind: 'map', requests: null, needs: ['capSources', 'model-annotator'] });
  t.like(of('general'), { kind: 'reduce', in: 120 });
  t.is(steps.filter(({ operation, requests }) => operation === 'eval.ifeval' && requests === 1).length, 4);
});

test('tegit: a wrapper and a student from one base, and no document of the meta-set is wrapped', async (t) => {
  const passage = (n: number) => ({ text: `Passage ${n} says that river ${n} is long. Buy maps of it here.` });
  const { steps, missing, trainings } = await planned('tegit', {
    'meta.jsonl': Array.from({ length: 64 }, (_, n) => ({
      ...passage(n),
      instruction: `How is river ${n}?`,
      input: '',
      output: 'It is long.',
    })),
    'documents.jsonl': Array.from({ length: 200 }, (_, n) => passage(n + 60)),
  });
  t.deepEqual(trainings.toSorted(), ['student: 27', 'text/student: 27', 'wrapper: 6']);
  t.like(
    steps.find(({ path }) => path === 'wrap'),
    { kind: 'map', pool: 'cpu', needs: ['unseen', 'wrapper'] },
  );
  t.deepEqual(missing, []);
});

test('linguist: a generator for each intent, which its draws share, and a student for each draw, arm and seed', async (t) => {
  const intents = ['AddToPlaylist', 'BookRestaurant', 'GetWeather', 'PlayMusic', 'RateBook', 'SearchCreativeWork', 'SearchScreeningEvent'];
  const rows = (count: number) =>
    intents.flatMap((intent) => Array.from({ length: count }, (_, n) => ({ tokens: ['say', `${n}`], tags: ['O', 'B-number'], intent })));
  const { steps, missing, warnings, trainings } = await planned(
    'linguist',
    { 'train.jsonl': rows(64), 'test.jsonl': rows(5) },
    ['base'],
    ['encoder'],
    ['parameters.studentSft.maxTokens=64'], // all positions of this encoder
  );
  t.deepEqual([missing, warnings], [[], []]);
  const [generators, students] = [
    trainings.filter((one) => one.includes('/generator')),
    trainings.filter((one) => one.includes('/student')),
  ];
  t.deepEqual(
    generators.toSorted(),
    intents.map((intent) => `${intent}/generator: ${Math.ceil((7 * (64 + 5)) / 32)}`),
  );
  t.is(students.length, 7 * 3 * 3 * 3);
  const of = (path: string) => steps.find((step) => step.path === path);
  t.like(of('PlayMusic/draw-2/pass-1/annotate'), {
    kind: 'map',
    in: 1000,
    requests: 1000,
    needs: ['PlayMusic/draw-2/pass-1/briefs', 'PlayMusic/generator'],
  });
  t.like(of('PlayMusic/draw-2/upsampled/student-1/evaluate'), { in: 35, requests: 0 });
});

test('self-lengthen: two adapters a round, drafts and extensions counted one by one, and a final model from all rounds', async (t) => {
  const { bound, steps, missing, trainings } = await planned('self-lengthen', {
    'seeds.jsonl': Array.from({ length: 10 }, (_, n) => ({ instruction: `Write a long history of river ${n}.` })),
  });
  const kept = (texts: number) => Math.ceil(texts * 2 ** (-1 / 3)); // of these at most, by their ranks
  const [initial, extended] = [kept(2 * 5000), kept(2 * kept(2 * 5000))];
  const of = (path: string) => steps.find((step) => step.path === path);
  for (const round of [1, 2, 3]) {
    t.like(of(`r${round}/propose`), { in: 5000, requests: 5000 * 2 * 10 });
    t.like(of(`r${round}/write`), { in: 10_000, requests: 10_000 * 20 });
    t.like(of(`r${round}/lengthen`), { in: 2 * initial, requests: 2 * initial * 20 * 6 });
  }
  t.deepEqual(of('r2/write')!.needs, ['r2/drafts', 'r1/generator']);
  t.like(of('pool'), { in: 3 * (initial + extended) + 10_000 });
  const steps4 = (rows: number) => 4 * Math.ceil(rows / 8);
  t.deepEqual(trainings.toSorted(), [
    `final: ${steps4(3 * (initial + extended) + 10_000)}`,
    ...[1, 2, 3].flatMap((round) => ['extender', 'generator'].map((role) => `r${round}/${role}: ${steps4(extended)}`)),
  ]);
  t.deepEqual(missing, []);
  t.deepEqual(bound.parameters, recipeSchemas['self-lengthen']!.parameters.parse({}), 'the file says the defaults');
});
