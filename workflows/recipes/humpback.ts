/** Humpback: self-alignment with instruction backtranslation (2308.06259), section 2 and figure 1. */
import {
  chain,
  operators,
  type Chosen,
  type Dataset,
  type DataSuite,
  type Metrics,
  type Model,
  type Op,
  type Recipe,
  type Run,
  type MaybePromise,
  type Suite,
} from '../../recipe/api.ts';
import { judgeCheck } from '../../recipe/judge-check.ts';
import { dedup, mix, select, type Selection } from '../../recipe/reducers.ts';
import type { Judged, Pair, Segment } from '../../operators/humpback/records.ts';
import type { HumpbackParameters } from '../../schemas/recipes/humpback.ts';

const { backtranslate, withinLength, rating, expectedRating, likelihood } =
  operators<typeof import('../../operators/humpback/index.ts')>('humpback');
type Judging = {
  readonly prompts: HumpbackParameters['prompts'];
  readonly sampling: HumpbackParameters['sampling']['judge'];
  readonly attempts: number;
};
/** What a score is, by the name in an experiment file. */
export const judges: Record<HumpbackParameters['judge'], Op<Pair, Judged, 'scorer', Judging>> = {
  rating,
  expected: expectedRating,
  likelihood,
};

export interface HumpbackConfig extends HumpbackParameters {
  readonly base: Model;
  /** Judges in place of the model of the round before. */
  readonly scorer?: Model;
  /** Pairs written by people. */
  readonly seed: Dataset<Pair>;
  /** Responses without instructions. */
  readonly corpus: Dataset<Segment>;
  /** Rows that every forward model is trained on beside the seed, without a tag. */
  readonly replay?: Dataset<Pair>;
  readonly evaluation: {
    readonly forward?: Chosen<Suite<'lm', Metrics>>;
    readonly backward?: Chosen<Suite<'lm', Metrics>>;
    /** Of curated sets, and of the whole pool beside M_0. */
    readonly curated?: Chosen<DataSuite<Pair, Metrics>>;
  };
}

export const humpback: Recipe<HumpbackConfig> = async (run, config) => {
  const { base, scorer, seed, corpus, replay, nearDuplicates, keep, minimum, prompts, sampling, instructionChars, evaluation } = config;
  const sft = { ...config.sft, objective: 'sft' } as const;
  const seedSft = { ...sft, ...config.seedSft };
  const toInstruction = { id: config.templates.toInstruction };
  const toResponse = { id: config.templates.toResponse };
  const labelled = replay ? { seed, replay } : { seed };

  const examine = (turn: Run, direction: 'forward' | 'backward', model: Promise<Model>) => {
    const suite = evaluation[direction];
    if (suite) void turn.evaluate(model, suite, { as: `evaluate-${direction}` });
  };
  const measure = (turn: Run, name: 'pool' | 'curated', pairs: MaybePromise<Dataset<Pair>>) => {
    const suite = evaluation.curated;
    if (suite) void turn.evaluate(pairs, suite, { as: `evaluate-${name}` });
  };
  /** M_t: the base again, tuned on the seed and on what was curated, each under its tag (2.3). */
  const tune = (turn: Run, curated: Promise<Dataset<Pair>>): Promise<Model> => {
    const data = turn.reduce(mix({ ...labelled, augmented: curated }), { as: 'mixed' });
    const model = turn.train('forward', { ...sft, from: base, data, template: toResponse });
    measure(turn, 'curated', curated);
    examine(turn, 'forward', model);
    return model;
  };

  // M_yx and M_0: the base, tuned on the seed alone.
  const backward = run.train('backward', { ...seedSft, from: base, data: seed, template: toInstruction });
  let forward = run.train('forward', { ...seedSft, from: base, data: run.reduce(mix(labelled), { as: 'labelled' }), template: toResponse });
  examine(run, 'backward', backward);
  examine(run, 'forward', forward);

  // Self-augmentation (2.2): one instruction for each segment, the same in all rounds.
  const segments =
    nearDuplicates === null ? corpus : run.reduce(dedup(corpus, { on: 'text', jaccard: nearDuplicates }), { as: 'segments' });
  const pool = await run.map(backtranslate, segments, {
    with: { backward },
    params: { prompt: prompts.backtranslate, sampling: sampling.backtranslate },
  });
  measure(run, 'pool', pool);

  const check = checkOf(run, config);
  for await (const round of run.rounds(config.rounds)) {
    // Self-curation (2.3): the model of the round before judges the whole pool.
    const judged = (scorer: MaybePromise<Model>) =>
      round.map(chain(judges[config.judge], withinLength), pool, {
        with: { scorer: check(round, scorer, judgingOf(config)) },
        params: { ...judgingOf(config), instructionChars },
        as: 'judge',
      });
    const chosen = keep === 'all' ? select(pool, cap(config)) : select(judged(scorer ?? forward), { ...good(keep), ...cap(config) });
    const curated = round.gate(round.reduce<Dataset<Pair>>(chosen, { as: 'curated' }), { rows: minimum });

    forward = tune(round, curated);
    if (config.arms.includes('random')) {
      const random = round.arm('random');
      void tune(random, random.reduce(select(pool, { take: { as: curated } }), { as: 'curated' }));
    }
  }
  return { model: await forward };
};

const judgingOf = ({ prompts, sampling, attempts }: HumpbackParameters): Judging => ({ prompts, sampling: sampling.judge, attempts });
/** Measures each judge on the seed. Back-and-Forth has the same judges. */
export function checkOf(run: Run, { judge, judgeCheck: settings, seed }: Pick<HumpbackConfig, 'judge' | 'judgeCheck' | 'seed'>) {
  const check = judgeCheck<Pair, Judged>(run, settings, {
    pairs: () => seed,
    move: { response: 'response' },
    about: 'instruction',
    score: 'score',
  });
  return (turn: Run, scorer: MaybePromise<Model>, params: Judging): MaybePromise<Model> =>
    check(turn, scorer, (pairs, scorer) => turn.map(judges[judge], pairs, { with: { scorer }, params, as: 'check-judged' }));
}

const good = (keep: Exclude<HumpbackParameters['keep'], 'all'>): Selection<Judged> =>
  'threshold' in keep ? { where: { score: { atLeast: keep.threshold } } } : { best: { by: 'score', order: 'highest', share: keep.share } };
const cap = ({ take }: HumpbackParameters): { take?: number } => (take === undefined ? {} : { take });
