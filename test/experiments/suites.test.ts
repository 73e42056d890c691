import test from 'ava';
import { plan } from '../../plan/planner.ts';
import { openServices } from '../../steps/services.ts';
import { loadExperiment, rebind } from '../../experiments/config.ts';
import { file, temporary } from '../cli/cli.ts';
import { fault, sound, world, write } from './written.ts';

const judged = `${sound
  .replace('evaluation:', `  teacher: { path: ${world}/base/plain }\nevaluation:`)
  .replace(
    '{ suite: textworld.forward, params: { seed: 0 } }',
    '{ suite: back-and-forth.winRate, with: { judge: teacher }, params: { items: [{ instruction: Why?, reference: So. }] } }',
  )}roles: { judge: { slots: 4 } }\n`;

test('a suite has the models in its roles that the file casts, which the recipe need not know; so has its fork', async (t) => {
  const { bound } = await loadExperiment(write(judged));
  t.deepEqual(bound.evaluation['forward']!.with, { judge: 'teacher' });
  t.is(bound.roles['judge']!.slots, 4);
  t.deepEqual((await rebind(bound, [], 'child')).bound.evaluation, bound.evaluation);
  const { steps, missing } = await plan(await openServices(temporary()), bound);
  t.deepEqual(missing, []);
  const measured = steps.find(({ path }) => path === 'evaluate-forward')!;
  t.true(measured.needs.includes('model-teacher'));
  t.is(measured.requests, 3);
});

test('a role of a suite without a model is named, and how to cast it', async (t) => {
  const bare = judged
    .replace(/ {2}teacher: .*\n/, '')
    .replace('with: { judge: teacher }, ', '')
    .replace(/roles: .*\n/, '');
  t.regex(
    await fault(t, bare),
    /9:3 evaluation\.forward: the suite back-and-forth\.winRate asks a model in the role judge: name it under `with`, as in with: \{ judge: base \}/,
  );
});

for (const [title, from, to, says] of [
  [
    'a role that its suite has not',
    '{ judge: teacher }',
    '{ judge: teacher, judges: teacher }',
    /with\.judges: .*casts no such role; the nearest is "judge"/,
  ],
  [
    'a model in the role that is measured',
    '{ judge: teacher }',
    '{ judge: teacher, model: base }',
    /with\.model: .*no such role, being what it measures/,
  ],
  [
    'a model that the file has not',
    '{ judge: teacher }',
    '{ judge: techer }',
    /with\.judge: there is no techer under `models`; the nearest is "teacher"/,
  ],
  [
    'a model in no role and for no recipe',
    'with: { judge: teacher }',
    'with: { judge: base }',
    /models\.teacher: the recipe humpback has no use for this/,
  ],
  ['a model that is called as a parameter is', /teacher/g, 'rounds', /models\.rounds: the recipe humpback has something else of this name/],
] as const)
  test(`${title} is refused, by name`, async (t) => t.regex(await fault(t, judged.replace(from, to)), says));

const lines = [
  { prompt: 'Be brief.', instruction_id_list: ['punctuation:no_comma'], kwargs: [{}] },
  { prompt: 'Be brief.', instruction_id_list: ['punctuation:no_coma'], kwargs: [{}] },
];
const checks = file(temporary(), 'checks.jsonl', lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
const onData = sound
  .replace('models:', `  checks: { source: std.table, params: { path: ${checks} } }\nmodels:`)
  .replace('{ suite: textworld.forward, params: { seed: 0 } }', '{ suite: eval.ifeval, data: checks }');

test('a suite without items asks the records of the dataset that the file names; so does its fork', async (t) => {
  const { bound } = await loadExperiment(write(onData));
  t.is(bound.evaluation['forward']!.data, 'checks');
  t.deepEqual((await rebind(bound, [], 'child')).bound.evaluation, bound.evaluation);
  const { steps, missing, warnings } = await plan(await openServices(temporary()), bound);
  t.deepEqual(missing, []);
  const measured = steps.find(({ path }) => path === 'evaluate-forward')!;
  t.true(measured.needs.includes('data-checks'));
  t.deepEqual([measured.in, measured.requests], [2, 2]);
  t.true(
    warnings.some((one) =>
      /evaluate-forward reads records by eval\.ifeval, and will drop 1 of the 2 .*instruction_id_list\.0 is "punctuation:no_coma".*checks\.jsonl:2/.test(
        one,
      ),
    ),
    warnings.join('\n'),
  );
});

test('a suite without items needs a dataset', async (t) => {
  const none = onData.replace(', data: checks', '').replace(/ {2}checks: .*\n/, '');
  t.regex(await fault(t, none), /evaluation\.forward: the suite eval\.ifeval has no items of its own: name a dataset under `data`/);
});

for (const [title, from, to, says] of [
  [
    'a dataset that the file has not',
    'data: checks',
    'data: check',
    /evaluation\.forward\.data: there is no check under `data`; the nearest is "checks"/,
  ],
  [
    'a dataset for a suite that has its items',
    'eval.ifeval',
    'textworld.forward',
    /evaluation\.forward\.data: the suite textworld\.forward asks no dataset/,
  ],
  [
    'a dataset for a suite of datasets',
    'eval.ifeval',
    'humpback.pairs',
    /evaluation\.forward\.data: the suite humpback\.pairs asks no dataset/,
  ],
  ['a dataset that no suite asks', ', data: checks', ', data: seed', /data\.checks: the recipe humpback has no use for this/],
  ['a dataset that is called as a parameter is', /checks/g, 'rounds', /data\.rounds: the recipe humpback has something else of this name/],
  ['a dataset that is called as a model is', /checks/g, 'base', /data\.base: the recipe humpback has something else of this name/],
] as const)
  test(`${title} is refused, by name`, async (t) => t.regex(await fault(t, onData.replace(from, to)), says));
