/** What an experiment costs and how long it still runs, by its own outputs. */
import test from 'ava';
import { addMoney, costOf, deviceSeconds, moneyText, pricesOf } from '../../experiments/cost.ts';
import { secondsLeft } from '../../experiments/time-left.ts';
import { viewOf } from '../../experiments/view.ts';
import type { ExperimentRecord, Step } from '../../schemas/experiment.ts';
import type { PlannedStep } from '../../schemas/plan.ts';
import type { Output } from '../../schemas/store.ts';
import { tree } from '../../cli/terminal/tree.ts';
import { openStore } from '../../store/local.ts';
import { dataset, giveAgain, home, key, step } from '../cli/completed.ts';
import { join } from 'node:path';

const [teacher, student] = [key('teacher'), key('student')];
const model = (name: string, digest: string) =>
  ({
    path: `model-${name}`,
    arm: null,
    round: null,
    name,
    kind: 'reduce',
    state: 'completed',
    stepKey: null,
    result: { kind: 'model', digest },
  }) as unknown as Step;
const config = {
  models: { teacher: { external: { model: 'large', price: { input: 3, output: 15, currency: 'USD' } } }, student: { path: '/student' } },
};
const record = (steps: readonly Step[]) =>
  ({ config, steps: [model('teacher', teacher), model('student', student), ...steps] }) as unknown as ExperimentRecord;
const uses = { [teacher]: { requests: 2, read: 2_000_000, written: 100_000 }, [student]: { requests: 9, read: 5_000_000, written: 0 } };

test('tokens that were read and written have prices of their own, and a model without a price costs nothing', (t) => {
  const prices = pricesOf(record([]));
  t.deepEqual(costOf(uses, prices), { USD: 2 * 3 + 0.1 * 15 });
  t.is(costOf({ [student]: uses[student]! }, prices), undefined);
  t.is(moneyText(addMoney([{ USD: 7.5 }, undefined, { EUR: 0.001234 }])), '7.50 USD + 0.0012 EUR');
});

test('status has the tokens and the cost of steps, and in all what this experiment itself has computed', async (t) => {
  const folder = await home();
  const store = await openStore(join(folder, 'store'));
  const kept = await dataset(store, [{ instruction: 'a', response: 'b' }]);
  const [own, other] = [await step(store, 'r1/judge', kept), { ...(await step(store, 'r2/judge', kept)), cached: true }];
  for (const { path } of [own, other]) await giveAgain(store, path, { requests: 11, tokens: 7_100_000, uses });
  const whole = { ...(await store.experiment('toy'))!, ...record([own, other]) };
  const view = await viewOf(store, whole);
  t.like(view.steps.at(-2), { tokens: { read: 7_000_000, written: 100_000 }, cost: { USD: 7.5 } });
  t.deepEqual(view.cost, { USD: 7.5 });
  const lines = tree(view, undefined, 90).join('\n');
  t.regex(lines, /^toy \(humpback\): .*7\.50 USD, about 1 min 30 s left/);
  t.regex(lines, /judge .*7,000,000 \+ 100,000 tokens, 7\.50 USD/);
});

test('device time is that of trainings and of steps that ask models of this installation', async (t) => {
  const folder = await home();
  const store = await openStore(join(folder, 'store'));
  const kept = await dataset(store, [{ instruction: 'a', response: 'b' }]);
  const steps = [];
  for (const [path, change] of [
    ['own', { uses: { [student]: uses[student]! }, requests: 1, seconds: 10 }],
    ['external', { uses: { [teacher]: uses[teacher]! }, requests: 1, seconds: 100 }],
    ['nothing', { requests: 0, seconds: 1000 }],
    ['training', { verb: 'train', requests: 0, seconds: 7 }],
  ] as const) {
    steps.push(await step(store, path, kept));
    await giveAgain(store, path, change);
  }
  t.is(await deviceSeconds(store, record(steps)), 17);
  t.is(await deviceSeconds(store, record(steps.map((one) => ({ ...one, cached: true })))), 0);
});

const planned = (path: string, more: Partial<PlannedStep>): PlannedStep =>
  ({ path, cached: false, kind: 'map', operation: 'x.judge', requests: 0, trainingSteps: 0, pool: 'gpu', ...more }) as PlannedStep;
const judged = { operation: 'x.judge', requests: 100, seconds: 50 } as Output;
const asked = { operation: 'x.ask', requests: 100, seconds: 200 } as Output;
const trained = { operation: 'sft', requests: 0, seconds: 30, curve: { last: { step: 10 } } } as Output;

test('the time left is the work to come at the speed of the same operation, else of all; pools work side by side', (t) => {
  const steps = [
    planned('done', { cached: true, requests: 1e9 }),
    planned('r2/judge', { requests: 40 }),
    planned('r2/new', { operation: 'x.new', requests: 10 }),
    planned('r2/train', { kind: 'train', operation: 'sft', trainingSteps: 20, pool: 'training' }),
    planned('r2/select', { kind: 'reduce', pool: null }),
  ];
  const outputs = [judged, asked, trained];
  t.is(secondsLeft(steps, outputs, new Map()), Math.max(40 * 0.5 + 10 * 1.25, 20 * 3));
  t.is(secondsLeft(steps, outputs, new Map([['r2/train', { seconds: 5, share: 0.5 }]])), 40 * 0.5 + 10 * 1.25);
  t.is(secondsLeft(steps, outputs, new Map([['r2/train', { seconds: undefined, share: 0.1 }]])), 54);
});

test('the time left is not known before a step of each kind has ended, or if the number of requests hangs on the records', (t) => {
  t.is(secondsLeft([planned('judge', { requests: 40 })], [trained], new Map()), null);
  t.is(secondsLeft([planned('judge', { requests: null })], [judged], new Map()), null);
  t.is(secondsLeft([], [], new Map()), 0);
});
