/** Pairwise comparison of a model's answers with those of a dataset, by a judge that the experiment file casts. */
import test, { type ExecutionContext } from 'ava';
import { join } from 'node:path';
import { pairwise } from '../../operators/eval/index.ts';
import { winRates } from '../../operators/eval/win-rate.ts';
import { resolve } from '../../steps/resolve.ts';
import type { ReportRef } from '../../schemas/call.ts';
import { jsonl, stage } from '../support/recipe.ts';

const rows = ['Won.', 'Lost.', 'By order.', 'Half read.', 'No answer.'].map((instruction) => ({ instruction, response: 'the other' }));
/** The judge prefers, shown these first answers and these instructions. */
function verdict(content: string): string {
  const ownFirst = content.includes('Answer A:\nmine');
  if (content.includes('Won.')) return ownFirst ? 'A' : 'B';
  if (content.includes('Lost.')) return ownFirst ? 'B, since it is better.' : 'A';
  if (content.includes('By order.')) return 'A';
  return ownFirst ? 'A' : 'Both are fine.';
}
const reply = (role: string, _: string, content: string) =>
  role === 'judge' ? verdict(content) : role === 'model' ? (content === 'No answer.' ? ' ' : 'mine') : 'Score: 5';
const made = await stage(
  'humpback',
  { reply },
  {
    'pairs.jsonl': jsonl([{ instruction: 'q', response: 'a' }]),
    'texts.jsonl': jsonl([{ text: 'a text' }]),
    'base/': '{}',
    'judge/': '{"judge":true}',
    'rows.jsonl': jsonl(rows),
  },
);
const source = (path: string) => ({ source: 'std.table', params: { path }, folder: made.folder });
const ran = await made.run({
  parameters: { rounds: 1, minimum: 1, keep: 'all' },
  data: { seed: source('pairs.jsonl'), corpus: source('texts.jsonl'), items: source('rows.jsonl') },
  models: { base: { path: join(made.folder, 'base') }, teacher: { path: join(made.folder, 'judge') } },
  evaluation: {
    forward: { id: 'eval.pairwise', params: pairwise.params!.parse({}) as object, data: 'items', with: { judge: 'teacher' } },
  },
});

test('both orders decide, a tie counts half, no answer loses, and an unreadable verdict counts in no rate', (t) => {
  const { metrics } = ran.step('r1/evaluate-forward').result as ReportRef;
  t.like(metrics, {
    winRate: (1 + 0 + 0.5 + 0) / 4,
    ties: 1 / 3,
    unreadable: 1 / 8,
    answered: 4 / 5,
    unread: 0,
    responseChars: 4,
    otherChars: 9,
  });
  t.is(metrics['firstPreferred'], (1 + 0 + 0 + 1 + 1 + 1 + 1) / 7);
  t.true(metrics['winRateLow']! < 0.375 && metrics['winRateHigh']! > 0.375, JSON.stringify(metrics));
});

test('each answer is asked once and judged twice, once in each place', (t) => {
  const answers = ran.asked.filter(({ role, content }) => role === 'model' && content === 'Won.').length;
  const verdicts = ran.asked.filter(({ role, content }) => role === 'judge' && content.includes('Won.'));
  t.is(verdicts.length, 2 * answers);
  t.is(verdicts.filter(({ content }) => content.includes('Answer A:\nmine')).length, answers);
});

const near = (t: ExecutionContext, value: number, wanted: number, most: number) =>
  t.true(Math.abs(value - wanted) <= most, `${value}, wanted ${wanted}`);

test('the requests of the model and of the judge are counted apart, by their digests', async (t) => {
  const { services, context } = made.bench;
  const { call } = ran.step('r1/evaluate-forward');
  const { stepKey, cast } = await resolve(call, context, await services.registry([]));
  const { uses } = (await services.store.output(stepKey))!;
  t.is(uses![cast['judge']!.digest]!.requests, 8);
  t.is(uses![cast['model']!.digest]!.requests, 5);
});

/** Comparisons of answers of which the longer one wins with the probability 0.8, whoever wrote it. */
const byLength = (longer: number, share: number) => [
  ...Array.from({ length: 80 * share }, () => ({ preference: 1, longer })),
  ...Array.from({ length: 20 * share }, () => ({ preference: 0, longer })),
];
const flipped = (some: readonly { preference: number; longer: number }[]) =>
  some.map(({ preference, longer }) => ({ preference: 1 - preference, longer: -longer }));

test('a model that wins only by length wins half of the comparisons once lengths are controlled', (t) => {
  const mostlyLonger = [...byLength(200, 4), ...flipped(byLength(200, 1))];
  const { winRate, lengthControlled } = winRates(mostlyLonger);
  near(t, winRate.value, 0.68, 1e-9);
  near(t, lengthControlled.value, 0.5, 0.05);
  t.true(lengthControlled.low < 0.5 && lengthControlled.high > 0.5);
});

test('without a difference of lengths both rates are the same', (t) => {
  const { winRate, lengthControlled } = winRates(byLength(30, 1));
  near(t, lengthControlled.value, winRate.value, 1e-3);
});

test('the interval holds the normal approximation for a hundred comparisons, and is the same each time', (t) => {
  const { winRate } = winRates(byLength(0, 1));
  near(t, winRate.low, 0.8 - 1.96 * 0.04, 0.015);
  near(t, winRate.high, 0.8 + 1.96 * 0.04, 0.015);
  t.deepEqual(winRates(byLength(0, 1)).winRate, winRate);
});

test('a model that always wins, and no comparison at all, have finite numbers', (t) => {
  near(t, winRates(byLength(0, 1).filter(({ preference }) => preference === 1)).lengthControlled.value, 1, 0.01);
  t.deepEqual(winRates([]).winRate, { value: 0, low: 0, high: 0 });
  t.is(winRates([]).lengthControlled.value, 0);
});
