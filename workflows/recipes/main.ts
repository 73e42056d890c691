/** MAIN: mutual alignment of a forward and a reverse model (2504.12913). What the paper leaves open is in the parameters. */
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
import { dedup, mix, select } from '../../recipe/reducers.ts';
import type { Pair, Segment } from '../../operators/humpback/records.ts';
import type { Direction, Imagined } from '../../operators/main/records.ts';
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
    /** Of the augmented pairs, and of those that are kept. */
    readonly curated?: Chosen<DataSuite<Pair, Metrics>>;
  };
}

export const main: Recipe<MainConfig> = async (run, config) => {
  const { base, corpus, order, alpha, nearDuplicates, keep, minimum, prompts, sampling, evaluation } = config;
  const sft = { ...config.sft, objective: 'sft' } as const;
  const toInstruction = { id: config.templates.toInstruction };
  const toResponse = { id: config.templates.toResponse };
  const template = { forward: toResponse, reverse: toInstruction };
  const prompt = { forward: prompts.respond, reverse: prompts.invert };

  const examine = (turn: Run, direction: Direction, model: MaybePromise<Model>, as: string = direction) => {
    const suite = direction === 'forward' ? evaluation.forward : evaluation.backward;
    if (suite) void turn.evaluate(model, suite, { as: `evaluate-${as}` });
  };
  const describe = (turn: Run, name: 'augmented' | 'curated', pairs: MaybePromise<Dataset<Pair>>) => {
    const suite = evaluation.curated;
    if (suite) void turn.evaluate(pairs, suite, { as: `evaluate-${name}` });
  };

  // Both directions on the seed alone.
  const seed = run.map(humanPair, config.seed, { as: 'seed' });
  let reverse = run.train('reverse', { ...sft, from: base, data: seed, template: toInstruction });
  let forward = run.train('forward', { ...sft, from: base, data: seed, template: toResponse });
  examine(run, 'reverse', reverse);
  examine(run, 'forward', forward);

  // Stage 1, mutual alignment: each learns the human side from what the other imagined of the rest, and from what people wrote.
  for await (const round of run.rounds(config.rounds)) {
    const before = { forward, reverse };
    const align = (direction: Direction, imagined: Promise<Dataset<Imagined>>): Promise<Model> => {
      const learner = before[direction];
      const of =
        'lossRatio' in alpha
          ? round.map(measure, imagined, {
              with: { learner },
              params: { prompt: prompt[direction], direction },
              as: `measure-${direction}`,
            })
          : imagined;
      const share = round.reduce(balance({ of }, { alpha, round: round.number, rounds: config.rounds }), { as: `alpha-${direction}` });
      const data = round.reduce(weigh({ of, balance: share }, { direction }), { as: `${direction}-rows` });
      const model = round.train(direction, { ...sft, from: config.from === 'base' ? base : learner, data, template: template[direction] });
      examine(round, direction, model);
      return model;
    };
    const imagining = { sampling: sampling.imagine };
    forward = align(
      'forward',
      round.map(imagineInstruction, seed, { with: { reverse }, params: { prompt: prompts.invert, ...imagining } }),
    );
    const speaker = order === 'jacobi' ? before.forward : forward;
    reverse = align(
      'reverse',
      round.map(imagineResponse, seed, { with: { forward: speaker }, params: { prompt: prompts.respond, ...imagining } }),
    );
  }

  // Stage 2, augmentation: an instruction for every text.
  const texts = nearDuplicates === null ? corpus : run.reduce(dedup(corpus, { on: 'text', jaccard: nearDuplicates }), { as: 'texts' });
  const augmented = run.map(augment, texts, { with: { reverse }, params: { prompt: prompts.invert, sampling: sampling.augment } });
  describe(run, 'augmented', augmented);

  // Stage 3, curation: the texts that the forward model finds likeliest, given those instructions.
  const agreed = run.map(agree, augmented, { with: { forward }, params: { prompt: prompts.respond } });
  const curated = run.gate(run.reduce<Dataset<Pair>>(curate({ of: agreed }, keep), { as: 'curated' }), { rows: minimum });

  const finish = (turn: Run, pairs: Promise<Dataset<Pair>>): Promise<Model> => {
    const data = turn.reduce(mix({ seed, curated: pairs }), { as: 'mixed' });
    const model = turn.train('final', { ...sft, ...config.finalSft, from: base, data, template: toResponse });
    describe(turn, 'curated', pairs);
    examine(turn, 'forward', model, 'final');
    return model;
  };
  if (config.arms.includes('random')) {
    const random = run.arm('random');
    void finish(random, random.reduce(select(augmented, { take: { as: curated } }), { as: 'curated' }));
  }
  return { model: await finish(run, curated) };
};
