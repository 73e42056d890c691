/** MAIN: mutual alignment of a forward and a reverse model (2504.12913). Parameters settle the points that the paper leaves open. */
import {
  operators,
  type Chosen,
  type Dataset,
  type DataSuite,
  type Metrics,
  type Model,
  type Recipe,
  type Round,
  type Run,
  type MaybePromise,
  type Suite,
} from '../../recipe/api.ts';
import { judgeCheck } from '../../recipe/judge-check.ts';
import { dedup, mix, select } from '../../recipe/reducers.ts';
import type { Pair, Segment } from '../../operators/humpback/records.ts';
import type { Agreed, Direction, Imagined, Row } from '../../operators/main/records.ts';
import type { MainParameters } from '../../schemas/recipes/main.ts';

const { humanPair, imagineInstruction, imagineResponse, measure, balance, weigh, augment, agree, curate } =
  operators<typeof import('../../operators/main/index.ts')>('main');

export interface MainConfig extends MainParameters {
  readonly base: Model;
  /** Pairs written by people. */
  readonly seed: Dataset<Pair>;
  /** Responses without instructions. */
  readonly corpus: Dataset<Segment>;
  readonly evaluation: {
    readonly forward?: Chosen<Suite<'lm', Metrics>>;
    readonly backward?: Chosen<Suite<'lm', Metrics>>;
    /** Of the augmented pairs, and of the curated pairs. */
    readonly curated?: Chosen<DataSuite<Pair, Metrics>>;
  };
}

export const main: Recipe<MainConfig> = async (run, config) => {
  const { base, corpus, order, nearDuplicates, keep, prompts, sampling } = config;

  // Both directions on the seed alone.
  const seed = run.map(humanPair, config.seed, { as: 'seed' });
  let reverse = train(run, config, 'reverse', { from: base, data: seed });
  let forward = train(run, config, 'forward', { from: base, data: seed });
  examine(run, config, 'reverse', reverse);
  examine(run, config, 'forward', forward);

  // Stage 1, mutual alignment: each learns the human side, given the side that the other model imagined and the side that people wrote.
  for await (const round of run.rounds(config.rounds)) {
    const before = { forward, reverse };
    const imagining = { sampling: sampling.imagine };
    const instructions = round.map(imagineInstruction, seed, { with: { reverse }, params: { prompt: prompts.invert, ...imagining } });
    forward = align(round, config, 'forward', before.forward, instructions);
    const speaker = order === 'jacobi' ? before.forward : forward;
    const responses = round.map(imagineResponse, seed, { with: { forward: speaker }, params: { prompt: prompts.respond, ...imagining } });
    reverse = align(round, config, 'reverse', before.reverse, responses);
  }

  // Stage 2, augmentation: an instruction for every text.
  const texts = nearDuplicates === null ? corpus : run.reduce(dedup(corpus, { on: 'text', jaccard: nearDuplicates }), { as: 'texts' });
  const augmented = run.map(augment, texts, { with: { reverse }, params: { prompt: prompts.invert, sampling: sampling.augment } });
  describe(run, config, 'augmented', augmented);

  // Stage 3, curation: the texts that the forward model finds likeliest, given those instructions.
  const judging = { prompt: prompts.respond };
  const check = judgeCheck<Pair, Agreed>(run, config.judgeCheck, {
    pairs: () => seed,
    move: { response: 'response' },
    about: 'instruction',
    score: 'nll',
    order: 'lowest',
  });
  const judge = check(run, forward, (pairs, forward) => run.map(agree, pairs, { with: { forward }, params: judging, as: 'check-judged' }));
  const agreed = run.map(agree, augmented, { with: { forward: judge }, params: judging });
  const curated = run.gate(run.reduce<Dataset<Pair>>(curate({ of: agreed }, keep), { as: 'curated' }), { rows: config.minimum });

  if (config.arms.includes('random')) {
    const random = run.arm('random');
    void finish(random, config, seed, random.reduce(select(augmented, { take: { as: curated } }), { as: 'curated' }));
  }
  return { model: await finish(run, config, seed, curated) };
};

const train = (
  turn: Run,
  { sft, templates }: MainConfig,
  direction: Direction,
  given: { readonly from: MaybePromise<Model>; readonly data: Promise<Dataset<Pair | Row>> },
): Promise<Model> =>
  turn.train(direction, {
    ...sft,
    objective: 'sft',
    ...given,
    template: { id: direction === 'forward' ? templates.toResponse : templates.toInstruction },
  });

/** One direction of a round: weighs the imagined rows against the human rows by alpha, and trains on both. */
function align(round: Round, config: MainConfig, direction: Direction, learner: Promise<Model>, imagined: Promise<Dataset<Imagined>>) {
  const { alpha, base, prompts, rounds } = config;
  const prompt = direction === 'forward' ? prompts.respond : prompts.invert;
  const of =
    'lossRatio' in alpha
      ? round.map(measure, imagined, { with: { learner }, params: { prompt, direction }, as: `measure-${direction}` })
      : imagined;
  const share = round.reduce(balance({ of }, { alpha, round: round.number, rounds }), { as: `alpha-${direction}` });
  const data = round.reduce(weigh({ of, balance: share }, { direction }), { as: `${direction}-rows` });
  const model = train(round, config, direction, { from: config.from === 'base' ? base : learner, data });
  examine(round, config, direction, model);
  return model;
}

/** The model that is handed over: the base, tuned on the seed and on these pairs. */
function finish(turn: Run, config: MainConfig, seed: Promise<Dataset<Pair>>, pairs: Promise<Dataset<Pair>>): Promise<Model> {
  const { base, sft, finalSft, templates } = config;
  const data = turn.reduce(mix({ seed, curated: pairs }), { as: 'mixed' });
  const model = turn.train('final', { ...sft, objective: 'sft', ...finalSft, from: base, data, template: { id: templates.toResponse } });
  describe(turn, config, 'curated', pairs);
  examine(turn, config, 'forward', model, 'final');
  return model;
}

const examine = (turn: Run, { evaluation }: MainConfig, direction: Direction, model: Promise<Model>, as: string = direction) => {
  const suite = direction === 'forward' ? evaluation.forward : evaluation.backward;
  if (suite) void turn.evaluate(model, suite, { as: `evaluate-${as}` });
};
const describe = (turn: Run, { evaluation }: MainConfig, name: 'augmented' | 'curated', pairs: Promise<Dataset<Pair>>) => {
  if (evaluation.curated) void turn.evaluate(pairs, evaluation.curated, { as: `evaluate-${name}` });
};
