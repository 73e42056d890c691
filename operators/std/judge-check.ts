/** Tells whether a judge knows a pair from one whose parts do not belong together. */
import { z } from 'zod';
import { reducer, type Dataset, type Report, type MaybePromise } from '../../recipe/index.ts';
import { canonicalJson, sha256 } from '../../schemas/canonical.ts';
import type { Rec } from '../../recipe/define.ts';

type Values = Readonly<Record<string, unknown>>;

const shuffling = z.strictObject({
  count: z.int().min(1).describe('Number of pairs, a random sample.'),
  move: z.record(z.string(), z.string()).describe('Field of the shuffled record -> field of another record that fills it.'),
  about: z.string().nullable().describe('Field that the moved ones belong to. Records with the same value get nothing from each other.'),
});

/** Samples `count` records, and gives each twice: as it is, and with the fields in `move` from another record of the sample. `shuffled` tells
 *  the two apart. A record that would get what it has, or something about the same, is only given as it is. */
export const shuffled = reducer<{ readonly of: MaybePromise<Dataset<Values>> }, Dataset<Values>, z.output<typeof shuffling>>({
  version: 1,
  params: shuffling,
  stochastic: () => true,
  skipsConservation: true, // more records leave than enter
  maxRows: (entering, { count }) => 2 * Math.min(entering, count),
  async *run({ of }, { count, move, about }, { random, derive }) {
    const salt = random('shuffled')();
    const lots: { readonly id: string; readonly lot: string }[] = [];
    for await (const { id } of of) lots.push({ id, lot: sha256(`${salt}/${id}`) });
    const taken = new Set(
      lots
        .toSorted((a, b) => (a.lot < b.lot ? -1 : 1))
        .slice(0, count)
        .map(({ id }) => id),
    );
    const sample: Rec<Values>[] = [];
    for await (const record of of) if (taken.delete(record.id)) sample.push(record);

    const givers = derangement(sample, (record) => canonicalJson(Object.values(move).map((field) => record.value[field] ?? null)), salt);
    for (const record of sample) {
      yield { record: derive({ ...record.value, shuffled: false }, [record]) };
      const giver = givers.get(record)!;
      const moved = Object.fromEntries(Object.entries(move).map(([to, from]) => [to, giver.value[from]]));
      const isChanged = Object.entries(moved).some(([field, value]) => !isEqual(record.value[field], value));
      const isAboutSame = about !== null && isEqual(record.value[about], giver.value[about]);
      if (isChanged && !isAboutSame) yield { record: derive({ ...record.value, ...moved, shuffled: true }, [record, giver]) };
    }
  },
});

/** Gives each item another one, with another key wherever no key is that of more than half of the items: the keys in random order, each
 *  as often as it occurs, shifted by the most frequent one. */
function derangement<T>(items: readonly T[], keyOf: (item: T) => string, salt: number): Map<T, T> {
  const groups = [...Map.groupBy(items, keyOf)]
    .map(([key, group]) => ({ group, lot: sha256(`${salt}/${key}`) }))
    .toSorted((a, b) => (a.lot < b.lot ? -1 : 1));
  const order = groups.flatMap(({ group }) => group);
  const shift = Math.max(...groups.map(({ group }) => group.length), 1);
  return new Map(order.map((item, at) => [item, order[(at + shift) % order.length]!]));
}

const isEqual = (a: unknown, b: unknown): boolean => canonicalJson(a ?? null) === canonicalJson(b ?? null);

const separating = z.strictObject({
  score: z.string().nullable().describe('The field with the score; of a list, its length counts. null: the judge keeps or drops.'),
  order: z.enum(['highest', 'lowest']).default('highest').describe('Which scores are good.'),
  minAuc: z.number(),
});

/** Bins of the histogram. */
const BINS = 10;

interface Checked {
  /** From `shuffled`. */
  readonly pairs: MaybePromise<Dataset<Values>>;
  readonly judged: MaybePromise<Dataset<Values>>;
}

/**
 * Compares the scores of real and of shuffled pairs.
 *
 * @returns `auc`: the probability that a real pair scores better than a shuffled one, ties counted half (0.5: chance). A pair that the judge
 *   dropped is worse than any other. `minAuc`: the bound that was set. `real`, `shuffled`: numbers of pairs. `realKept`, `shuffledKept`:
 *   shares that the judge kept. With scores also their medians, and a histogram of ten bins of equal width from `low` to `high`, as shares of
 *   the pairs of a kind.
 */
export const separation = reducer<
  Checked,
  Report<Readonly<Record<string, number>> & { readonly auc: number }>,
  z.output<typeof separating>
>({
  version: 1,
  params: separating,
  outputs: 'report',
  async run({ pairs, judged }, { score: field, order, minAuc }) {
    const scores = new Map<string, number>();
    for await (const { from, value } of judged) {
      const found = field === null ? 1 : value[field];
      const score = Array.isArray(found) ? found.length : found;
      if (typeof score === 'number' && Number.isFinite(score)) scores.set(from[0]!, score);
    }
    const real: (number | undefined)[] = [];
    const fake: (number | undefined)[] = [];
    for await (const { id, value } of pairs) (value['shuffled'] === true ? fake : real).push(scores.get(id));
    const sign = order === 'highest' ? 1 : -1;
    const ranks = (some: typeof real) => some.map((score) => (score === undefined ? -Infinity : sign * score));
    return {
      auc: aucOf(ranks(real), ranks(fake)),
      minAuc,
      real: real.length,
      shuffled: fake.length,
      realKept: shareOf(real, (score) => score !== undefined),
      shuffledKept: shareOf(fake, (score) => score !== undefined),
      ...(field !== null && histogramOf({ real, shuffled: fake })),
    };
  },
});

/** Mann and Whitney's U over the number of comparisons; 0.5 where there is nothing to compare. */
function aucOf(good: readonly number[], bad: readonly number[]): number {
  if (good.length === 0 || bad.length === 0) return 0.5;
  let wins = 0;
  for (const one of good) for (const other of bad) wins += one > other ? 1 : one === other ? 0.5 : 0;
  return wins / (good.length * bad.length);
}

const shareOf = <T>(items: readonly T[], is: (item: T) => boolean): number =>
  items.length === 0 ? 0 : items.filter(is).length / items.length;

function histogramOf(kinds: { readonly [kind: string]: readonly (number | undefined)[] }): Record<string, number> {
  const all = Object.values(kinds).flatMap((scores) => scores.flatMap((score) => score ?? []));
  if (all.length === 0) return {};
  const [low, high] = [Math.min(...all), Math.max(...all)];
  const binOf = (score: number) => Math.min(BINS - 1, Math.floor(((score - low) / (high - low || 1)) * BINS));
  const metrics: Record<string, number> = { low, high };
  for (const [kind, scores] of Object.entries(kinds)) {
    const rated = scores.flatMap((score) => score ?? []).toSorted((a, b) => a - b);
    if (rated.length === 0) continue;
    metrics[`${kind}Median`] = (rated[(rated.length - 1) >> 1]! + rated[rated.length >> 1]!) / 2;
    for (let bin = 0; bin < BINS; bin++)
      metrics[`${kind}${bin + 1}`] = shareOf(scores, (score) => score !== undefined && binOf(score) === bin);
  }
  return metrics;
}
