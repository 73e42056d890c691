/** How long a step was worked on, over all attempts. */
import { mkdir, mkdtemp, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import test from 'ava';
import { stepsOf } from '../../steps/work.ts';
import { batchPath } from '../../steps/batch-files.ts';
import { noModels } from '../../steps/models.ts';
import { beginSpan, secondsOf } from '../../steps/spans.ts';
import type { StepCall, DatasetRef } from '../../schemas/call.ts';
import { bench } from '../support/memory.ts';

const MINUTE = 60_000;
const started = Date.now();
/** Leaves what an attempt does that began so many minutes ago, last wrote to its journal later, and was killed. */
async function killed(path: string, sign: string, began: number, last: number): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, JSON.stringify([{ began: started - began * MINUTE, ended: null }]));
  await writeFile(sign, '');
  await utimes(sign, (started - last * MINUTE) / 1000, (started - last * MINUTE) / 1000);
}

test('attempts that ended and attempts that were killed count, and what overlaps counts once', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'backspin-spans-'));
  const [path, sign] = [join(folder, 'spans'), join(folder, 'journal')];
  await killed(path, sign, 10, 4);
  await (
    await beginSpan(path, sign)
  )();
  const spans = await (await beginSpan(path, sign))();
  t.deepEqual(spans[0], { began: started - 10 * MINUTE, ended: started - 4 * MINUTE });
  t.is(spans.length, 3);
  t.is(Math.floor(secondsOf(spans) / 60), 6);
  t.is(secondsOf([...spans, { began: started - 9 * MINUTE, ended: started - 3 * MINUTE }]) - secondsOf(spans), 60);
});

test('one that was killed before it wrote anything took no time, and a file that is not whole costs no more than its times', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'backspin-spans-'));
  const [path, sign] = [join(folder, 'spans'), join(folder, 'journal')];
  await killed(path, sign, 4, 10);
  t.true(secondsOf(await (await beginSpan(path, sign))()) < 60);
  await writeFile(path, '[{"began":');
  t.is((await (await beginSpan(path, sign))()).length, 1);
});

test('the seconds of a step are those of all its attempts', async (t) => {
  const made = await bench({ reply: () => '' });
  const { services, context } = made;
  const file = join(await mkdtemp(join(tmpdir(), 'backspin-spans-')), 'texts.jsonl');
  await writeFile(file, '{"text": "one\\n\\ntwo"}\n');
  const call = (verb: StepCall['verb'], operation: string, inputs: object): StepCall =>
    ({ verb, operation, path: operation, label: operation, arm: null, round: null, inputs }) as StepCall;
  const over = (await made.perform(call('reduce', 'source:std.table', { params: { path: file }, folder: '/' }))) as DatasetRef;
  const step = call('map', 'cycle-instruct.passages', { over, params: { split: 'paragraphs', shortest: 1 } });
  const steps = stepsOf(services);
  const opened = await steps.open(step, context);
  if (opened.hit) return t.fail();
  const work = opened.work!;
  const journal = batchPath(services.store, opened.stepKey, work, 0, 'journal');
  await killed(`${journal}.spans`, journal, 9, 2);
  await steps.batch({ call: step, context, work, batch: 0 }, noModels, { signal: new AbortController().signal, heartbeat: () => {} });
  await steps.commit(step, context, work, { batches: 1, spent: null });
  t.is(Math.floor((await services.store.output(opened.stepKey))!.seconds / 60), 7);
});
