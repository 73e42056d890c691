/** What a judge is measured with, and how well it tells real pairs from shuffled ones. */
import test from 'ava';
import { separation, shuffled } from '../../operators/std/index.ts';
import type { Rec, ReducerDef } from '../../recipe/define.ts';
import { rec, reduce, rows } from '../support/reduce.ts';

interface Pair {
  readonly instruction: string;
  readonly response: string;
}
type Checked = Pair & { readonly shuffled: boolean };
const pairs = (count: number, responses = count): Rec<Pair>[] =>
  Array.from({ length: count }, (_, n) => rec({ instruction: `Ask ${n}?`, response: `Answer ${n % responses}.` }));
const rule = { count: 100, move: { response: 'response' }, about: 'instruction' };
const drawn = async (records: readonly Rec<object>[], given: object = {}, seed = 0) => {
  const { kept } = await reduce(shuffled, { of: rows(records) }, { ...rule, ...given }, seed);
  const all = kept as unknown as Rec<Checked>[];
  return { all, real: all.filter(({ value }) => !value.shuffled), fake: all.filter(({ value }) => value.shuffled) };
};

test('every sampled pair is given as it is and with the response of another, each response once; a seed draws the same again', async (t) => {
  for (const [seed, count] of [
    [0, 2],
    [1, 3],
    [2, 40],
  ] as const) {
    const records = pairs(40);
    const { real, fake, all } = await drawn(records, { count }, seed);
    t.is(real.length, count);
    t.is(fake.length, count);
    const own = new Map(records.map(({ value }) => [value.instruction, value.response]));
    t.true(real.every(({ value }) => own.get(value.instruction) === value.response));
    t.true(fake.every(({ value }) => own.get(value.instruction) !== value.response));
    t.deepEqual(fake.map(({ value }) => value.response).toSorted(), real.map(({ value }) => value.response).toSorted());
    t.is(new Set(all.map(({ id }) => id)).size, 2 * count);
    t.deepEqual((await drawn(records, { count }, seed)).all, all);
    if (count > 3) t.notDeepEqual((await drawn(records, { count }, seed + 10)).fake, fake);
  }
});

test('a response that several pairs share never comes back to one of them, unless it is that of most pairs', async (t) => {
  const shared = await drawn(pairs(12, 2)); // six pairs for each of two responses
  t.is(shared.fake.length, 12);
  for (const { value } of shared.fake) t.not(value.response, `Answer ${Number(/\d+/.exec(value.instruction)![0]) % 2}.`);
  const most = await drawn([...pairs(3), ...pairs(12, 1).slice(3)]); // nine of twelve and one more have Answer 0
  t.is(most.real.length, 12);
  for (const { value } of most.fake) {
    const isZero = value.instruction !== 'Ask 1?' && value.instruction !== 'Ask 2?';
    t.true(isZero ? value.response !== 'Answer 0.' : value.response !== `Answer ${/\d/.exec(value.instruction)![0]}.`);
  }
  t.is((await drawn(pairs(5, 1))).fake.length, 0);
  t.is((await drawn(pairs(1))).fake.length, 0);
  t.is((await drawn([])).all.length, 0);
});

test('two answers to one question are not exchanged, and a field can be filled from another one', async (t) => {
  const twins = [...pairs(4), ...pairs(4).map(({ value }) => rec({ ...value, response: `Also ${value.response}` }))];
  for (let seed = 0; seed < 10; seed++) {
    const { fake } = await drawn(twins, {}, seed);
    t.true(fake.length > 0);
    for (const { value } of fake) t.not(/\d/.exec(value.response)![0], /\d/.exec(value.instruction)![0]);
  }
  const { fake } = await drawn(pairs(4), { move: { instruction: 'response' }, about: null });
  t.is(fake.length, 4);
  for (const { value } of fake) t.true(value.instruction.startsWith('Answer') && value.instruction !== value.response);
});

/** `judge`: the score of a pair; undefined: it is dropped. */
async function compared(judge: (pair: Checked) => number | undefined, given: object = {}, count = 40) {
  const { all } = await drawn(pairs(count));
  const judged = all.flatMap(({ id, value }) => {
    const score = judge(value);
    return score === undefined
      ? []
      : [{ id: `judged ${id}`, from: [id], value: { ...value, score, list: Array.from({ length: Math.max(0, score) }) } }];
  });
  const { run, params } = separation as unknown as ReducerDef<unknown, never, object>;
  const rule = params!.parse({ score: 'score', minAuc: 0.7, ...given }) as object;
  return (await run({ pairs: rows(all), judged: rows(judged) }, rule, undefined as never)) as Record<string, number>;
}
const number = ({ instruction }: Pair) => Number(/\d+/.exec(instruction)![0]);

test('AUC is 1 for a judge that knows all real pairs, 0 for one that prefers the others, 0.5 where all scores are equal', async (t) => {
  t.is((await compared(({ shuffled }) => (shuffled ? 1 : 2)))['auc'], 1);
  t.is((await compared(({ shuffled }) => (shuffled ? 1 : 2), { order: 'lowest' }))['auc'], 0);
  t.is((await compared(() => 3))['auc'], 0.5);
  t.is((await compared((pair) => number(pair) % 5))['auc'], 0.5); // looks at the instruction alone
});

test('AUC counts ties half, and a pair without a score as worse than any other', async (t) => {
  // Real pairs: half 2, half 1. Shuffled: all 1. So a real pair wins half of the comparisons and ties in the others.
  t.is((await compared((pair) => (!pair.shuffled && number(pair) % 2 === 0 ? 2 : 1)))['auc'], 0.75);
  const dropping = await compared((pair) => (pair.shuffled && number(pair) < 10 ? undefined : 1));
  t.is(dropping['auc'], 0.5 + 0.5 * 0.25);
  t.is(dropping['realKept'], 1);
  t.is(dropping['shuffledKept'], 0.75);
  t.is((await compared(({ shuffled }) => (shuffled ? undefined : -5)))['auc'], 1);
  const lowest = await compared((pair) => (pair.shuffled ? undefined : -5), { order: 'lowest' });
  t.is(lowest['auc'], 1);
});

test('a judge that keeps or drops has an AUC without scores; of a list the length is the score', async (t) => {
  const verdicts = await compared((pair) => (pair.shuffled && number(pair) % 4 !== 0 ? undefined : 1), { score: null });
  t.deepEqual(verdicts, { auc: 0.875, minAuc: 0.7, real: 40, shuffled: 40, realKept: 1, shuffledKept: 0.25 });
  t.is((await compared(({ shuffled }) => (shuffled ? 0 : 1), { score: 'list' }))['auc'], 1);
});

test('the histogram has all scores of both kinds in ten bins from the lowest to the highest', async (t) => {
  const report = await compared((pair) => (pair.shuffled ? 0 : number(pair) < 10 ? undefined : 10));
  t.like(report, { low: 0, high: 10, real10: 0.75, real1: 0, shuffled1: 1, realMedian: 10, shuffledMedian: 0, realKept: 0.75 });
  const sum = (kind: string) => Array.from({ length: 10 }, (_, bin) => report[`${kind}${bin + 1}`]!).reduce((a, b) => a + b, 0);
  t.is(sum('real'), 0.75);
  t.is(sum('shuffled'), 1);
  t.true(Object.values(await compared(() => 3)).every(Number.isFinite));
  t.deepEqual(await compared(() => 3, {}, 0), { auc: 0.5, minAuc: 0.7, real: 0, shuffled: 0, realKept: 0, shuffledKept: 0 });
});
