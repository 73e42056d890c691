/** The per-record half of Cycle-Instruct: two models that train each other, without seed pairs (2508.16100). */
import { z } from 'zod';
import { operator } from '../../recipe/index.ts';
import { registered } from '../../schemas/config.ts';
import { sampling } from '../../schemas/sampling.ts';
import { said } from '../reply.ts';
import { answer as answerSide, cycled, qa, question } from './records.ts';

export { health, prune } from './measure.ts';
export { answer, ask, baseAnswer, baseAsk, rewriteAnswer, rewriteQuestion, toAnswer, toQuestion } from './prompts.ts';
export { breakPairs, byQuestionMark, passages } from './route.ts';

const asking = z.object({ prompt: registered, sampling });

/** A raw question, written anew so that it stands by itself. */
export const cleanQuestion = operator({
  version: 1,
  input: question,
  output: question,
  params: asking,
  roles: ['rewriter'],
  needs: ['chat'],
  run: ({ question }, context, { prompt, sampling }) =>
    said(context, 'rewriter', context.prompt(prompt, { text: question }), sampling, (text) => ({ question: text })),
});

/** A raw answer, written anew as one paragraph. */
export const cleanAnswer = operator({
  version: 1,
  input: answerSide,
  output: answerSide,
  params: asking,
  roles: ['rewriter'],
  needs: ['chat'],
  run: ({ answer }, context, { prompt, sampling }) =>
    said(context, 'rewriter', context.prompt(prompt, { text: answer }), sampling, (text) => ({ answer: text })),
});

/** S1: an answer to a question that was found. */
export const answerQuestion = operator({
  version: 1,
  input: question,
  output: qa,
  params: asking,
  roles: ['q2a'],
  needs: ['chat'],
  run: ({ question }, context, { prompt, sampling }) =>
    said(context, 'q2a', context.prompt(prompt, { question }), sampling, (answer) => ({ question, answer, original: 'question' as const })),
});

/** S3: a question for an answer that was found. */
export const askForAnswer = operator({
  version: 1,
  input: answerSide,
  output: qa,
  params: asking,
  roles: ['a2q'],
  needs: ['chat'],
  run: ({ answer }, context, { prompt, sampling }) =>
    said(context, 'a2q', context.prompt(prompt, { answer }), sampling, (question) => ({ question, answer, original: 'answer' as const })),
});

/** The question once more, from the answer that Q2A wrote for it. */
export const askAgain = operator({
  version: 1,
  input: qa,
  output: cycled,
  params: asking,
  roles: ['a2q'],
  needs: ['chat'],
  run: (pair, context, { prompt, sampling }) =>
    said(context, 'a2q', context.prompt(prompt, pair), sampling, (again) => ({ ...pair, found: pair.question, again })),
});

/** The answer once more, from the question that A2Q wrote for it. */
export const answerAgain = operator({
  version: 1,
  input: qa,
  output: cycled,
  params: asking,
  roles: ['q2a'],
  needs: ['chat'],
  run: (pair, context, { prompt, sampling }) =>
    said(context, 'q2a', context.prompt(prompt, pair), sampling, (again) => ({ ...pair, found: pair.answer, again })),
});
