/** AIR: complex instructions, made from documents by a judge who sees what a student still gets wrong (2502.17787). */
import {
  chain,
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
  type Template,
  type Chat,
} from '../../recipe/api.ts';
import { judgeCheck } from '../../recipe/judge-check.ts';
import { diverse, select, union } from '../../recipe/reducers.ts';
import type { Complex, Lesson, Rated, Source, Started } from '../../operators/air/records.ts';
import type { AirParameters } from '../../schemas/recipes/air.ts';

const { readable, backtranslate, rate, refine, merge, respond } = operators<typeof import('../../operators/air/index.ts')>('air');

export interface AirConfig extends AirParameters {
  /** Writes, scores, polishes, judges, merges, and gives the final answers. */
  readonly guidance: Model;
  /** Answers, so that the judge sees what it gets wrong; and is trained in the end. */
  readonly student: Model;
  /** In whose space documents lie far apart. Default: the student. */
  readonly encoder?: Model<'encoder' | 'lm'>;
  readonly documents: Dataset<Source>;
  /** Teach the guidance its work first, if it is too small to follow requests. */
  readonly lessons?: Dataset<Lesson>;
  readonly evaluation: {
    readonly forward?: Chosen<Suite<'lm', Metrics>>;
    /** Of what the student is trained on. */
    readonly data?: Chosen<DataSuite<Complex, Metrics>>;
  };
}

export const air: Recipe<AirConfig, { model: Model; data: Dataset<Complex> }> = async (run, config) => {
  const { student, encoder = student, pick, levels, prompts, sampling, lengths, templates, evaluation } = config;
  const guidance = guide(run, config);
  const asking = { prompts, sampling, lengths };
  const examine = (turn: Run, model: MaybePromise<Model>, as = 'evaluate-forward') => {
    if (evaluation.forward) void turn.evaluate(model, evaluation.forward, { as });
  };
  const learn = (turn: Run, data: MaybePromise<Dataset<Complex>>, template: Template<Complex, Chat>) => {
    const suite = evaluation.data;
    if (suite) void turn.evaluate(data, suite, { as: 'evaluate-data' });
    const model = turn.train('student', { ...config.sft, objective: 'sft', from: student, data, template });
    examine(turn, model);
    return model;
  };
  examine(run, student, 'evaluate-student');

  // Stage 1: documents that lie far apart, and an initial instruction for each that is worth refining.
  const { words, quality } = config;
  const kept = run.map(readable, config.documents, { params: { words, quality } }); // 1a, 1b
  const spread = pick === null ? kept : run.reduce(diverse(kept, { encoder, on: 'text', count: pick })); // 1c, 1d
  const rated = run.map(chain(backtranslate, rate), spread, { with: { guidance }, params: asking, as: 'rate' }); // 1e, 1f
  const started = run.reduce(select(rated, { where: { score: { atLeast: config.minScore } } }), { as: 'started' }); // 1g
  const check = judgeCheck<Started, Rated>(run, config.judgeCheck, {
    pairs: () => rated,
    move: { instruction: 'text' }, // the score is of the instruction alone
    score: 'score',
  });
  const judge = check(run, guidance, (pairs, guidance) => run.map(rate, pairs, { with: { guidance }, params: asking, as: 'check-judged' }));

  // Stage 2: each document by itself, up to so many times: judge, compare, answer, check.
  const { iterations, types } = config;
  const refined = run.map(refine, started, { with: { guidance: judge, student }, params: { ...asking, iterations, types } });
  const atLevel = (level: number) => {
    const { hardOnly, shots } = config;
    const params = { ...asking, level, hardOnly, shots, to: 'instruction' } as const;
    const responded = run.map(chain(merge, respond), refined, { with: { guidance }, params, as: `respond-${level}` }); // M, Y
    return run.reduce(select(responded, { take: config.size }), { as: `level-${level}` });
  };
  const all = levels.length === 1 ? atLevel(levels[0]!) : run.reduce(union(levels.map(atLevel)), { as: 'levels' });
  const data = await run.gate(all, { rows: config.minimum });

  const model = learn(run, data, { id: templates.toResponse });
  if (config.arms.includes('initial')) {
    const arm = run.arm('initial');
    const params = { ...asking, to: 'initial' } as const;
    void learn(arm, arm.map(respond, data, { with: { guidance }, params }), { id: templates.toResponse });
  }
  if (config.arms.includes('document')) void learn(run.arm('document'), data, { id: templates.toDocument });
  return { model: await model, data };
};

/** The guidance model; trained on its lessons first, where there are any. */
const guide = (run: Run, { guidance, lessons, guidanceSft, templates }: AirConfig): MaybePromise<Model> =>
  lessons
    ? run.train('guidance', { ...guidanceSft, objective: 'sft', from: guidance, data: lessons, template: { id: templates.toReply } })
    : guidance;
