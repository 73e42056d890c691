import test from 'ava';
import { ProgressOfTraining } from '../../activities/training-progress.ts';
import { parseEvent, type TrainEvent } from '../../schemas/trainer.ts';

function training(...events: object[]) {
  const progress = new ProgressOfTraining('steps');
  for (const event of events) progress.add(parseEvent(JSON.stringify({ v: 1, ...event })) as TrainEvent);
  return progress.now;
}
const start = (steps: number, resumedFrom: number | null = null) => ({ event: 'start', pid: 1, resumedFrom, steps });
const step = (at: number, loss: number, more: object = {}) => ({
  event: 'step',
  step: at,
  loss,
  learningRate: 1e-3,
  tokens: 900,
  seconds: 2,
  ...more,
});

test('a heartbeat of a training has its place, the time left, and the last points of its curve with loss, gradient norm and speed', (t) => {
  t.deepEqual(training(start(40)), { progress: '0 of 40 steps' });
  const shown = training(start(40), step(7, 1.5), step(8, 1.25, { gradNorm: 0.51234, memory: 3e9, rewardsMargins: 0.02 }));
  t.deepEqual(shown, {
    progress: '8 of 40 steps, about 1 min 4 s left',
    curve: [
      'step 7: loss 1.5000, rate 1.00e-3, 450 tokens/s',
      'step 8: loss 1.2500, margin 0.0200, grad norm 0.512, rate 1.00e-3, 450 tokens/s, 3.0 GB',
    ],
  });
});

test('it keeps ten points, however long the curve is, and names jumps and the validation loss', (t) => {
  const events = Array.from({ length: 60 }, (_, n) => step(n + 1, n === 49 ? 9 : 1 + (n % 3) / 10));
  const shown = training(start(60), ...events, { event: 'evaluation', step: 60, loss: 1.75, rows: 3, seconds: 1 });
  t.is(shown.curve?.length, 10);
  t.regex(shown.curve!.at(-1)!, /^step 60: /);
  t.is(shown.progress, '60 of 60 steps');
  t.is(shown.lossJumped, 'at step 50');
  t.is(shown.validationLoss, '1.750 after step 60');
  t.true(JSON.stringify(shown).length < 2000);
});

test('a resumed training has no points of steps that it repeats', (t) => {
  const shown = training(start(9), step(4, 1), step(5, 1), step(6, 1), start(9, 5));
  t.is(shown.progress, '5 of 9 steps, about 8.0 s left');
  t.deepEqual(
    shown.curve?.map((line) => line.slice(0, 6)),
    ['step 4', 'step 5'],
  );
});

test('what it does beside steps, and why it ended, is told until the next event', (t) => {
  t.is(training(start(9), { event: 'reference', done: 2, of: 7 }).progress, '0 of 9 steps, computes the reference, 2 of 7 parts');
  const failed = [start(9), step(1, 1), { event: 'error', message: 'Out of memory: no.', code: 71 }];
  t.is(training(...failed).progress, '1 of 9 steps, about 16 s left, Out of memory: no.');
  t.notRegex(training(...failed, start(9)).progress, /memory/);
});
