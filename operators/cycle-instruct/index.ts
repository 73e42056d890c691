/** The per-record half of Cycle-Instruct: two models that train each other, without seed pairs (2508.16100). */
import { asking } from '../reply.ts';
import { unframed } from '../unframed.ts';
import { answer as answerSide, cycled, foundAnswer, foundQuestion, qa, question } from './records.ts';

export { health, prune } from './measure.ts';
export { answer, ask, baseAnswer, baseAsk, rewriteAnswer, rewriteQuestion, toAnswer, toQuestion } from './prompts.ts';
export { breakPairs, byQuestionMark, passages } from './route.ts';

/** A question, and beside it the same written anew so that it stands by itself: what Q2A is asked. */
export const cleanQuestion = asking({
  version: 4,
  input: question,
  output: foundQuestion,
  role: 'rewriter',
  slots: ({ question }) => ({ text: question }),
  take: (reply, { question }) => ({ question, shown: unframed(reply) }),
});

/** An answer, and beside it the same written anew as one paragraph: what A2Q is asked about. */
export const cleanAnswer = asking({
  version: 3,
  input: answerSide,
  output: foundAnswer,
  role: 'rewriter',
  slots: ({ answer }) => ({ text: answer }),
  take: (shown, { answer }) => ({ answer, shown }),
});

/** S1: an answer to a question that was found. */
export const answerQuestion = asking({
  version: 2,
  input: foundQuestion,
  output: qa,
  role: 'q2a',
  slots: ({ question, shown = question }) => ({ question: shown }),
  take: (answer, { question }) => ({ question, answer, original: 'question' as const }),
});

/** S3: a question for an answer that was found. */
export const askForAnswer = asking({
  version: 3,
  input: foundAnswer,
  output: qa,
  role: 'a2q',
  slots: ({ answer, shown = answer }) => ({ answer: shown }),
  take: (reply, { answer }) => ({ question: unframed(reply), answer, original: 'answer' as const }),
});

/** The question once more, from the answer that Q2A wrote for it. */
export const askAgain = asking({
  version: 3,
  input: qa,
  output: cycled,
  role: 'a2q',
  take: (reply, pair) => ({ ...pair, found: pair.question, again: unframed(reply) }),
});

/** The answer once more, from the question that A2Q wrote for it. */
export const answerAgain = asking({
  version: 2,
  input: qa,
  output: cycled,
  role: 'q2a',
  take: (again, pair) => ({ ...pair, found: pair.answer, again }),
});
