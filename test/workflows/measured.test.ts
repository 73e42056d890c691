import test from 'ava';
import type { Step } from '../../schemas/experiment.ts';
import { measured, metricNames, weakJudges } from '../../workflows/measured.ts';

const evaluation = (
  name: string,
  operation: string,
  round: number | null,
  metrics: Record<string, number>,
  arm: string | null = null,
): Step => ({
  path: [...(round === null ? [] : [`r${round}`]), ...(arm === null ? [] : [arm]), name].join('/'),
  arm,
  round,
  name,
  kind: 'evaluate',
  operation,
  state: 'completed',
  stepKey: null,
  cached: false,
  result: { kind: 'report', digest: '0', metrics, oracle: false },
});

test('a number that a model and data are both measured by says of which it is, wherever it stands', (t) => {
  const rows = measured([
    evaluation('evaluate-pool', 'humpback.pairs', null, { rows: 9, responseChars: 90 }),
    evaluation('evaluate-forward', 'humpback.answers', 1, { answered: 1, responseChars: 30 }),
    evaluation('evaluate-curated', 'humpback.pairs', 1, { rows: 3, responseChars: 60 }),
    evaluation('evaluate-forward', 'humpback.answers', 1, { answered: 0.5, responseChars: 20 }, 'random'),
  ]);
  t.deepEqual(rows, [
    { round: 0, arm: null, rows: 9, 'evaluate-pool.responseChars': 90 },
    { round: 1, arm: null, answered: 1, rows: 3, 'evaluate-forward.responseChars': 30, 'evaluate-curated.responseChars': 60 },
    { round: 1, arm: 'random', answered: 0.5, 'evaluate-forward.responseChars': 20 },
  ]);
});

test('two evaluations of one round by one suite both say which they are, in other rounds and arms too', (t) => {
  const rows = measured([
    evaluation('evaluate-forward', 's.f', null, { exact: 0.1 }),
    evaluation('evaluate-forward', 's.f', 1, { exact: 0.2 }),
    evaluation('evaluate-final', 's.f', null, { exact: 0.3 }),
    evaluation('evaluate-final', 's.f', null, { exact: 0.4 }, 'random'),
  ]);
  t.deepEqual(
    rows.map(({ round: _, arm: __, ...numbers }) => numbers),
    [{ 'evaluate-forward.exact': 0.1, 'evaluate-final.exact': 0.3 }, { 'evaluate-final.exact': 0.4 }, { 'evaluate-forward.exact': 0.2 }],
  );
});

test('one evaluation by several suites over the rounds, and one suite of several rounds, keep the plain name', (t) => {
  const rows = measured([
    evaluation('evaluate-forward', 's.base', null, { exact: 0.1 }),
    evaluation('evaluate-forward', 's.tuned', 1, { exact: 0.2 }),
    evaluation('evaluate-pool', 's.pairs', null, { kept: 1 }),
    evaluation('evaluate-curated', 's.pairs', 1, { kept: 2 }),
  ]);
  t.deepEqual(metricNames(rows), ['exact', 'kept']);
});

test('the columns stand in one order, whichever evaluation ended first', (t) => {
  const steps = [
    evaluation('evaluate-forward', 's.f', 1, { answered: 1, chars: 2 }),
    evaluation('evaluate-curated', 's.c', 1, { rows: 3, chars: 4 }),
    evaluation('evaluate-pool', 's.c', null, { rows: 5, chars: 6 }),
  ];
  const names = ['answered', 'evaluate-curated.chars', 'evaluate-forward.chars', 'evaluate-pool.chars', 'rows'];
  for (const order of [steps, steps.toReversed(), [steps[1]!, steps[2]!, steps[0]!]]) t.deepEqual(metricNames(measured(order)), names);
});

test('means and deviations of evaluations stand in the row of their arm; reports of other reducers do not', (t) => {
  const spread = { ...evaluation('spread', 'std.spread', null, { exactMean: 0.3, exactStd: 0.1 }, 'all'), kind: 'reduce' } as const;
  const alpha = { ...evaluation('alpha', 'main.balance', null, { alpha: 0.5 }), kind: 'reduce' } as const;
  t.deepEqual(measured([evaluation('evaluate', 's.f', null, { exact: 0.3 }, 'one'), spread, alpha]), [
    { round: 0, arm: 'all', exactMean: 0.3, exactStd: 0.1 },
    { round: 0, arm: 'one', exact: 0.3 },
  ]);
});

test('of a judge check the AUC is in the table, and a notice names the last judges below their bound', (t) => {
  const check = (round: number, auc: number, minAuc = 0.7): Step => ({
    ...evaluation('judge-check', 'std.separation', round, { auc, minAuc, real: 8, real1: 0.5 }),
    kind: 'reduce',
  });
  t.deepEqual(measured([check(1, 0.5), check(2, 0.9)]), [
    { round: 1, arm: null, auc: 0.5 },
    { round: 2, arm: null, auc: 0.9 },
  ]);
  t.deepEqual(weakJudges([check(1, 0.7), check(2, 0.9)]), []);
  t.deepEqual(
    weakJudges([{ ...check(1, 0.5), state: 'running', result: null }, evaluation('evaluate', 's.f', 1, { auc: 0.1, minAuc: 1 })]),
    [],
  );
  const [notice, ...more] = weakJudges([check(1, 0.699), check(2, 0.7), check(3, 0.1), check(4, 0.2), check(5, 0.55, 0.6)]);
  t.deepEqual(more, []);
  t.regex(
    notice!,
    /hardly tells .* of r3\/judge-check: 0\.10, wanted 0\.7; r4\/judge-check: 0\.20, wanted 0\.7; r5\/judge-check: 0\.55, wanted 0\.6\./,
  );
});
