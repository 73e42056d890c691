/** Exports the operators of Cycle-Instruct: two models that train each other, without seed pairs (2508.16100). */
import { promptOperator } from '../reply.ts';
import { unframed } from '../unframed.ts';
import { answer as answerSide, cycled, foundAnswer, foundQuestion, qa, question } from './records.ts';

export { health, prune } from './measure.ts';
export { answer, ask, baseAnswer, baseAsk, rewriteAnswer, rewriteQuestion, toAnswer, toQuestion } from './prompts.ts';
export { breakPairs, byQuestionMark, passages } from './route.ts';

/** Rewrites a question so that it is clear without context. Q2A sees the rewritten question; training uses the original. */
export const cleanQuestion = promptOperator({
  version: 4,
  input: question,
  output: foundQuestion,
  role: 'rewriter',
  slots: ({ question }) => ({ text: question }),
  take: (reply, { question }) => ({ question, shown: unframed(reply) }),
});

/** Rewrites an answer as one paragraph. A2Q sees the rewritten answer; training uses the original. */
export const cleanAnswer = promptOperator({
  version: 3,
  input: answerSide,
  output: foundAnswer,
  role: 'rewriter',
  slots: ({ answer }) => ({ text: answer }),
  take: (shown, { answer }) => ({ answer, shown }),
});

/** S1: generates an answer to an extracted question. */
export const answerQuestion = promptOperator({
  version: 2,
  input: foundQuestion,
  output: qa,
  role: 'q2a',
  slots: ({ question, shown = question }) => ({ question: shown }),
  take: (answer, { question }) => ({ question, answer, original: 'question' as const }),
});

/** S3: generates a question for an extracted answer. */
export const askForAnswer = promptOperator({
  version: 3,
  input: foundAnswer,
  output: qa,
  role: 'a2q',
  slots: ({ answer, shown = answer }) => ({ answer: shown }),
  take: (reply, { answer }) => ({ question: unframed(reply), answer, original: 'answer' as const }),
});

/** Regenerates the question from the answer that Q2A wrote for it. */
export const askAgain = promptOperator({
  version: 3,
  input: qa,
  output: cycled,
  role: 'a2q',
  take: (reply, pair) => ({ ...pair, found: pair.question, again: unframed(reply) }),
});

/** Regenerates the answer from the question that A2Q wrote for it. */
export const answerAgain = promptOperator({
  version: 2,
  input: qa,
  output: cycled,
  role: 'q2a',
  take: (again, pair) => ({ ...pair, found: pair.answer, again }),
});
