/** The acceptance facts of MAIN, and what the recipe lets one choose where the paper is silent. The loss itself is in trainer/tests. */
import test from 'ava';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Pair } from '../../operators/humpback/records.ts';
import type { Agreed, Imagined, Row } from '../../operators/main/records.ts';
import type { DatasetRef, ModelRef, ReportRef } from '../../schemas/call.ts';
import { checkIn } from '../support/judge-check.ts';
import { beyond, planOf } from '../support/planned.ts';
import { ROUNDS, made, ran, run, seed, source, texts } from '../support/main.ts';
import { jsonl, type Ran } from '../support/recipe.ts';

interface Inputs {
  readonly from: ModelRef;
  readonly data: DatasetRef;
  readonly over: DatasetRef;
  readonly with: Readonly<Record<string, ModelRef>>;
}
const inputs = (of: Ran, path: string) => of.step(path).call.inputs as unknown as Inputs;
const digest = (of: Ran, path: string) => of.step(path).model.digest;
const alphaOf = (of: Ran, path: string) => (of.step(path).result as ReportRef).metrics['alpha']!;
const rounds = Array.from({ length: ROUNDS }, (_, n) => n + 1);
const occurrences = (values: readonly string[]) =>
  new Map([...Map.groupBy(values, (value) => value)].map(([value, all]) => [value, all.length]));
const learnt = seed.filter((_, n) => n !== 7);

test('5, 6 a round trains on two rows of each pair that was imagined; what is learnt is by people, and occurs just twice', async (t) => {
  for (const round of rounds)
    for (const [direction, human] of [
      ['forward', 'response'],
      ['reverse', 'instruction'],
    ] as const) {
      const rows = await made.trained<Row>(ran, `r${round}/${direction}`);
      t.is(rows.length, 2 * learnt.length);
      t.deepEqual(occurrences(rows.map(({ chat }) => chat.messages.at(-1)!.content)), new Map(learnt.map((pair) => [pair[human], 2])));
      t.deepEqual(ran.step(`r${round}/imagine${direction === 'forward' ? 'Instruction' : 'Response'}`).call.verb, 'map');
    }
});

test('the rows of a pair share a group and weigh 2 alpha and 2 (1 - alpha), and the given side of one was imagined', async (t) => {
  for (const alpha of [0, 0.3, 1]) {
    const other = await run({ alpha: { constant: alpha } });
    const rows = await made.trained<Row>(other, 'r1/forward');
    const imagined = new Set((await made.rows<Imagined>(other.step('r1/imagineInstruction').data)).map(({ value }) => value.imagined));
    for (const [one, two] of pairs(rows)) {
      t.is(one.chat.group, two.chat.group);
      t.deepEqual([one.chat.weight, two.chat.weight], [2 * alpha, 2 * (1 - alpha)]);
      t.true(imagined.has(one.record.instruction));
      t.true(seed.some(({ instruction, response }) => instruction === two.record.instruction && response === two.record.response));
    }
  }
});
const pairs = <T>(rows: readonly T[]): [T, T][] => Array.from({ length: rows.length / 2 }, (_, n) => [rows[2 * n]!, rows[2 * n + 1]!]);

test('7 the forward model learns from what the reverse model of the round before imagined, the reverse model from the new forward model', (t) => {
  for (const round of rounds) {
    t.is(
      inputs(ran, `r${round}/imagineInstruction`).with['reverse']!.digest,
      digest(ran, round === 1 ? 'reverse' : `r${round - 1}/reverse`),
    );
    t.is(inputs(ran, `r${round}/imagineResponse`).with['forward']!.digest, digest(ran, `r${round}/forward`));
  }
});

test('jacobi: both learn at once from the models of the round before', async (t) => {
  const jacobi = await run({ order: 'jacobi' });
  for (const round of rounds) {
    const before = round === 1 ? '' : `r${round - 1}/`;
    t.is(inputs(jacobi, `r${round}/imagineInstruction`).with['reverse']!.digest, digest(jacobi, `${before}reverse`));
    t.is(inputs(jacobi, `r${round}/imagineResponse`).with['forward']!.digest, digest(jacobi, `${before}forward`));
  }
});

test('every training begins at the base, or with `previous` where the round before ended; the one that is handed over at the base', async (t) => {
  const previous = await run({ from: 'previous' });
  for (const direction of ['forward', 'reverse'])
    for (const round of rounds) {
      t.is(inputs(ran, `r${round}/${direction}`).from.digest, digest(ran, 'model-base'));
      t.is(
        inputs(previous, `r${round}/${direction}`).from.digest,
        digest(previous, round === 1 ? direction : `r${round - 1}/${direction}`),
      );
    }
  for (const one of [ran, previous]) t.is(inputs(one, 'final').from.digest, digest(one, 'model-base'));
});

test('8 every text has an instruction, and is byte for byte what it was', async (t) => {
  const augmented = await made.rows<Pair>(ran.step('augment').data);
  t.deepEqual(augmented.map(({ value }) => value.response).toSorted(), texts.map(({ text }) => text).toSorted());
  t.is(inputs(ran, 'augment').with['reverse']!.digest, digest(ran, `r${ROUNDS}/reverse`));
  t.is(inputs(ran, 'agree').with['forward']!.digest, digest(ran, `r${ROUNDS}/forward`));
});

test('9 what is kept has the lowest losses; a share of 1 keeps all; equal losses go by id', async (t) => {
  const candidates = await made.rows<Agreed>(ran.step('agree').data);
  for (const share of [0.2, 0.29, 1]) {
    const kept = await made.rows<Agreed>((await run({ keep: { share } })).step('curated').data);
    t.is(kept.length, Math.floor(share * candidates.length + 1e-9));
    const ids = new Set(kept.map(({ id }) => id));
    const worst = kept
      .map(({ id, value }) => ({ id, nll: value.nll }))
      .toSorted(byLoss)
      .at(-1)!;
    for (const { id, value } of candidates) t.is(ids.has(id), byLoss({ id, nll: value.nll }, worst) <= 0);
  }
});
const byLoss = (a: { id: string; nll: number }, b: { id: string; nll: number }) =>
  a.nll - b.nll || (a.id < b.id ? -1 : a.id > b.id ? 1 : 0);

test('candidates can be ranked among their like in length, and cut at a loss from above and below', async (t) => {
  const kept = await made.rows<Agreed>((await run({ keep: { share: 0.2, buckets: 5 } })).step('curated').data);
  const lengths = (await made.rows<Agreed>(ran.step('agree').data)).map(({ value }) => value.response.length).toSorted((a, b) => a - b);
  for (const from of [0, 10, 20, 30, 40]) {
    const [low, high] = [lengths[from]!, lengths[from + 9]!];
    t.true(kept.some(({ value: { response } }) => response.length >= low && response.length <= high));
  }
  t.is(kept.length, 10);
  const cut = await made.rows<Agreed>((await run({ keep: { share: 1, floor: 1.7, maxNll: 2.2 } })).step('curated').data);
  t.true(cut.length > 0 && cut.every(({ value }) => value.nll >= 1.7 && value.nll <= 2.2));
});

test('the share and the count are of all candidates, however few a bucket holds', async (t) => {
  for (const buckets of [7, 20, 100]) {
    const rows = async (keep: object) => (await run({ keep: { share: 0.2, buckets, ...keep } })).step('curated').data.rows;
    t.deepEqual([await rows({}), await rows({ count: 7 }), await rows({ share: 0.9 })], [10, 7, 45], `${buckets} buckets`);
  }
});

test('10 n rounds are 2n + 3 trainings, 2n small generations and a large one, and one scoring', (t) => {
  const steps = ran.performed.map(({ call }) => call);
  const count = (what: string) => steps.filter((call) => call.operation === what).length;
  t.is(steps.filter(({ verb }) => verb === 'train').length, 2 * ROUNDS + 3);
  t.is(count('main.imagineInstruction') + count('main.imagineResponse'), 2 * ROUNDS);
  t.deepEqual([count('main.augment'), count('main.agree'), count('main.measure')], [1, 1, 0]);
});

test('10 alpha of every round is recorded: constant, on a line, or by the losses, which it then measures', async (t) => {
  const [line, ratio] = [await run({ alpha: { linear: [0.2, 0.8] } }), await run({ alpha: { lossRatio: true } })];
  for (const direction of ['forward', 'reverse']) {
    t.deepEqual(
      rounds.map((round) => alphaOf(ran, `r${round}/alpha-${direction}`)),
      [0.5, 0.5, 0.5],
    );
    t.deepEqual(
      rounds.map((round) => alphaOf(line, `r${round}/alpha-${direction}`)),
      [0.2, 0.5, 0.8],
    );
    for (const round of rounds) {
      t.true(Math.abs(alphaOf(ratio, `r${round}/alpha-${direction}`) - 0.25) < 1e-9, 'L(seed) .5 and L(imagined) 1.5');
      t.is(
        inputs(ratio, `r${round}/measure-${direction}`).with['learner']!.digest,
        digest(ratio, round === 1 ? direction : `r${round - 1}/${direction}`),
      );
    }
  }
});

test.serial('a weight or a group among the columns of the seed steers no training', async (t) => {
  const steered = seed.map((pair, n) => ({ ...pair, weight: n, group: n < 5 ? 'sums' : 'other', part: 'curated' }));
  await writeFile(join(made.folder, 'steered.jsonl'), jsonl(steered));
  const other = await made.run({
    parameters: { rounds: ROUNDS, minimum: 1, judgeCheck: null },
    data: { seed: source('steered.jsonl'), corpus: source('texts.jsonl') },
    models: { base: { path: join(made.folder, 'base') } },
  });
  for (const path of ['forward', 'reverse', 'r1/forward', 'final']) {
    const [steered, usual] = await Promise.all([other, ran].map(async (of) => (await made.trained<Row>(of, path)).map(({ chat }) => chat)));
    t.deepEqual(
      steered!.map(({ weight }) => weight),
      usual!.map(({ weight }) => weight),
      path,
    );
    t.deepEqual(
      steered!.map(({ group }) => group === undefined),
      usual!.map(({ group }) => group === undefined),
      path,
    );
  }
  t.true((await made.trained<Row>(other, 'final')).every(({ chat }) => chat.weight === undefined));
});

test.serial('with another share nothing is asked anew, and only the model that is handed over is trained', async (t) => {
  const other = await run({ keep: { share: 0.37 } });
  t.deepEqual(other.asked, []);
  t.deepEqual(
    other.trainings.map(({ call }) => call.path),
    ['final'],
  );
});

test('the model that is handed over learns from the seed and what was curated; the control from as many pairs drawn blindly', async (t) => {
  const both = await run({ arms: ['random'] });
  const curated = (await made.rows<Pair>(both.step('curated').data)).map(({ value }) => value.response);
  const rows = await made.trained<Row>(both, 'final');
  t.deepEqual(
    rows.map(({ chat }) => chat.messages.at(-1)!.content),
    [...seed.map(({ response }) => response), ...curated],
  );
  t.is((await made.trained<Row>(both, 'random/final')).length, rows.length);
  t.not(digest(both, 'random/final'), digest(both, 'final'));
});

for (const parameters of [{ arms: ['random'], nearDuplicates: 0.7 }, { alpha: { lossRatio: true } }] as const)
  test.serial(`what it does is within its longest plan, in calls and records too: ${JSON.stringify(parameters)}`, async (t) => {
    const one = await run(parameters);
    const plan = await planOf('main', made, one.given);
    t.deepEqual(await beyond(plan, one, made), []);
    const measured = plan.steps.find(({ path }) => path === 'r1/measure-forward');
    t.is(measured?.requests, 'alpha' in parameters ? 2 * measured!.in! : undefined);
  });

test.serial('the loss that curates is measured on real and shuffled seed pairs: a low one is good', async (t) => {
  const other = await run({ judgeCheck: { pairs: 5 } });
  const { real, shuffled, judges, metrics, beyond } = await checkIn('main', made, other);
  t.deepEqual(beyond, []);
  t.deepEqual([real.length, shuffled.length], [5, 5]);
  t.deepEqual(judges, [inputs(other, 'agree').with['forward']!]);
  const losses = (await made.rows<{ instruction: string; response: string; nll: number }>(other.step('check-judged').data)).map(
    ({ value }) => value,
  );
  const isReal = ({ instruction, response }: { instruction: string; response: string }) =>
    real.some((pair) => pair['instruction'] === instruction && pair['response'] === response);
  const [own, others] = [losses.filter(isReal), losses.filter((pair) => !isReal(pair))];
  const wins = own.flatMap(({ nll }) => others.map((other) => (nll < other.nll ? 1 : nll === other.nll ? 0.5 : 0)));
  t.is(metrics['auc'], wins.reduce<number>((a, b) => a + b, 0) / wins.length);
  t.deepEqual(other.results, ran.results);
});
