/** Cycle-Instruct: two models that train each other on raw text, without seed pairs (2508.16100). */
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
import { cluster, union } from '../../recipe/reducers.ts';
import type { Answer, Cycled, Pair, Passage, Placed, QA, Question } from '../../operators/cycle-instruct/records.ts';
import type { CycleInstructParameters } from '../../schemas/recipes/cycle-instruct.ts';

const {
  passages,
  byQuestionMark,
  breakPairs,
  cleanQuestion,
  cleanAnswer,
  answerQuestion,
  askForAnswer,
  askAgain,
  answerAgain,
  health,
  prune,
} = operators<typeof import('../../operators/cycle-instruct/index.ts')>('cycle-instruct');

export interface CycleInstructConfig extends CycleInstructParameters {
  readonly base: Model;
  /** Rewrites passages. Default: the base. */
  readonly rewriter?: Model;
  /** Embeds texts for the comparison with their reconstructions. Default: the base. */
  readonly encoder?: Model<'encoder' | 'lm'>;
  /** Raw text. */
  readonly documents?: Dataset<Passage>;
  /** Or an instruction set. The recipe throws one side of each pair away. */
  readonly pairs?: Dataset<Pair>;
  readonly evaluation: {
    readonly forward?: Chosen<Suite<'lm', Metrics>>;
    readonly backward?: Chosen<Suite<'lm', Metrics>>;
    /** The same for the base, which knows no template. */
    readonly baseForward?: Chosen<Suite<'lm', Metrics>>;
    readonly baseBackward?: Chosen<Suite<'lm', Metrics>>;
    /** Of the final pairs. */
    readonly pairs?: Chosen<DataSuite<QA, Metrics>>;
  };
}
/** The two models after a round. */
interface Couple {
  readonly q2a: MaybePromise<Model>;
  readonly a2q: MaybePromise<Model>;
}
/** Questions and answers from the data, each without its other side. */
interface Found {
  readonly questions: Dataset<Question>;
  readonly answers: Dataset<Answer>;
}
/** The pairs: each question with the answer that Q2A wrote, and each answer with the question that A2Q wrote. */
interface Labels {
  readonly answered: Promise<Dataset<QA>>;
  readonly asked: Promise<Dataset<QA>>;
}
type Setting = CycleInstructConfig & Found;
type Filter = NonNullable<CycleInstructConfig['filter']>;

export const cycleInstruct: Recipe<CycleInstructConfig, { model: Model; data: Dataset<QA> }> = async (run, config) => {
  const { base, filter, arms } = config;
  const [questions, answers] = await sidesOf(run, config);
  const setting: Setting = { ...config, questions, answers };

  let couple: Couple = { q2a: base, a2q: base };
  let control = couple;
  let labels: Labels | undefined;
  examine(run, config, couple);
  for await (const round of run.rounds(config.rounds)) {
    [couple, labels] = await cycle(round, setting, couple);
    examine(round, config, couple);
    if (arms.includes('generated')) {
      const arm = round.arm('generated');
      control = await learnGenerated(arm, setting, control);
      examine(arm, config, control);
    }
    if (await hasCollapsed(round, config, labels)) break;
  }

  // The final pairs (F1), filtered by cycle consistency (F2).
  const final: Labels =
    config.finalData === 'last' && labels
      ? labels
      : { answered: answerAll(run, setting, couple, 'final-answer'), asked: askAll(run, setting, couple, 'final-ask') };
  const all = run.reduce(union<QA>([final.answered, final.asked]), { as: 'all' });
  if (filter === null) return { model: await finish(run, config, couple, all), data: await all };
  const kept = consistent(run, { ...config, filter }, couple, final);
  if (arms.includes('unfiltered')) void finish(run.arm('unfiltered'), config, couple, all);
  return { model: await finish(run, config, couple, kept), data: await kept };
};

/** S1 to S4: each model learns the side from the data, given the side that the other model wrote. */
async function cycle(round: Round, setting: Setting, before: Couple): Promise<[Couple, Labels]> {
  const answered = answerAll(round, setting, before); // S1
  const a2q = await train(round, setting, 'a2q', before, answered); // S2
  const asked = askAll(round, setting, setting.order === 'jacobi' ? before : { a2q }); // S3
  const q2a = await train(round, setting, 'q2a', before, asked); // S4
  return [
    { q2a, a2q },
    { answered, asked },
  ];
}

/** The control: each model learns the side that it wrote itself. */
async function learnGenerated(round: Run, setting: Setting, before: Couple): Promise<Couple> {
  const q2a = await train(round, setting, 'q2a', before, answerAll(round, setting, before));
  const a2q = await train(round, setting, 'a2q', before, askAll(round, setting, before));
  return { q2a, a2q };
}

const answerAll = (turn: Run, setting: Setting, { q2a }: Pick<Couple, 'q2a'>, as = 'answer') =>
  turn.map(answerQuestion, setting.questions, { with: { q2a }, params: wording(setting, q2a, 'answer', 'baseAnswer'), as });
const askAll = (turn: Run, setting: Setting, { a2q }: Pick<Couple, 'a2q'>, as = 'ask') =>
  turn.map(askForAnswer, setting.answers, { with: { a2q }, params: wording(setting, a2q, 'ask', 'baseAsk'), as });

/** The base knows no template yet, so it is asked in another wording. */
const wording = (
  { base, prompts, sampling }: CycleInstructConfig,
  model: MaybePromise<Model>,
  trained: 'answer' | 'ask',
  untrained: 'baseAnswer' | 'baseAsk',
) => (model === base ? { prompt: prompts[untrained], sampling: sampling.base } : { prompt: prompts[trained], sampling: sampling.generate });

const train = (turn: Run, config: CycleInstructConfig, role: keyof Couple, before: Couple, data: Promise<Dataset<QA>>) => {
  const { base, from, sft, templates } = config;
  const template = { id: role === 'q2a' ? templates.toAnswer : templates.toQuestion };
  return turn.train(role, { ...sft, objective: 'sft', from: from === 'base' ? base : before[role], data, template });
};

/** Whether the written sides copy the other side, or repeat each other. */
const hasCollapsed = (round: Round, { stop }: CycleInstructConfig, { answered, asked }: Labels): Promise<boolean> =>
  round.decide(
    'collapsed',
    { labels: round.reduce(health({ answered, asked })) },
    ({ labels }) =>
      Math.max(labels.answerCopies, labels.questionCopies) >= stop.copies ||
      Math.min(labels.answerDistinct, labels.questionDistinct) < stop.distinct,
    false,
  );

/** F2, the cycle-consistency filter: drops the pairs whose reconstruction lies farthest from the original. */
function consistent(
  run: Run,
  { base, encoder = base, filter, judgeCheck: settings, prompts, sampling }: CycleInstructConfig & { readonly filter: Filter },
  { q2a, a2q }: Couple,
  { answered, asked }: Labels,
): Promise<Dataset<QA>> {
  const { share, clusters, maxTokens } = filter;
  const askedAgain = run.map(askAgain, answered, { with: { a2q }, params: { prompt: prompts.ask, sampling: sampling.generate } });
  const answeredAgain = run.map(answerAgain, asked, { with: { q2a }, params: { prompt: prompts.answer, sampling: sampling.generate } });
  const pruned = (cycled: Promise<Dataset<Cycled>>, name: string) => {
    const embedding = { on: 'found', beside: 'again', maxTokens } as const;
    const check = judgeCheck<Cycled, Placed>(run, settings, {
      pairs: () => cycled,
      move: { again: 'again' },
      about: 'found',
      score: 'distance',
      order: 'lowest',
      name,
    });
    const judge = check(run, encoder, (pairs, encoder) =>
      run.reduce(cluster(pairs, { ...embedding, encoder, clusters: 1 }), { as: `check-judged-${name}` }),
    );
    const of = run.reduce(cluster(cycled, { ...embedding, encoder: judge, clusters }), { as: `cluster-${name}` });
    return run.reduce(prune({ of }, { share }), { as: `prune-${name}` });
  };
  return filter.together
    ? pruned(run.reduce(union<Cycled>([askedAgain, answeredAgain]), { as: 'cycled' }), 'pairs')
    : run.reduce(union<QA>([pruned(askedAgain, 'questions'), pruned(answeredAgain, 'answers')]), { as: 'consistent' });
}

/** F3: the model that is handed over. */
function finish(turn: Run, config: CycleInstructConfig, { q2a }: Couple, data: Promise<Dataset<QA>>): Promise<Model> {
  const { base, sft, finalSft, templates, evaluation } = config;
  const from = config.finalFrom === 'base' ? base : q2a;
  const model = turn.train('final', { ...sft, objective: 'sft', ...finalSft, from, data, template: { id: templates.toAnswer } });
  if (evaluation.pairs) void turn.evaluate(data, evaluation.pairs, { as: 'evaluate-pairs' });
  if (evaluation.forward) void turn.evaluate(model, evaluation.forward, { as: 'evaluate-final' });
  return model;
}

const examine = (turn: Run, { base, evaluation }: CycleInstructConfig, { q2a, a2q }: Couple) => {
  const forward = q2a === base ? evaluation.baseForward : evaluation.forward;
  const backward = a2q === base ? evaluation.baseBackward : evaluation.backward;
  if (forward) void turn.evaluate(q2a, forward, { as: 'evaluate-forward' });
  if (backward) void turn.evaluate(a2q, backward, { as: 'evaluate-backward' });
};

/** Returns the questions and answers in raw text, rewritten if `rewrite` is true; of `pairs` one side of each. */
async function sidesOf(
  run: Run,
  { base, rewriter = base, documents, pairs, breakSeed, split, shortest, rewrite, minimum, prompts, sampling }: CycleInstructConfig,
): Promise<[Dataset<Question>, Dataset<Answer>]> {
  const raw = await (pairs
    ? run.reduce(breakPairs({ of: pairs }, { seed: breakSeed }))
    : run.reduce(byQuestionMark({ of: run.map(passages, documents!, { params: { split, shortest } }) })));
  const by = (prompt: string) => ({ with: { rewriter }, params: { prompt, sampling: sampling.rewrite } });
  const sides =
    rewrite && !pairs
      ? {
          questions: run.map(cleanQuestion, raw.questions, by(prompts.rewriteQuestion)),
          answers: run.map(cleanAnswer, raw.answers, by(prompts.rewriteAnswer)),
        }
      : raw;
  return Promise.all([
    run.gate(sides.questions, { rows: minimum }, { as: 'gate-questions' }),
    run.gate(sides.answers, { rows: minimum }, { as: 'gate-answers' }),
  ]);
}
