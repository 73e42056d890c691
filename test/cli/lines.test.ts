import test from 'ava';
import { Lines } from '../../cli/terminal/lines.ts';
import type { StepView, View } from '../../experiments/view.ts';
import { waitText, type Waits } from '../../experiments/waits.ts';

const BEGAN = Date.UTC(2026, 0, 1);

function piped() {
  const said: string[] = [];
  const clock = { at: BEGAN, now: () => clock.at };
  const lines = new Lines(clock, (line) => said.push(line.slice('00:00:00 '.length)));
  const show = (seconds: number, steps: readonly Partial<StepView>[]) => {
    clock.at = BEGAN + seconds * 1000;
    lines.show({ experiment: 'toy', state: 'running', round: 1, failure: null, steps, notices: [] } as unknown as View, null);
    return said.splice(0);
  };
  return show;
}
const training = { path: 'r1/forward', kind: 'train', state: 'running' } as const;

test('piped, a step that runs has a line every half minute, with its count, rate, time left and loss', (t) => {
  const show = piped();
  const at = (done: number) => [{ ...training, live: { done, of: 400, loss: 1.5 } }];
  t.deepEqual(show(0, at(0)), ['r1/forward running', 'toy running, round 1']);
  for (let second = 1; second < 30; second++) t.deepEqual(show(second, at(2 * second)), []);
  t.deepEqual(show(30, at(60)), ['r1/forward 60 of 400 steps, 2.0/s, 2 min 50 s left, loss 1.500']);
  t.deepEqual(show(31, at(62)), []);
  t.deepEqual(show(61, at(62)), ['r1/forward 62 of 400 steps, 1.0/s, 5 min 50 s left, loss 1.500']);
});

test('piped, a step that waits says for what every half minute', (t) => {
  const show = piped();
  const waits = { state: 'starting', what: 'the server', since: new Date(BEGAN).toISOString(), after: null } as const;
  show(0, [{ ...training, waits }]);
  t.deepEqual(show(40, [{ ...training, waits }]), ['r1/forward starting the server, 40 s']);
});

test('every wait names what is waited for, and for how long', (t) => {
  const since = new Date(BEGAN).toISOString();
  const cases: readonly (readonly [Waits, string])[] = [
    [
      { state: 'queued', pool: 'gpu', since, heldBy: ['r1/judge of other', 'r2/forward'] },
      'waiting for a device of the pool gpu, held by r1/judge of other, r2/forward, 1 min 30 s',
    ],
    [{ state: 'queued', pool: null, since, heldBy: [] }, 'waiting for a data worker, 1 min 30 s'],
    [
      { state: 'starting', what: 'the server', since, after: 'out of memory\nat 1' },
      'starting the server, 1 min 30 s (before: out of memory)',
    ],
    [{ state: 'elsewhere', experiment: 'other', since }, 'waiting for the experiment other, which computes it, 1 min 30 s'],
    [{ state: 'failing', attempts: 4, why: 'The disk is full.', since }, 'failed 4 times and is tried again: The disk is full.'],
    [{ state: 'held', url: 'http://x', why: '503', since }, 'held by http://x, 1 min 30 s'],
  ];
  for (const [waits, said] of cases) t.is(waitText(waits, BEGAN + 90_000), said);
});
