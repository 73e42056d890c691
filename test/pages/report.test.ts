/** The report, and the comparison of two experiments, over what they left in a store. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { comparisonOf, type Comparison } from '../../experiments/comparison.ts';
import { metricCells } from '../../experiments/intervals.ts';
import { wilson } from '../../schemas/precision.ts';
import type { ExperimentReport } from '../../experiments/report.ts';
import { backspin } from '../cli/cli.ts';
import { judgedHome, type Judged } from '../support/judged.ts';

let home: Judged;
test.before(async () => {
  home = await judgedHome();
});

test('a report is one file without scripts and addresses, with what models wrote as text, and its numbers beside it', async (t) => {
  const to = join(home.folder, 'two.html');
  const { code, stdout, stderr } = await backspin(home.folder, ['report', 'judged', 'strict', '--to', to]);
  t.is(code, 0, stderr);
  t.regex(stdout, /two\.html\n.*two\.json\n$/);
  const text = readFileSync(to, 'utf8');
  t.notRegex(text, /<script|<img|<link|<\w[^>]*\s(src|href)=|url\(/);
  // oxlint-disable-next-line no-control-regex
  t.notRegex(text, /[\u202e\u001b]/);
  t.true(text.includes('&lt;script&gt;document.title'));
  const { experiments, comparisons } = JSON.parse(readFileSync(to.replace('.html', '.json'), 'utf8')) as {
    experiments: ExperimentReport[];
    comparisons: Comparison[];
  };
  const [first] = experiments;
  t.like(first!.metrics[0], { metric: 'exact', round: 1, value: 0.44 });
  const score = first!.distributions.find(({ path, field }) => path === 'r1/judge' && field === 'score')!;
  t.is(score.of, 'value');
  t.deepEqual(score.thresholds, [{ value: 4, keeps: 'atLeast', path: 'r1/curated' }]);
  t.true(text.includes('kept: 4 or more'));
  t.deepEqual(experiments[1]!.distributions.find(({ path, field }) => path === 'r1/judge' && field === 'score')!.thresholds[0]!.value, 5);
  t.is(
    score.histogram.bins.reduce((sum, { count }) => sum + count, 0),
    27,
  );
  const dropped = first!.samples.find(({ path, table }) => path === 'r1/judge' && table === 'dropped')!;
  t.is(dropped.total, 3);
  t.like(dropped.rows[0], { reason: 'no-score', evidence: 'I like it' });
  t.deepEqual(first!.determinism, { seeded: 12 });
  t.is(first!.cost.requests, 30 + 2 * 27);
  t.is(experiments[1]!.cost.requests, 0, 'all of its requests were those of the first');
  t.is(comparisons[0]!.parting!.path, 'r1/curated');
});

test('compare says which setting differs, the first step that differs and why, and which records only one has', async (t) => {
  const [a, b] = [(await home.store.experiment('judged'))!, (await home.store.experiment('strict'))!];
  const { configuration, parting, steps, metrics, records } = await comparisonOf(home.store, a, b);
  t.deepEqual(configuration, ['parameters.keep.threshold: 4 -> 5']);
  t.deepEqual(parting, { path: 'r1/curated', why: ['params.where.score.atLeast: 4 -> 5'] });
  t.like(steps, { both: 12, shared: 4, onlyA: [], onlyB: [] });
  t.like(metrics[0], { metric: 'exact', a: 0.44, b: 0.45 });
  const [{ path, beside }] = records as [Comparison['records'][number]];
  t.is(path, 'r1/curated');
  t.deepEqual([beside.common, ...beside.sides.map(({ only }) => only.total)], [5, 5, 0]);
  t.true(beside.sides[0].only.rows.every(({ score }) => score === 4));
  const same = await comparisonOf(home.store, a, a);
  t.like(same, { configuration: [], parting: null, records: [] });
});

test('compare prints the same', async (t) => {
  const { code, stdout } = await backspin(home.folder, ['compare', 'judged', 'strict']);
  t.is(code, 0);
  t.regex(stdout, /^Configuration:\n {2}parameters\.keep\.threshold: 4 -> 5\n/);
  t.regex(stdout, /The first step that differs is r1\/curated:\n {2}params\.where\.score\.atLeast: 4 -> 5\n/);
  t.regex(stdout, /^r1\/curated +5 +5 +0$/m);
});

test("the interval of a share is Wilson's; other numbers have one where a suite or repeated trainings give it", (t) => {
  const { low, high } = wilson(0.5, 100);
  t.is(low.toFixed(4), '0.4038');
  t.is(high.toFixed(4), '0.5962');
  t.is(wilson(0, 10).low, 0);
  t.is(wilson(0, 10).high.toFixed(4), '0.2775');
  const step = { kind: 'evaluate', name: 'ours', round: 1, arm: null, in: 8, numbers: ['exact', 'length', 'odd'] } as never;
  const cells = metricCells({
    steps: [step],
    metrics: [{ round: 1, arm: null, exact: 0.25, length: 31.5, odd: 0.3, xMean: 2, xStd: 0.5, rate: 0.5, rateLow: 0.3, rateHigh: 0.8 }],
  });
  const of = (name: string) => cells.find(({ metric }) => metric === name)?.interval;
  t.like(of('exact'), { kind: 'share', of: 8 });
  t.deepEqual([of('length'), of('odd')], [null, null]);
  t.deepEqual(of('xMean'), { kind: 'seeds', low: 1.5, high: 2.5, of: null });
  t.deepEqual(of('rate'), { kind: 'own', low: 0.3, high: 0.8, of: null });
  t.deepEqual([of('xStd'), of('rateLow'), of('rateHigh')], [undefined, undefined, undefined]);
});
