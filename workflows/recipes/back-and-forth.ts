/** Better alignment with instruction back-and-forth translation (2408.04614), section 2. */
import {
  chain,
  operators,
  type Chosen,
  type Dataset,
  type DataSuite,
  type MaybePromise,
  type Metrics,
  type Model,
  type Recipe,
  type Run,
  type Suite,
} from '../../recipe/api.ts';
import { mix, select, type Selection } from '../../recipe/reducers.ts';
import type { ModelRef } from '../../schemas/call.ts';
import type { Document } from '../../operators/back-and-forth/records.ts';
import type { Judged, Pair } from '../../operators/humpback/records.ts';
import type { Arm, BackAndForthParameters } from '../../schemas/recipes/back-and-forth.ts';
import { checkOf, judges } from './humpback.ts';

const { backtranslate } = operators<typeof import('../../operators/humpback/index.ts')>('humpback');
const { usable, rewrite, distil } = operators<typeof import('../../operators/back-and-forth/index.ts')>('back-and-forth');

export interface BackAndForthConfig extends BackAndForthParameters {
  /** Of the backward model and the scorer. */
  readonly base: Model;
  /** The students start from it. Default: the base. */
  readonly student?: Model;
  /** An aligned model of another lineage. It is never trained. */
  readonly rewriter: Model;
  /** Pairs written by people. */
  readonly seed: Dataset<Pair>;
  /** Whole documents of the web, each of which may be a response. */
  readonly documents: Dataset<Document>;
  readonly evaluation: {
    /** Of the students and of the scorer, with the one tag, and with both. */
    readonly forward?: Chosen<Suite<'lm', Metrics>>;
    readonly forwardWeb?: Chosen<Suite<'lm', Metrics>>;
    readonly backward?: Chosen<Suite<'lm', Metrics>>;
    /** Of the whole pool, and of what each arm is trained on. */
    readonly pairs?: Chosen<DataSuite<Pair, Metrics>>;
  };
}

export const backAndForth: Recipe<BackAndForthConfig, { readonly model: Model; readonly [student: string]: Model }> = async (
  run,
  config,
) => {
  const { base, student = base, rewriter, seed, documents, arms, size, prompts, sampling, attempts, evaluation } = config;
  if ([base, student].some((model) => isSame(model, rewriter))) throw new Error(SAME_LINEAGE);
  const seedSft = { ...config.seedSft, objective: 'sft' } as const;
  const toInstruction = { id: config.templates.toInstruction };
  const toResponse = { id: config.templates.toResponse };

  // M_yx and M_xy: the base, tuned on the seed alone.
  const backward = run.train('backward', { ...seedSft, from: base, data: seed, template: toInstruction });
  const forward = () =>
    run.train('forward', { ...seedSft, from: base, data: run.reduce(mix({ seed }), { as: 'labelled' }), template: toResponse });
  if (evaluation.backward) void run.evaluate(backward, evaluation.backward, { as: 'evaluate-backward' });
  if (evaluation.forward) void run.evaluate(forward(), evaluation.forward, { as: 'evaluate-forward' });

  // Backtranslation (2.1): an instruction for every document.
  const pool = run.map(chain(usable, backtranslate), documents, {
    with: { backward },
    params: { split: config.split, maxChars: config.maxChars, prompt: prompts.backtranslate, sampling: sampling.backtranslate },
    as: 'backtranslate',
  });
  measure(run, config, 'pool', pool);

  // Filtering (2.2): M_xy judges each pair, once.
  const params = { prompts, sampling: sampling.judge, attempts: attempts.judge };
  let scorer: MaybePromise<Model> | undefined;
  const filtered = () => {
    scorer ??= checkOf(run, config)(run, forward(), params);
    const judged = run.map(judges[config.judge], pool, { with: { scorer }, params, as: 'judge' });
    return run.reduce(select(judged, good(config.keep)), { as: 'filtered' });
  };

  // Rewriting (2.3), and the arms to compare it with. The rewriter writes `size` pairs at most.
  const byRewriter = { with: { rewriter }, until: { kept: size } };
  const rewriting = { ...byRewriter, params: { prompt: prompts.rewrite, sampling: sampling.rewrite, attempts: attempts.rewrite } };
  const pairsOf: Record<Arm, (arm: Run) => Promise<Dataset<Pair>>> = {
    both: (arm) => arm.map(rewrite, filtered(), rewriting),
    rewrite: (arm) => arm.map(rewrite, pool, rewriting),
    filter: filtered,
    distil: (arm) => arm.map(distil, filtered(), { ...byRewriter, params: { prompt: prompts.distil, sampling: sampling.rewrite } }),
  };

  // All arms have equally many pairs, so that they differ only in how the pairs were made.
  const found = arms.map((name) => pairsOf[name](run.arm(name)));
  const pairs = arms.map((name, i) => run.arm(name).reduce(select(found[i]!, { take: { as: found, most: size } }), { as: 'pairs' }));
  pairs[0] = run.gate(pairs[0]!, { rows: config.minimum });
  await pairs[0];

  const students = (await Promise.all(arms.map((name, i) => studentsOf(run.arm(name), config, name, pairs[i]!)))).flat();
  const model = students.find(({ chosen }) => chosen)!.model;
  return { model, ...(students.length > 1 && Object.fromEntries(students.map(({ name, model }) => [name, model]))) };
};

/** The students of an arm: the seed under its tag and the pairs under theirs, for several lengths, all of which are kept (A.3). */
async function studentsOf(arm: Run, config: BackAndForthConfig, name: Arm, pairs: Promise<Dataset<Pair>>) {
  const { base, student = base, seed, steps, pickBest, evaluation } = config;
  const sft = { ...config.sft, objective: 'sft' } as const;
  const template = { id: config.templates.toResponse };
  const named = (name: string, length: number) => (steps.length === 1 ? name : `${name}-${length}`);

  measure(arm, config, 'pairs', pairs);
  const data = arm.reduce(mix({ seed, augmented: pairs }), { as: 'mixed' });
  const trained = steps.map((length) =>
    arm.train(named('student', length), { ...sft, length: { steps: length }, from: student, data, template }),
  );
  const reports = steps.flatMap((length, i) =>
    (['forward', 'forwardWeb'] as const).flatMap((tag) => {
      const suite = evaluation[tag];
      return suite ? [[`${length} ${tag}`, arm.evaluate(trained[i]!, suite, { as: named(`evaluate-${tag}`, length) })] as const] : [];
    }),
  );
  const longest = Math.max(...steps);
  const chosen =
    pickBest === null || steps.length === 1 || reports.length === 0
      ? longest
      : await arm.decide('steps, chosen on a test report', Object.fromEntries(reports), bestBy(pickBest), longest);
  const models = await Promise.all(trained);
  return models.map((model, i) => ({ name: named(name, steps[i]!), model, chosen: steps[i] === chosen }));
}

const measure = (turn: Run, { evaluation }: BackAndForthConfig, name: 'pool' | 'pairs', pairs: Promise<Dataset<Pair>>) => {
  if (evaluation.pairs) void turn.evaluate(pairs, evaluation.pairs, { as: `evaluate-${name}` });
};

const good = (keep: BackAndForthParameters['keep']): Selection<Judged> =>
  'threshold' in keep ? { where: { score: { atLeast: keep.threshold } } } : { best: { by: 'score', order: 'highest', share: keep.share } };

/** The length whose student has the highest value in any report; of equal ones the shortest. */
const bestBy = (metric: string) => (reports: Readonly<Record<string, Metrics>>) => {
  const values = Object.entries(reports).map(([name, metrics]) => {
    const value = metrics[metric];
    if (value === undefined)
      throw new Error(`pickBest is ${metric}, and the suites give ${Object.keys(metrics).join(', ')}: name one of these, or say null`);
    return { length: Number.parseInt(name), value };
  });
  return values.toSorted((a, b) => b.value - a.value || a.length - b.length)[0]!.length;
};

const isSame = (one: Model, other: Model): boolean => (one as ModelRef).digest === (other as ModelRef).digest;
const SAME_LINEAGE =
  'models.rewriter is the model that is trained: a response is rewritten by a model of another lineage, which is aligned already; give one of its own';
