/** `decontaminate` of a dataset in an experiment file: what it binds to, what plan says, and what a recipe gets. */
import test from 'ava';
import { join } from 'node:path';
import { loadExperiment, rebind } from '../../experiments/config.ts';
import { plan } from '../../plan/planner.ts';
import { pinnedSteps } from '../../cli/fork.ts';
import { importsOf } from '../../recipe/inputs.ts';
import { resolve } from '../../steps/resolve.ts';
import { openServices } from '../../steps/services.ts';
import { changedInputs, stillPinned } from '../../workflows/pins.ts';
import { file, temporary } from '../cli/cli.ts';
import { jsonl, stage } from '../support/recipe.ts';
import { fault, sound, write } from './written.ts';

const poem = 'Write a poem in two stanzas about the sea at night without a rhyme.';
const checks = file(temporary(), 'checks.jsonl', jsonl([{ prompt: poem, instruction_id_list: ['punctuation:no_comma'], kwargs: [{}] }]));
const corpus = file(temporary(), 'corpus.jsonl', jsonl([{ text: 'Because.' }]));
const clean = 'decontaminate: { against: { checks: prompt } }';
const written = (of: object[], more = `, ${clean}`) =>
  sound
    .replace('{ source: textworld.corpus, params: { seed: 0 } }', `{ source: std.table, params: { path: ${corpus} } }`)
    .replace(
      '{ source: textworld.seed, params: { seed: 0 } }',
      `{ source: std.table, params: { path: ${file(temporary(), 'seed.jsonl', jsonl(of))} }${more} }`,
    )
    .replace('models:', `  checks: { source: std.table, params: { path: ${checks} } }\nmodels:`);
const pair = { instruction: 'Why?', response: 'So.' };
const text = written([pair]);

test('the fields of the items and 13 words are bound, and a fork has them too; no suite need ask the dataset', async (t) => {
  const { bound } = await loadExperiment(write(text));
  t.deepEqual(bound.data['seed']!.decontaminate, { against: { checks: 'prompt' }, words: 13 });
  t.false('decontaminate' in bound.data['corpus']!);
  t.deepEqual((await rebind(bound, [], 'child')).bound.data, bound.data);
  t.is((await rebind(bound, ['data.seed.decontaminate.words=8'], 'child')).bound.data['seed']!.decontaminate!.words, 8);
  t.deepEqual(
    (await importsOf(bound)).map(({ path }) => path).toSorted(),
    ['data-checks', 'data-corpus', 'data-seed', 'model-base'],
    'it reads no files',
  );
});

test('plan has a step for it, on which trainings stand, and checks the records behind it', async (t) => {
  const { bound } = await loadExperiment(write(text));
  const { steps, missing } = await plan(await openServices(temporary()), bound);
  t.deepEqual(missing, []);
  const needs = (wanted: string) => steps.find(({ path }) => path === wanted)!.needs;
  t.deepEqual(needs('decontaminate-seed').toSorted(), ['data-checks', 'data-seed']);
  t.true(needs('backward').includes('decontaminate-seed'));
  t.false(needs('backward').includes('data-seed'));
  const other = await loadExperiment(write(written([{ question: 'Why?', answer: 'So.' }])));
  const faults = (await plan(await openServices(temporary()), other.bound)).missing;
  t.true(
    faults.some((one) => /Step backward reads records by humpback\.toInstruction, and the first of them does not fit/.test(one)),
    faults.join('\n'),
  );
});

test('a fork with other words takes neither the cleaned records of its parent, nor those that were read', async (t) => {
  const { bound } = await loadExperiment(write(text));
  const { bound: child } = await rebind(bound, ['data.seed.decontaminate.words=8'], 'child');
  const steps = ['data-seed', 'decontaminate-seed', 'data-corpus', 'r1/judge'].map((path) => ({
    path,
    round: path === 'r1/judge' ? 1 : null,
  }));
  t.deepEqual(
    pinnedSteps(steps as never, 0, changedInputs(bound, child)).map(({ path }) => path),
    ['data-corpus'],
  );
  const pins = Object.fromEntries(steps.map(({ path }) => [path, {}]));
  t.deepEqual(Object.keys(stillPinned(pins as never, bound, child)), ['data-corpus', 'r1/judge']);
});

for (const [title, to, says] of [
  [
    'a dataset that the file has not',
    'decontaminate: { against: { check: prompt } }',
    /data\.seed\.decontaminate\.against\.check: there is no check under `data`; the nearest is "checks"/,
  ],
  [
    'the dataset itself',
    'decontaminate: { against: { checks: prompt, seed: instruction } }',
    /data\.seed\.decontaminate\.against\.seed: is the dataset itself, of which nothing would be left/,
  ],
  ['no dataset', 'decontaminate: { against: {} }', /data\.seed\.decontaminate\.against: .*: name a dataset and the field of its items/],
  ['a dataset without a field', 'decontaminate: { against: [checks] }', /data\.seed\.decontaminate\.against/],
  ['no word', 'decontaminate: { against: { checks: prompt }, words: 0 }', /data\.seed\.decontaminate\.words/],
] as const)
  test(`${title} is refused, by name`, async (t) => t.regex(await fault(t, text.replace(clean, to)), says));

test('a dataset that is only compared with is nothing to the recipe, and without that it is refused', async (t) =>
  t.regex(await fault(t, text.replace(`, ${clean}`, '')), /data\.checks: the recipe humpback has no use for this/));

test('a recipe trains on records without the items, and each dropped one says which item it has', async (t) => {
  const made = await stage(
    'humpback',
    { reply: () => 'Why?' },
    {
      'seed.jsonl': jsonl([pair, { instruction: `Please: ${poem.toLowerCase()}`, response: 'Waves.' }]),
      'corpus.jsonl': jsonl([{ text: 'Because.' }]),
      'checks.jsonl': jsonl([{ prompt: poem }]),
      'base/': '{}',
    },
  );
  const source = (path: string) => ({ source: 'std.table', params: { path }, folder: made.folder });
  const ran = await made.run({
    parameters: { rounds: 1, minimum: 1, keep: 'all' },
    data: {
      seed: { ...source('seed.jsonl'), decontaminate: { against: { checks: ['prompt'] }, words: 13 } },
      corpus: source('corpus.jsonl'),
      checks: source('checks.jsonl'),
    },
    models: { base: { path: join(made.folder, 'base') } },
  });
  t.deepEqual(
    (await made.trained<object>(ran, 'backward')).map(({ record }) => record),
    [pair],
  );
  const [item] = await made.rows<object>(ran.step('data-checks').data);
  const { services, context } = made.bench;
  const { stepKey } = await resolve(ran.step('decontaminate-seed').call, context, await services.registry([]));
  const output = (await services.store.output(stepKey))!;
  t.like(output, { in: 2, kept: 1, dropped: { contaminated: 1 } });
  const [record] = await made.rows<{ evidence: string }>(output.droppedRecords);
  t.is(record!.value.evidence, `"write a poem in two stanzas about the sea at night without a" of ${item!.id}`);
});
