/** The per-record half of Cycle-Instruct: two models that train each other, without seed pairs (2508.16100). */
import { asking } from '../reply.ts';
import { answer as answerSide, cycled, qa, question } from './records.ts';

export { health, prune } from './measure.ts';
export { answer, ask, baseAnswer, baseAsk, rewriteAnswer, rewriteQuestion, toAnswer, toQuestion } from './prompts.ts';
export { breakPairs, byQuestionMark, passages } from './route.ts';

/** A raw question, written anew so that it stands by itself. */
export const cleanQuestion = asking({
  version: 1,
  input: question,
  output: question,
  role: 'rewriter',
  slots: ({ question }) => ({ text: question }),
  take: (question) => ({ question }),
});

/** A raw answer, written anew as one paragraph. */
export const cleanAnswer = asking({
  version: 1,
  input: answerSide,
  output: answerSide,
  role: 'rewriter',
  slots: ({ answer }) => ({ text: answer }),
  take: (answer) => ({ answer }),
});

/** S1: an answer to a question that was found. */
export const answerQuestion = asking({
  version: 1,
  input: question,
  output: qa,
  role: 'q2a',
  take: (answer, { question }) => ({ question, answer, original: 'question' as const }),
});

/** S3: a question for an answer that was found. */
export const askForAnswer = asking({
  version: 1,
  input: answerSide,
  output: qa,
  role: 'a2q',
  take: (question, { answer }) => ({ question, answer, original: 'answer' as const }),
});

/** The question once more, from the answer that Q2A wrote for it. */
export const askAgain = asking({
  version: 1,
  input: qa,
  output: cycled,
  role: 'a2q',
  take: (again, pair) => ({ ...pair, found: pair.question, again }),
});

/** The answer once more, from the question that A2Q wrote for it. */
export const answerAgain = asking({
  version: 1,
  input: qa,
  output: cycled,
  role: 'q2a',
  take: (again, pair) => ({ ...pair, found: pair.answer, again }),
});
