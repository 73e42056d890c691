/** Defines the prompts of Cycle-Instruct in our own words: the paper does not publish its own. */
import { prompt, template, type Chat } from '../../recipe/index.ts';
import { example } from '../example.ts';
import { user, withReply } from '../turns.ts';
import { qa, type Answer, type Passage, type QA, type Question } from './records.ts';

const askForQuestion = ({ answer }: Answer) => user(`Write the one question that the text below answers, and nothing else.\n\n${answer}`);

const asked: Question = { question: example.instruction };
const answered: Answer = { answer: example.response };
const shown: Passage = { text: example.text };

/** Prompts the trained Q2A model. */
export const answer = prompt<Question>({
  version: 1,
  template: 'cycle-instruct.toAnswer',
  example: asked,
  render: ({ question }) => ({ messages: user(question) }),
});

/** Prompts the trained A2Q model. */
export const ask = prompt<Answer>({
  version: 1,
  template: 'cycle-instruct.toQuestion',
  example: answered,
  render: (given) => ({ messages: askForQuestion(given) }),
});

/** Prompts a base model for an answer. A base model continues past the answer, so sampling should stop at the next header. */
export const baseAnswer = prompt<Question>({
  version: 1,
  example: asked,
  render: ({ question }) => ({ text: `Question: ${question}\nAnswer:` }),
});

/** Prompts a base model for a question. */
export const baseAsk = prompt<Answer>({
  version: 1,
  example: answered,
  render: ({ answer }) => ({ text: `Answer: ${answer}\nQuestion:` }),
});

export const rewriteQuestion = prompt<Passage>({
  version: 1,
  example: shown,
  render: ({ text }) => ({
    text: `Text: ${text}\nThe text above holds a question. The same question, clear without any context and nothing else:\nQuestion:`,
  }),
});

export const rewriteAnswer = prompt<Passage>({
  version: 1,
  example: shown,
  render: ({ text }) => ({ text: `Text: ${text}\nThe same content as one coherent paragraph and nothing else:\nAnswer:` }),
});

/** Trains Q2A: the loss is on the answer. */
export const toAnswer = template<QA, Chat>({
  version: 1,
  input: qa,
  render: ({ question, answer }) => withReply(user(question), answer),
});

/** Trains A2Q: the loss is on the question. */
export const toQuestion = template<QA, Chat>({
  version: 1,
  input: qa,
  render: ({ question, answer }) => withReply(askForQuestion({ answer }), question),
});
