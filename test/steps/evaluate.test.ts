/** What comes of the evaluation of a model: numbers, and answers that a person can read. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { resolve } from '../../steps/resolve.ts';
import { moduleDigest } from '../../steps/modules.ts';
import type { DatasetRef, ReportRef } from '../../schemas/call.ts';
import { applyGc, planGc } from '../../store/gc.ts';
import { backspin } from '../cli/cli.ts';
import { bound } from '../support/bound.ts';
import { bench } from '../support/memory.ts';
import { stage } from '../support/recipe.ts';
import { experiment, folder } from '../support/store.ts';

const instructions = ['What is a tide?', 'Name three rivers.', 'Say nothing.'];
const made = await stage(
  'humpback',
  {
    reply: (role, _, content) => (role !== 'model' ? 'Score: 5' : content.includes('Say nothing') ? ' ' : `On: ${content.split('\n')[0]}`),
  },
  { 'pairs.jsonl': '{"instruction": "q", "response": "a"}\n', 'texts.jsonl': '{"text": "a text"}\n', 'base/': '{}' },
);
const source = (path: string) => ({ source: 'std.table', params: { path }, folder: made.folder });
const ran = await made.run({
  parameters: { rounds: 1, minimum: 1, keep: 'all' },
  data: { seed: source('pairs.jsonl'), corpus: source('texts.jsonl') },
  models: { base: { path: join(made.folder, 'base') } },
  evaluation: { forward: { id: 'humpback.answers', params: { instructions } } },
});
const { services, context } = made.bench;
const { store } = services;
const step = ran.step('r1/evaluate-forward');
const { stepKey } = await resolve(step.call, context, await services.registry([]));
const output = (await store.output(stepKey))!;
const [given, none] = [instructions.slice(0, 2), instructions[2]!];

test('the answers of an evaluation are records with their items, and an item without one is dropped with the reason', async (t) => {
  t.deepEqual(
    (await made.rows<object>(output.answers)).map(({ value }) => value),
    given.map((instruction) => ({ item: { instruction }, answer: { response: `On: ${instruction}` } })),
  );
  t.like(output, { in: 3, kept: 2, dropped: { empty: 1 } });
  const [dropped] = await made.rows<object>(output.droppedRecords);
  t.like(dropped!.value, { reason: 'empty', value: { instruction: none } });
  t.is((step.result as ReportRef).metrics['answered'], 2 / 3);
});

test('what a suite measures of one answer stands beside it, and its report is what it is without', async (t) => {
  const world = join(import.meta.dirname, '../../examples/textworld/module.ts');
  const modules = [{ path: world, digest: await moduleDigest(world) }];
  const other = await bench({ reply: () => 'nothing of it' }, { modules });
  const model = await other.perform({ ...step.call, verb: 'reduce', operation: 'model:path', inputs: { path: join(made.folder, 'base') } });
  const call = { ...step.call, operation: 'textworld.forward', inputs: { of: model, params: { seed: 0, size: 'miniature' } } };
  const report = (await other.perform(call)) as ReportRef;
  const found = await resolve(call, other.context, await other.services.registry(modules));
  const { answers } = (await other.services.store.output(found.stepKey))!;
  for await (const { value } of other.services.store.read(answers as DatasetRef))
    t.like(value, { answer: { text: 'nothing of it' }, measured: { exact: false } });
  t.is(report.metrics['forwardExact'], 0);
});

test('they are shown under the numbers, exported, and needed by the experiment that has them', async (t) => {
  const { call, result } = step;
  const { path, arm, round, label: name, verb: kind, operation } = call;
  const evaluation = { path, arm, round, name, kind, operation, state: 'completed', stepKey, cached: false, result } as const;
  await store.putExperiment(experiment('read', { config: bound, steps: [evaluation] }));
  await applyGc(store, await planGc(store, Date.now() + 2 * 3_600_000), Date.now() + 2 * 3_600_000);
  const shown = await backspin(services.home, ['show', 'read', 'evaluate-forward']);
  t.regex(shown.stdout, /humpback\.answers, 2 of 3 kept, dropped 1 empty/);
  t.regex(shown.stdout, /^answered: 0\.66/m);
  t.regex(shown.stdout, /^item\.instruction: What is a tide\?\nanswer\.response: On: What is a tide\?$/m);
  const dropped = await backspin(services.home, ['show', 'read', 'evaluate-forward', '--dropped', 'empty', '--json']);
  t.like((JSON.parse(dropped.stdout) as object[])[0], { reason: 'empty', value: { instruction: none } });
  const to = join(folder(), 'out');
  const exported = await backspin(services.home, ['export', 'read', 'evaluate-forward', '--to', to]);
  t.is(exported.code, 0, exported.stderr);
  t.deepEqual(JSON.parse(readFileSync(join(to, 'report.json'), 'utf8')), result);
  t.is(readFileSync(join(to, 'data.jsonl'), 'utf8').trimEnd().split('\n').length, 2);
});
