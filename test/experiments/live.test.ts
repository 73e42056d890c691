import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { LiveCounts } from '../../experiments/live.ts';
import { describeStep } from '../../cli/terminal/tree.ts';
import type { StepView } from '../../experiments/view.ts';
import type { Store } from '../../store/store.ts';
import { temporary } from '../cli/cli.ts';

function work() {
  const folder = temporary();
  const store = { work: () => folder } as unknown as Store;
  return { folder, look: (counts: LiveCounts, kind: StepView['kind']) => counts.of(store, kind, 'key') };
}
const done = (id: string) => `${JSON.stringify({ r: id, done: { kept: [], dropped: [] } })}\n`;

test('a running map counts finished records over all batches: calls and a torn last line are none, and what comes later is added', async (t) => {
  const { folder, look } = work();
  const counts = new LiveCounts();
  t.is(await look(counts, 'map'), undefined);
  mkdirSync(join(folder, 'batches'));
  const batch = join(folder, 'batches', '00000.jsonl');
  writeFileSync(batch, `${JSON.stringify({ r: 'a', n: 0, reply: 'done', tokens: 1 })}\n${done('a')}${done('b').slice(0, 9)}`);
  writeFileSync(join(folder, 'batches', '00001.jsonl'), done('c'));
  t.is((await look(counts, 'map'))?.done, 2);
  appendFileSync(batch, done('b').slice(9));
  t.is((await look(counts, 'map'))?.done, 3);
  t.is((await look(new LiveCounts(), 'map'))?.done, 3);
});

test('a running training tells its step, its length and its loss; after a resume it goes on from the checkpoint', async (t) => {
  const { folder, look } = work();
  const counts = new LiveCounts();
  mkdirSync(join(folder, 'run'));
  const events = join(folder, 'run', 'events.jsonl');
  const say = (event: object) => appendFileSync(events, `${JSON.stringify({ v: 1, ...event })}\n`);
  say({ event: 'start', pid: 1, resumedFrom: null, steps: 40 });
  t.deepEqual(await look(counts, 'train'), { done: 0, of: 40 });
  say({ event: 'step', step: 7, loss: 1.5, learningRate: 1e-3, tokens: 9, seconds: 1 });
  t.deepEqual(await look(counts, 'train'), { done: 7, of: 40, loss: 1.5, losses: [1.5] });
  say({ event: 'evaluation', step: 7, loss: 1.75, rows: 3, seconds: 1 });
  say({ event: 'step', step: 8, loss: 1.25, learningRate: 1e-3, tokens: 9, seconds: 1 });
  t.deepEqual(await look(counts, 'train'), { done: 8, of: 40, loss: 1.25, losses: [1.5, 1.25], validationLoss: 1.75 });
  say({ event: 'start', pid: 2, resumedFrom: 5, steps: 40 });
  t.deepEqual(await look(counts, 'train'), { done: 5, of: 40 });
});

test('a loss that jumps is noticed once the curve has begun, and a curve that falls or is noisy has none', async (t) => {
  const { folder, look } = work();
  mkdirSync(join(folder, 'run'));
  const falling = (step: number) => 4 / step + (step % 3) / 10;
  const say = (loss: number, step: number) =>
    appendFileSync(
      join(folder, 'run', 'events.jsonl'),
      `${JSON.stringify({ v: 1, event: 'step', step, loss, learningRate: 1e-3, tokens: 9, seconds: 1 })}\n`,
    );
  for (let step = 1; step <= 100; step++) say(step === 5 || step === 90 ? 9 : falling(step), step);
  t.deepEqual((await look(new LiveCounts(), 'train'))?.spikes, [90]);
});

test('a running step shows count, rate, time left and loss, as far as they are known', (t) => {
  const step = { state: 'running', kind: 'train', live: { done: 10, of: 40, loss: 1.25 } } as StepView;
  t.is(describeStep(step, 2), '10 of 40 steps, 2.0/s, 15 s left, loss 1.250');
  const curve = { losses: [3, 2.5, 1.25], validationLoss: 1.5, spikes: [7] };
  t.is(
    describeStep({ ...step, live: { ...step.live!, ...curve } }),
    '10 of 40 steps, loss 1.250 █▆▁, validation loss 1.500, loss jumped at step 7',
  );
  t.is(describeStep({ ...step, kind: 'map', live: { done: 1234, of: null } }), '1,234 records');
});
