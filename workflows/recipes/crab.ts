/** CRAB: constraint back-translation. Good responses meet many constraints already; a model names them, and learns from them (2410.24175). */
import {
  chain,
  operators,
  type Chosen,
  type Dataset,
  type DataSuite,
  type MaybePromise,
  type Metrics,
  type Model,
  type Preference,
  type Recipe,
  type Run,
  type Suite,
} from '../../recipe/api.ts';
import { judgeCheck } from '../../recipe/judge-check.ts';
import { mix, select } from '../../recipe/reducers.ts';
import type { Pair, Conversation, Described, Lesson, Tidied } from '../../operators/crab/records.ts';
import type { CrabParameters } from '../../schemas/recipes/crab.ts';

const { longEnough, capSources, describe, single, check, tidy, verify, compose, bare } =
  operators<typeof import('../../operators/crab/index.ts')>('crab');

export interface CrabConfig extends CrabParameters {
  /** Refines instructions, and names and checks constraints; it writes no response. */
  readonly annotator: Model;
  /** Is trained. */
  readonly base: Model;
  readonly pairs: Dataset<Pair>;
  /** Teach the annotator its work first, if it is too small to follow requests. */
  readonly lessons?: Dataset<Lesson>;
  /** General conversations, which are learnt beside the pairs. */
  readonly general?: Dataset<Conversation>;
  /** For the training by DPO. */
  readonly preferences?: Dataset<Preference>;
  readonly evaluation: {
    readonly forward?: Chosen<Suite<'lm', Metrics>>;
    /** Of the pairs with their constraints. */
    readonly data?: Chosen<DataSuite<Tidied, Metrics>>;
  };
}

export const crab: Recipe<CrabConfig, { model: Model; sft: Model; data: Dataset<Tidied> }> = async (run, config) => {
  const annotator = teach(run, config);
  const { base, seeds, types, rules, prompts, sampling, similarity, evaluation } = config;
  const examine = (turn: Run, model: MaybePromise<Model>, as = 'evaluate-forward') => {
    if (evaluation.forward) void turn.evaluate(model, evaluation.forward, { as });
  };
  const learn = (turn: Run, parts: { readonly [part: string]: MaybePromise<Dataset<Conversation>> }) => {
    const data = turn.reduce(mix(parts));
    const model = turn.train('sft', { ...config.sft, objective: 'sft', from: base, data, template: { id: config.template } });
    examine(turn, model);
    return model;
  };
  examine(run, base, 'evaluate-base');

  // Constraints that the responses meet: named by the annotator and by rules, checked, told apart.
  const { minWords, bypass, perSource } = seeds;
  const long = run.map(longEnough, config.pairs, { params: { minWords, bypass } }); // P1
  const entered = run.reduce(capSources({ of: long }, { most: perSource }));
  const asking = { prompts, sampling, types, rules, similarity };
  const described = run.map(chain(describe, check, tidy), entered, {
    with: { annotator: checked(run, config, annotator, entered, asking) },
    params: asking, // G1-G3, R1, U1, K1, K2, F1
    as: 'describe',
  });
  const verified = config.verify ? run.gate(run.map(verify, described), { share: 0.99 }, { as: 'rules-hold' }) : described;
  const data = await run.gate(verified, { rows: config.minimum });
  if (evaluation.data) void run.evaluate(data, evaluation.data, { as: 'evaluate-data' });

  // Rows of both objectives: from instruction and constraints to the response, and from the response to the constraints.
  const { forward: ahead, reverse: back, demos, counts, alpha } = config;
  const rows = await run.reduce(compose({ of: data }, { types, forward: ahead, reverse: back, demos, counts, alpha })); // T0, W1, V1
  const general = config.general && { general: run.reduce(select(config.general, { take: config.generalRows }), { as: 'general' }) };
  const { forward, reverse } = rows;
  const sft = await learn(run, { forward, reverse, ...general }); // M1, S1
  if (config.arms.includes('no-reverse')) void learn(run.arm('no-reverse'), { forward, ...general });
  if (config.arms.includes('no-forward')) void learn(run.arm('no-forward'), { reverse, ...general });
  if (config.arms.includes('plain')) void learn(run.arm('plain'), { pairs: run.map(bare, data, { as: 'plain-pairs' }), ...general });

  if (!config.preferences) return { model: sft, sft, data };
  const model = await run.train('dpo', { ...config.dpo, objective: 'dpo', from: sft, data: config.preferences }); // D1
  examine(run, model, 'evaluate-dpo');
  return { model, sft, data };
};

/** Measures whether the annotator knows a constraint that a response meets from one that was written for another. */
function checked(
  run: Run,
  { judgeCheck: settings }: CrabConfig,
  annotator: MaybePromise<Model>,
  entered: Promise<Dataset<Pair>>,
  params: Pick<CrabConfig, 'prompts' | 'sampling' | 'types' | 'rules'>,
): MaybePromise<Model> {
  const constrained = () => {
    const sample = run.reduce(select(entered, { take: settings!.pairs }), { as: 'check-sample' });
    const described = run.map(describe, sample, { with: { annotator }, params, as: 'check-described' });
    return run.map(single, described, { as: 'check-constraints' });
  };
  const measured = judgeCheck<Described, Described>(run, settings, {
    pairs: constrained,
    move: { constraints: 'constraints' },
    about: 'response',
    score: 'constraints',
  });
  return measured(run, annotator, (pairs, annotator) => run.map(check, pairs, { with: { annotator }, params, as: 'check-judged' }));
}

/** The annotator; trained on its lessons first, where there are any. */
const teach = (run: Run, { annotator, lessons, annotatorSft, lessonTemplate }: CrabConfig): MaybePromise<Model> =>
  lessons
    ? run.train('annotator', { ...annotatorSft, objective: 'sft', from: annotator, data: lessons, template: { id: lessonTemplate } })
    : annotator;
