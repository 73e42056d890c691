// Cycle-Instruct: fully seed-free instruction tuning via dual self-training and cycle consistency (2508.16100).
import {
  operators,
  union,
  type Chat,
  type Dataset,
  type Model,
  type Op,
  type Recipe,
  type Reducer,
  type Report,
  type Settings,
  type Soon,
  type Template,
} from '../../../recipe/index.ts';

export interface Document {
  readonly text: string;
}
export interface Question {
  readonly question: string;
}
export interface Answer {
  readonly answer: string;
}
export interface QA extends Question, Answer {
  readonly gold: 'question' | 'answer';
}
export interface Cycled extends QA {
  readonly reconstruction: string;
}

const { paragraphs, byQuestionMark, cleanQuestion, cleanAnswer, answer, ask, askAgain, answerAgain, health, prune, toQuestion, toAnswer } =
  operators<{
    paragraphs: Op<Document, Document>; // one to many
    byQuestionMark: Reducer<{ of: Soon<Dataset<Document>> }, { questions: Dataset<Question>; answers: Dataset<Answer> }>;
    cleanQuestion: Op<Question, Question, 'rewriter'>;
    cleanAnswer: Op<Answer, Answer, 'rewriter'>;
    answer: Op<Question, QA, 'q2a'>; // â for q
    ask: Op<Answer, QA, 'a2q'>; // q̂ for a
    askAgain: Op<QA, Cycled, 'a2q'>;
    answerAgain: Op<QA, Cycled, 'q2a'>; // the gold side once more, from the pseudo side
    health: Reducer<{ answered: Soon<Dataset<QA>>; asked: Soon<Dataset<QA>> }, Report<{ copyRate: number; distinct: number }>>;
    prune: Reducer<
      { of: Soon<Dataset<Cycled>>; encoder: Soon<Model<'encoder' | 'lm'>> },
      Dataset<Cycled>,
      { clusters: number; share: number }
    >;
    toQuestion: Template<QA, Chat>;
    toAnswer: Template<QA, Chat>; // answer -> question; question -> answer
  }>('cycle-instruct');

export interface CycleConfig {
  readonly base: Model;
  readonly rewriter: Model;
  readonly encoder: Model<'encoder' | 'lm'>;
  readonly documents: Dataset<Document>;
  readonly sft: Settings;
  readonly rounds: number;
  readonly from: 'previous' | 'base';
  readonly filter: { readonly clusters: number; readonly share: number };
}

export const cycleInstruct: Recipe<CycleConfig, { model: Model; data: Dataset<QA> }> = async (run, config) => {
  const { base, rewriter, encoder, sft } = config;
  const raw = await run.reduce(byQuestionMark({ of: run.map(paragraphs, config.documents) }));
  const [questions, answers] = await Promise.all([
    run.map(cleanQuestion, raw.questions, { with: { rewriter } }),
    run.map(cleanAnswer, raw.answers, { with: { rewriter } }),
  ]);

  let q2a = base,
    a2q = base;
  for await (const round of run.rounds(config.rounds)) {
    const start = config.from === 'base' ? { q2a: base, a2q: base } : { q2a, a2q };
    const answered = await round.map(answer, questions, { with: { q2a } }); // S1
    a2q = await round.train('a2q', { ...sft, from: start.a2q, data: answered, template: toQuestion }); // S2
    const asked = await round.map(ask, answers, { with: { a2q } }); // S3
    q2a = await round.train('q2a', { ...sft, from: start.q2a, data: asked, template: toAnswer }); // S4
    const collapsed = await round.decide(
      'collapsed',
      { now: round.reduce(health({ answered, asked })) },
      ({ now }) => now.copyRate > 0.5,
      false,
    );
    if (collapsed) break;
  }

  const answered = run.map(answer, questions, { with: { q2a } }),
    asked = run.map(ask, answers, { with: { a2q } }); // F1
  const cycled = [run.map(askAgain, answered, { with: { a2q } }), run.map(answerAgain, asked, { with: { q2a } })];
  const data = await run.reduce(union<QA>(cycled.map((side) => run.reduce(prune({ of: side, encoder }, config.filter))))); // F2
  return { model: await run.train('final', { ...sft, from: base, data, template: toAnswer }), data }; // F3
};
