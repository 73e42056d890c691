/** The benches in a tiny size: that they run, and that nothing is lost. What they measure is for a quiet machine. */
import test from 'ava';
import { engine } from '../../bench/engine.ts';
import { handover } from '../../bench/handover.ts';
import { scale } from '../../bench/scale.ts';
import { records } from '../../bench/records.ts';
import { score, SHAPE } from '../../bench/score.ts';
import type { Result } from '../../bench/support.ts';
import { lognormal, storm, throughput } from '../../bench/throughput.ts';

const bound = ({ bounds }: Result, what: string) => bounds!.find((one) => one.what.startsWith(what))!.is;

test.serial('throughput: a job of two steps is measured beside a bare loop', async (t) => {
  const { rows, bounds } = await throughput({ records: 300, latencies: [20], peers: {} });
  t.deepEqual(
    rows.map((row) => (row as { who: string }).who),
    ['backspin', 'a bare loop'],
  );
  t.true(bounds![0]!.is > 0 && bounds![0]!.is <= 1);
});

test.serial('lognormal: every record is answered, and no sooner than the ideal', async (t) => {
  const result = await lognormal({ records: 300, milliseconds: 10 });
  t.is(bound(result, 'records lost'), 0);
  t.true(bound(result, 'times the ideal') >= 1);
});

test.serial('storm: every record is answered, though some requests are refused', async (t) => {
  const result = await storm({ records: 200, milliseconds: 300, every: 1_000, lasts: 1_000 }); // never calm, for slow machines
  t.is(bound(result, 'records lost'), 0);
  t.true(bound(result, 'requests for one') > 1);
});

test.serial('scale: memory and history of a map are measured', async (t) => {
  const result = await scale({ sizes: [100, 1000], rounds: 3, steps: 4 });
  t.is(bound(result, 'records lost'), 0);
  t.true(bound(result, 'MB') < 400);
});

test.serial('records: each filter finds its records', async (t) => {
  const { rows } = await records({ count: 1000 });
  const found = Object.fromEntries((rows as { arm: string; found: number }[]).map((row) => [row.arm, row.found]));
  t.like(found, { 'first page': 1000, 'a page in the middle': 1000, 'sorted by score': 1000, 'a text in any field': 1 });
  t.true(found['a score range']! > 0 && found['a score range']! < 1000);
});

test.serial('handover: the same work by hand has the same answers', async (t) => {
  t.timeout(1_200_000);
  const { rows } = await handover({ records: 100, steps: 4 });
  t.is(rows.length, 5);
});

test.serial('engine: generate gives the answers that the server gives', async (t) => {
  t.timeout(1_200_000);
  t.true(bound(await engine({ count: 32, batches: [16], threads: [1], runs: 1 }), 'share of answers') >= 0.9);
});

test.serial('score: the naive way gives the same numbers', async (t) => {
  t.timeout(1_200_000);
  const shape = { ...SHAPE, vocab_size: 500, hidden_size: 64, intermediate_size: 128, num_hidden_layers: 2 };
  t.true(bound(await score({ rows: 16, runs: 1, shape }), 'difference') < 1e-4);
});
