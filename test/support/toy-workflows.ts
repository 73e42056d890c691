/** Adds toy recipes to the product's workflows, to test the engine by itself. */
import {
  chain,
  operators,
  select,
  type Dataset,
  type MapOptions,
  type Model,
  type Recipe,
  type MaybePromise,
  type Tagged,
} from '../../recipe/index.ts';
import { recipes } from '../../workflows/recipes/index.ts';

import { condition } from '@temporalio/workflow';
import type { Control } from '../../workflows/control.ts';
import { listen } from '../../workflows/updates.ts';

export { experiment } from '../../workflows/experiment.ts';
export { stage } from '../../workflows/stage.ts';
export { sweep } from '../../workflows/sweep.ts';

const { double, sieve, fragile, total, truth, ask, rate, compare, toAnswer, toQuestion } = operators<typeof import('./toy.ts')>('toy');
const { tagging } = operators<typeof import('../../operators/eval/index.ts')>('eval');
interface Numbered {
  readonly n: number;
}
interface ToyConfig {
  readonly numbers: Dataset<Numbered>;
  readonly speaker?: Model;
  readonly other?: Model;
  readonly rounds: number;
  readonly minimum: number;
  readonly by: number;
  readonly until?: number;
  /** The input of `chatter` and `sifter`. */
  readonly limits?: MapOptions;
}

/** Has two arms per round, a gate, a decision, and an evaluation that nobody awaits. */
const toy: Recipe<ToyConfig, { data: Dataset<Numbered> }> = async (run, { numbers, rounds, minimum, by, until }) => {
  let data = await run.map(double, numbers);
  for await (const round of run.rounds(rounds)) {
    const sieved = round.map(sieve, data, { params: { by }, ...(until === undefined ? {} : { until: { kept: until } }) });
    void round.evaluate(sieved, truth);
    const other = round.arm('other').map(fragile, sieved);
    data = await round.gate(round.reduce(select(sieved, { where: { n: { atLeast: 1 } } })), { rows: minimum });
    const done = await round.decide('enough', { sum: round.reduce(total({ of: other })) }, ({ sum }) => sum.sum > 1e9, false);
    if (done) break;
  }
  return { data };
};

/** Sends many numbers to one model. */
const chatter: Recipe<ToyConfig, { data: Dataset<unknown> }> = async (run, { numbers, speaker, limits }) => ({
  data: await run.map(ask, numbers, { with: { speaker: speaker! }, ...limits }),
});

/** Asks a model about each number, keeps those from a minimum on, and draws from them. */
const chooser: Recipe<ToyConfig, { data: Dataset<Numbered> }> = async (run, { numbers, speaker, minimum, by }) => {
  const judged = run.map(rate, numbers, { with: { speaker: speaker! } });
  const data = run.map(sieve, run.reduce(select(judged, { where: { n: { atLeast: minimum } } })), { params: { by } });
  void run.evaluate(data, truth);
  return { data: await data };
};

/** Sends the same numbers to one model in each of `rounds` rounds. */
const echo: Recipe<ToyConfig, { data: Dataset<Numbered> }> = async (run, { numbers, speaker, rounds, limits }) => {
  let data: Dataset<Numbered> = numbers;
  for await (const round of run.rounds(rounds)) data = await round.map(ask, data, { with: { speaker: speaker! }, ...limits });
  return { data };
};

/** Sends the same numbers to two models. */
const duet: Recipe<ToyConfig, { data: Dataset<unknown> }> = async (run, { numbers, speaker, other }) => ({
  data: await run.map(compare, numbers, { with: { speaker: speaker!, other: other! } }),
});

/** Maps many numbers through a chain of two operators, without a model. */
const sifter: Recipe<ToyConfig, { data: Dataset<Numbered> }> = async (run, { numbers, by, limits }) => ({
  data: await run.map(chain(double, sieve), numbers, { params: { by }, as: 'sift', ...limits }),
});

/** Uses two adapters of one base in one step; trains one of them further, and merges it for a third. */
const adapters: Recipe<ToyConfig, { data: Dataset<unknown>; onward: Model; anew: Model }> = async (run, { numbers, speaker }) => {
  const lora = { rank: 4, alpha: 8, targets: ['q_proj', 'v_proj'] };
  const fixed = { objective: 'sft', learningRate: 1e-3, length: { steps: 2 }, batch: 4, maxTokens: 64, lora, data: numbers } as const;
  const forward = run.train('forward', { ...fixed, adapter: 'merge', from: speaker!, template: toAnswer });
  const backward = run.train('backward', { ...fixed, adapter: 'merge', from: speaker!, template: toQuestion });
  const data = run.map(compare, numbers, { with: { speaker: forward, other: backward } });
  const onward = run.train('onward', { ...fixed, adapter: 'continue', from: forward, template: toAnswer });
  const anew = run.train('anew', { ...fixed, adapter: 'merge', from: forward, template: toAnswer });
  return { data: await data, onward: await onward, anew: await anew };
};

/** Generates with a model, trains it on its answers, and generates again: a round on one device group. */
const school: Recipe<ToyConfig & { readonly steps: number; readonly maxTokens?: number }, { data: Dataset<Numbered> }> = async (
  run,
  { numbers, speaker, steps, maxTokens = 64 },
) => {
  const before = run.map(ask, numbers, { with: { speaker: speaker! }, as: 'before' });
  const fixed = { objective: 'sft', learningRate: 1e-3, batch: 32, maxTokens, lora: null, adapter: 'merge' } as const;
  const pupil = run.train('pupil', { ...fixed, length: { steps }, from: speaker!, data: before, template: toAnswer });
  return { data: await run.map(ask, before, { with: { speaker: pupil }, as: 'after' }) };
};

/** Trains two taggers that differ in their seed, and evaluates both on their training data. */
const taggers: Recipe<
  { readonly encoder: Model<'encoder'>; readonly sentences: Dataset<Tagged> },
  { first: Model<'tagger'>; second: Model<'tagger'> }
> = async (run, { encoder, sentences }) => {
  const fixed = {
    objective: 'tagger',
    learningRate: 1e-3,
    length: { steps: 60 },
    batch: 8,
    maxTokens: 16,
    lora: null,
    adapter: 'merge',
  } as const;
  const [first, second] = [0, 1].map((repeat) => {
    const student = run.train(`student-${repeat}`, { ...fixed, from: encoder, data: sentences, repeat });
    void run.evaluate(student, tagging, { params: { test: sentences, intent: 'ask' }, as: `evaluate-${repeat}` });
    return student;
  });
  return { first: await first!, second: await second! };
};

/** Runs a sequence of steps next to one that may wait long, for a model's answers or because it is broken. */
const braid: Recipe<ToyConfig, { data: Dataset<Numbered> }> = async (run, { numbers, speaker, rounds, by }) => {
  const aside = run.arm('aside');
  const waits = speaker ? aside.map(ask, numbers, { with: { speaker } }) : aside.map(fragile, numbers);
  let data = numbers;
  for (let n = 1; n <= rounds; n++) data = await run.map(sieve, data, { params: { by: by + n }, as: `sieve-${n}` });
  await waits;
  return { data };
};

/** Runs rounds of many small steps; after the first round, each is a look-up in the store. */
const crowd: Recipe<ToyConfig, { data: Dataset<Numbered> }> = async (run, { numbers, rounds, by }) => {
  for await (const round of run.rounds(rounds))
    await Promise.all(
      Array.from({ length: by }, (_, n) => round.reduce(select(numbers, { where: { n: { atLeast: n } } }), { as: `from-${n}` })),
    );
  return { data: numbers };
};

/** Runs a step, and then fails in a way that its author did not intend. */
const faulty: Recipe<ToyConfig & { readonly how: string }, { data: Dataset<Numbered> }> = async (run, { numbers, how }) => {
  const data = await run.map(double, numbers);
  const sum = run.reduce(total({ of: data }));
  const ways: Record<string, () => unknown> = {
    error: () => raise(new Error('the parameters do not fit')),
    'type error': () => (undefined as unknown as { nothing: { there: string } }).nothing.there,
    'error of a class of its own': () => raise(new RangeError('out of range')),
    string: () => raise('just a string'),
    nothing: () => raise(undefined),
    rule: () => run.decide('enough', { sum }, () => raise(new Error('the rule is wrong')) as boolean, true),
    answer: () => run.decide('enough', { sum }, () => 1n as unknown as boolean, true),
    floating: async () => {
      void Promise.reject(new Error('nobody awaits this'));
      await run.map(sieve, data, { params: { by: 2 } });
    },
    loop: async () => {
      for await (const round of run.rounds(2)) {
        void round.map(sieve, data, { params: { by: 3 } });
        raise(new Error('in the midst of a round'));
      }
    },
  };
  await ways[how]!();
  return { data };
};
const raise = (error: unknown): never => {
  throw error;
};

/** Takes one decision twice in a scope, on two reports. */
const doubtful: Recipe<ToyConfig, { data: Dataset<Numbered> }> = async (run, { numbers }) => {
  const doubled = run.map(double, numbers);
  const large = (of: MaybePromise<Dataset<Numbered>>, as: string) =>
    run.decide('large', { sum: run.reduce(total({ of }), { as }) }, ({ sum }) => sum.sum > 200, false);
  const answers = [await large(numbers, 'first'), await large(doubled, 'second')];
  return { data: await run.map(sieve, doubled, { params: { by: 2 }, as: `sieve-${answers.join('-')}` }) };
};

Object.assign(recipes, { braid, chooser, crowd, faulty, doubtful, toy, chatter, echo, duet, sifter, adapters, school, taggers });

/** Handles updates, throws at `pause`, and ends at `stopAfterRound`. */
export async function flustered(): Promise<void> {
  let over = false;
  const heard = { paused: false, round: null, pause: () => raise(new TypeError('nobody thought of this')), stopAfter: () => (over = true) };
  listen(heard as unknown as Control);
  await condition(() => over);
}
