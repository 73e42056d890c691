/** How a judge is measured before it is trusted, in Humpback, whose judge is another model in each round. */
import test from 'ava';
import { humpback, seedPairs } from '../support/humpback.ts';
import { checkIn } from '../support/judge-check.ts';

const paper = await humpback();
const order: string[] = [];
const run = await paper.run(
  { judgeCheck: { pairs: 8, minAuc: 1, gate: true } },
  { before: async ({ path }) => void order.push(path), evaluation: {} },
);
const checks = await Promise.all(['r1/', 'r2/'].map((round) => checkIn('humpback', paper, run, round)));

test('each judge is measured on the same real and shuffled pairs of the seed', (t) => {
  const own = new Map(seedPairs.map(({ instruction, response }) => [instruction, response]));
  for (const { real, shuffled, metrics, beyond } of checks) {
    t.deepEqual(beyond, []);
    t.deepEqual([real.length, shuffled.length], [8, 8]);
    t.true(real.every(({ instruction, response }) => own.get(instruction as string) === response));
    t.true(shuffled.every(({ instruction, response }) => own.get(instruction as string) !== response));
    t.like(metrics, { real: 8, shuffled: 8, minAuc: 1 });
    t.true(metrics['auc']! >= 0 && metrics['auc']! < 1 && metrics['real10']! >= 0 && metrics['shuffled10']! >= 0);
  }
  t.deepEqual(
    checks.map(({ judges }) => judges.map(({ digest }) => digest)),
    ['forward', 'r1/forward'].map((path) => [run.step(path).model.digest]),
  );
});

test('with a gate, a judge that cannot tell the pairs apart stops its round before it judges the pool', (t) => {
  t.deepEqual(
    run.short,
    [1, 2].map((round) => ({
      path: `r${round}/judge-check-gate`,
      round,
      short: `wants auc of at least 1 and has ${checks[round - 1]!.metrics['auc']}`,
    })),
  );
  for (const round of ['r1', 'r2'])
    t.true(order.indexOf(`${round}/judge-check`) >= 0 && order.indexOf(`${round}/judge-check`) < order.indexOf(`${round}/judge`));
});

test('a check changes no other step', async (t) => {
  const other = await paper.run({}, { evaluation: {} });
  t.deepEqual(other.results, run.results);
  t.deepEqual(other.asked, []);
  t.deepEqual(other.trainings, []);
});
