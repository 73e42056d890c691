/** MuSC: a model that learns to heed every constraint from contrasts with itself, token by token (2502.11541). */
import {
  operators,
  type Chosen,
  type Dataset,
  type DataSuite,
  type Metrics,
  type Model,
  type Recipe,
  type Run,
  type MaybePromise,
  type Suite,
} from '../../recipe/api.ts';
import { union } from '../../recipe/reducers.ts';
import type { Contrast, Demo, Query, Taken, Twins, WeightedPair } from '../../operators/musc/records.ts';
import type { MuscParameters } from '../../schemas/recipes/musc.ts';

const {
  decompose,
  corrupt,
  corruptBy,
  recombine,
  join,
  drawShots,
  invent,
  reinvent,
  respond,
  verify,
  capTopics,
  measureConfidence,
  weigh,
} = operators<typeof import('../../operators/musc/index.ts')>('musc');

export interface MuscConfig extends MuscParameters {
  /** Does everything: takes instructions apart, answers, is sure of its tokens, learns. */
  readonly policy: Model;
  /** Instructions with several constraints. */
  readonly queries?: Dataset<Query>;
  /** Or such that were taken apart already. */
  readonly parts?: Dataset<Taken>;
  /** What the model is shown where it takes apart, puts together and makes up. */
  readonly demos?: Dataset<Demo>;
  readonly evaluation: {
    readonly forward?: Chosen<Suite<'lm', Metrics>>;
    /** Of the pairs with their weights. */
    readonly weights?: Chosen<DataSuite<WeightedPair, Metrics>>;
  };
}

export const musc: Recipe<MuscConfig, { model: Model; data: Dataset<Contrast> }> = async (run, config) => {
  const { weighing, minimum, arms, prompts, sampling, evaluation } = config;
  const { respond: prompt } = prompts;
  const examine = (turn: Run, model: MaybePromise<Model>) => {
    const suite = evaluation.forward;
    if (suite) void turn.evaluate(model, suite, { as: 'evaluate-forward' });
  };
  const answer = (
    turn: Run,
    twins: MaybePromise<Dataset<Twins>>,
    self: Model,
    as: string,
    rejected: 'corrupted' | 'instruction' = 'corrupted',
  ) => turn.map(respond, twins, { with: { self }, params: { prompts: { respond: prompt }, sampling: sampling.respond, rejected }, as });

  let policy = config.policy;
  let data: MaybePromise<Dataset<Contrast>> | undefined;
  examine(run, policy);
  for await (const round of run.rounds(config.rounds)) {
    const self = policy;
    const { given, made } = twinsOf(round, config, self);
    // R: the whole instruction is answered, and the one that lacks something.
    const answered = answer(round, given, self, 'respond');
    const capped = made && round.reduce(capTopics({ of: answer(round, made, self, 'respond-made-up') }, { perTopic: config.perTopic }));
    const all = capped ? round.reduce(union<Contrast>([answered, capped]), { as: 'pairs' }) : answered;
    const checked = config.check
      ? round.map(verify, all, { with: { self }, params: { prompts: { verify: prompts.verify }, sampling: sampling.check } })
      : all;
    data = await round.gate(checked, { rows: minimum });

    // S and W: how much each token depends on what was left out.
    const measured = round.map(measureConfidence, data, {
      with: { self },
      params: { prompts: { respond: prompt }, unconditional: weighing.metric === 'pmi' },
    });
    const weighed = round.map(weigh, measured, { params: { weighing } });
    if (evaluation.weights) void round.evaluate(weighed, evaluation.weights, { as: 'evaluate-weights' });

    // T: both answers are trained under the whole instruction; the reference is the model that wrote them.
    const train = { ...config.dpo, from: self };
    const toPair = { id: config.templates.pair };
    policy = await round.train('policy', { ...train, objective: 'token-dpo', data: weighed, template: { id: config.templates.weighted } });
    examine(round, policy);
    if (arms.includes('plain')) {
      const arm = round.arm('plain');
      examine(arm, arm.train('policy', { ...train, objective: 'dpo', data, template: toPair }));
    }
    if (arms.includes('uncorrupted')) {
      const arm = round.arm('uncorrupted');
      const pairs = answer(arm, given, self, 'respond', 'instruction');
      examine(arm, arm.train('policy', { ...train, objective: 'dpo', data: pairs, template: toPair }));
    }
  }
  return { model: policy, data: await data! };
};

/** A and B: instructions with all of their constraints, and the same without those that the noise fell on; of the data, and made up. */
function twinsOf(
  round: Run,
  { queries, parts, demos, noise, recombine: by, selfMade, prompts, sampling }: MuscConfig,
  self: Model,
): { readonly given: Promise<Dataset<Twins>>; readonly made?: Promise<Dataset<Twins>> } {
  const cast = { self };
  const asking = { with: cast, params: { prompts, sampling: sampling.decompose } };
  const inventing = { with: cast, params: { prompts, sampling: sampling.invent } };
  const corrupted = (taken: MaybePromise<Dataset<Taken>>, as: string) =>
    noise.kinds.substitute + noise.kinds.negate > 0
      ? round.map(corruptBy, taken, { with: cast, params: { noise, prompts, rewriting: sampling.corrupt }, as })
      : round.map(corrupt, taken, { params: { noise }, as });

  const taken = parts ?? round.map(decompose, queries!, { ...asking, params: { ...asking.params, ...(demos && { demos }) } });
  const noised = corrupted(taken, 'corrupt');
  const given = by === 'joined' ? round.map(join, noised) : round.map(recombine, noised, asking);
  if (selfMade === 0) return { given };
  const shots = round.reduce(drawShots({ demos: demos! }, { count: selfMade })); // the schema asks for them
  const made = round.map(invent, shots, inventing);
  return { given, made: round.map(reinvent, corrupted(made, 'corrupt-made-up'), inventing) };
}
