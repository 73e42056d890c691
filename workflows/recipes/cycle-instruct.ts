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
import { cluster, union } from '../../recipe/reducers.ts';
import type { Answer, Cycled, Pair, Passage, QA, Question } from '../../operators/cycle-instruct/records.ts';
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
  /** Writes passages anew. Default: the base. */
  readonly rewriter?: Model;
  /** In whose space reconstructions are compared. Default: the base. */
  readonly encoder?: Model<'encoder' | 'lm'>;
  /** Raw text. */
  readonly documents?: Dataset<Passage>;
  /** Or an instruction set, of each of whose pairs one side is thrown away. */
  readonly pairs?: Dataset<Pair>;
  readonly evaluation: {
    readonly forward?: Chosen<Suite<'lm', Metrics>>;
    readonly backward?: Chosen<Suite<'lm', Metrics>>;
    /** The same of the base, which knows no template. */
    readonly baseForward?: Chosen<Suite<'lm', Metrics>>;
    readonly baseBackward?: Chosen<Suite<'lm', Metrics>>;
    /** Of the final pairs. */
    readonly pairs?: Chosen<DataSuite<QA, Metrics>>;
  };
}
/** The two models as they are by now. */
interface Couple {
  readonly q2a: MaybePromise<Model>;
  readonly a2q: MaybePromise<Model>;
}

export const cycleInstruct: Recipe<CycleInstructConfig, { model: Model; data: Dataset<QA> }> = async (run, config) => {
  const { base, encoder = base, order, minimum, stop, filter, prompts, arms, evaluation } = config;
  const sft = { ...config.sft, objective: 'sft' } as const;
  const toAnswer = { id: config.templates.toAnswer };
  const toQuestion = { id: config.templates.toQuestion };
  const [questions, answers] = await sidesOf(run, config, minimum);

  // The base has no template yet: it is asked in another wording.
  const asking = (of: MaybePromise<Model>, trained: 'answer' | 'ask', untrained: 'baseAnswer' | 'baseAsk') =>
    of === base
      ? { prompt: prompts[untrained], sampling: config.sampling.base }
      : { prompt: prompts[trained], sampling: config.sampling.generate };
  const answering = (turn: Run, { q2a }: Pick<Couple, 'q2a'>, as = 'answer') =>
    turn.map(answerQuestion, questions, { with: { q2a }, params: asking(q2a, 'answer', 'baseAnswer'), as });
  const askingFor = (turn: Run, { a2q }: Pick<Couple, 'a2q'>, as = 'ask') =>
    turn.map(askForAnswer, answers, { with: { a2q }, params: asking(a2q, 'ask', 'baseAsk'), as });
  const train = (turn: Run, role: keyof Couple, from: Couple, data: MaybePromise<Dataset<QA>>) =>
    turn.train(role, {
      ...sft,
      from: config.from === 'base' ? base : from[role],
      data,
      template: role === 'q2a' ? toAnswer : toQuestion,
    });
  const examine = (turn: Run, { q2a, a2q }: Couple) => {
    const forward = q2a === base ? evaluation.baseForward : evaluation.forward;
    const backward = a2q === base ? evaluation.baseBackward : evaluation.backward;
    if (forward) void turn.evaluate(q2a, forward, { as: 'evaluate-forward' });
    if (backward) void turn.evaluate(a2q, backward, { as: 'evaluate-backward' });
  };

  /** S1 to S4: each model learns what was found, given what the other wrote for it. */
  const cycle = async (round: Round, before: Couple) => {
    const answered = answering(round, before); // S1
    const a2q = await train(round, 'a2q', before, answered); // S2
    const asked = askingFor(round, order === 'jacobi' ? before : { a2q }); // S3
    const q2a = await train(round, 'q2a', before, asked); // S4
    return { q2a, a2q, answered, asked };
  };
  /** The same wrong way round: each learns what it wrote itself. */
  const generated = async (round: Run, before: Couple) => {
    const q2a = await train(round, 'q2a', before, answering(round, before));
    const a2q = await train(round, 'a2q', before, askingFor(round, before));
    return { q2a, a2q };
  };

  let couple: Couple = { q2a: base, a2q: base };
  let control = couple;
  let labels: { answered: MaybePromise<Dataset<QA>>; asked: MaybePromise<Dataset<QA>> } | undefined;
  examine(run, couple);
  for await (const round of run.rounds(config.rounds)) {
    const { answered, asked, ...trained } = await cycle(round, couple);
    [couple, labels] = [trained, { answered, asked }];
    examine(round, couple);
    if (arms.includes('generated')) {
      const arm = round.arm('generated');
      control = await generated(arm, control);
      examine(arm, control);
    }
    const collapsed = await round.decide(
      'collapsed',
      { labels: round.reduce(health({ answered, asked })) },
      ({ labels }) =>
        Math.max(labels.answerCopies, labels.questionCopies) >= stop.copies ||
        Math.min(labels.answerDistinct, labels.questionDistinct) < stop.distinct,
      false,
    );
    if (collapsed) break;
  }

  // The final pairs (F1), and of them those that find the way back (F2).
  const { answered, asked } =
    config.finalData === 'last' && labels
      ? labels
      : { answered: answering(run, couple, 'final-answer'), asked: askingFor(run, couple, 'final-ask') };
  const finish = (turn: Run, data: MaybePromise<Dataset<QA>>): Promise<Model> => {
    const from = config.finalFrom === 'base' ? base : couple.q2a;
    const model = turn.train('final', { ...sft, ...config.finalSft, from, data, template: toAnswer }); // F3
    const { forward, pairs } = evaluation;
    if (pairs) void turn.evaluate(data, pairs, { as: 'evaluate-pairs' });
    if (forward) void turn.evaluate(model, forward, { as: 'evaluate-final' });
    return model;
  };
  const all = run.reduce(union<QA>([answered, asked]), { as: 'all' });
  if (filter === null) return { model: await finish(run, all), data: await all };

  const { generate } = config.sampling;
  const askedAgain = run.map(askAgain, answered, { with: { a2q: couple.a2q }, params: { prompt: prompts.ask, sampling: generate } });
  const answeredAgain = run.map(answerAgain, asked, { with: { q2a: couple.q2a }, params: { prompt: prompts.answer, sampling: generate } });
  const pruned = (cycled: MaybePromise<Dataset<Cycled>>, name: string) =>
    run.reduce(
      prune(
        {
          of: run.reduce(
            cluster(cycled, { encoder, on: 'found', beside: 'again', clusters: filter.clusters, maxTokens: filter.maxTokens }),
            { as: `cluster-${name}` },
          ),
        },
        { share: filter.share },
      ),
      { as: `prune-${name}` },
    );
  const kept = filter.together
    ? pruned(run.reduce(union<Cycled>([askedAgain, answeredAgain]), { as: 'cycled' }), 'pairs')
    : run.reduce(union<QA>([pruned(askedAgain, 'questions'), pruned(answeredAgain, 'answers')]), { as: 'consistent' });
  if (arms.includes('unfiltered')) void finish(run.arm('unfiltered'), all);
  return { model: await finish(run, kept), data: await kept };
};

/** Questions and answers that were found, each without its other side. */
async function sidesOf(
  run: Run,
  { base, rewriter = base, documents, pairs, breakSeed, split, shortest, rewrite, prompts, sampling }: CycleInstructConfig,
  minimum: number,
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
