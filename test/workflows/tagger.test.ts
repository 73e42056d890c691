/** Taggers through everything: the real trainer makes two of an encoder, the real `tag` labels a test set, and a suite measures it. */
import test from 'ava';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { ModelRef, ReportRef } from '../../schemas/call.ts';
import { realPython, trainerPath } from '../support/devices.ts';
import { site } from '../support/temporal.ts';
import { cities, rows } from '../support/toy.ts';

test('students of one encoder and of two seeds learn a grammar, and their reports say so', async (t) => {
  const encoder = join(await mkdtemp(join(tmpdir(), 'backspin-encoder-')), 'bert');
  const words = ['what', 'about', 'no', ...cities.flat()].join(' ');
  const program = 'import pathlib, sys, world; world.make_encoder(pathlib.Path(sys.argv[1]), sys.argv[2].split())';
  await promisify(execFile)(realPython(), ['-c', program, encoder, words], {
    env: { ...process.env, PYTHONPATH: `${trainerPath}/tests:${trainerPath}` },
  });
  const on = await site();
  t.teardown(() => on.close());
  const { store } = on.services;
  const source = { source: 'toy.sentences', params: {}, folder: '/' };
  const { first, second } = await on.working(() =>
    on.onDevices(1, 600_000, async () => {
      const more = { data: { sentences: source }, models: { encoder: { path: encoder } } };
      const handle = await on.start('taggers', 'taggers', {}, more);
      return (await handle.result()) as { first: ModelRef; second: ModelRef };
    }),
  );

  t.not(first.digest, second.digest);
  const { steps } = (await store.experiment('taggers'))!;
  const resultOf = (path: string) => steps.find((step) => step.path === path)!.result;
  const encoderOf = resultOf('model-encoder') as ModelRef;
  const dataset = (resultOf('data-sentences') as { digest: string }).digest;
  t.like(await store.model(first), { from: encoderOf.digest, dataset, base: null, template: null, settings: { objective: 'tagger' } });
  const config = JSON.parse(await readFile(join(await store.modelFolder(first), 'config.json'), 'utf8')) as { id2label: object };
  t.deepEqual(Object.values(config.id2label), ['B-city', 'I-city', 'O']);
  for (const path of ['evaluate-0', 'evaluate-1']) {
    const { metrics } = resultOf(path) as ReportRef;
    t.deepEqual([metrics['intentAccuracy'], metrics['slotF1'], metrics['intentRecall'], metrics['answered']], [1, 1, 1, 1], path);
  }
  const output = (await store.output(steps.find(({ path }) => path === 'evaluate-0')!.stepKey!))!;
  t.like(output, { in: rows.length, kept: rows.length, dropped: {}, requests: 0 });
});
